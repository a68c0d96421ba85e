//! Heads of the built-in tables.

use serde_json::{Value, json};

/// Columns by kind; `*` in front of a name means `-o wide` only. "Name" comes first unless listed.
fn names(kind: &str) -> &'static [&'static str] {
    match kind {
        "Pod" => &[
            "Ready",
            "Status",
            "Restarts",
            "Age",
            "*IP",
            "*Node",
            "*Nominated Node",
            "*Readiness Gates",
        ],
        "Service" => &[
            "Type",
            "Cluster-IP",
            "External-IP",
            "Port(s)",
            "Age",
            "*Selector",
        ],
        "Deployment" => &[
            "Ready",
            "Up-to-date",
            "Available",
            "Age",
            "*Containers",
            "*Images",
            "*Selector",
        ],
        "ReplicaSet" => &[
            "Desired",
            "Current",
            "Ready",
            "Age",
            "*Containers",
            "*Images",
            "*Selector",
        ],
        "EndpointSlice" => &["AddressType", "Ports", "Endpoints", "Age"],
        "Endpoints" => &["Endpoints", "Age"],
        "Namespace" => &["Status", "Age"],
        "Node" => &[
            "Status",
            "Roles",
            "Age",
            "Version",
            "*Internal-IP",
            "*External-IP",
            "*OS-Image",
            "*Kernel-Version",
            "*Container-Runtime",
        ],
        "Event" => &[
            "Last Seen",
            "Type",
            "Reason",
            "Object",
            "*Subobject",
            "*Source",
            "Message",
            "*First Seen",
            "*Count",
            "*Name",
        ],
        "ConfigMap" => &["Data", "Age"],
        "Secret" => &["Type", "Data", "Age"],
        "Lease" => &["Holder", "Age"],
        "CustomResourceDefinition" => &["Created At"],
        _ => &["Age"],
    }
}

pub(super) fn builtin(kind: &str) -> Vec<Value> {
    let names = names(kind);
    let named = names
        .iter()
        .any(|name| name.trim_start_matches('*') == "Name");
    let first = (!named).then_some("Name");
    first
        .into_iter()
        .chain(names.iter().copied())
        .map(column)
        .collect()
}

fn column(name: &str) -> Value {
    let (name, priority) = match name.strip_prefix('*') {
        Some(name) => (name, 1),
        None => (name, 0),
    };
    let kind = match name {
        "Desired" | "Current" | "Up-to-date" | "Available" | "Data" | "Count" => "integer",
        "Created At" => "date",
        _ => "string",
    };
    let format = if name == "Name" { "name" } else { "" };
    define(name, kind, format, "", priority)
}

pub(super) fn define(
    name: &str,
    kind: &str,
    format: &str,
    description: &str,
    priority: i64,
) -> Value {
    json!({
        "name": name,
        "type": kind,
        "format": format,
        "description": description,
        "priority": priority,
    })
}

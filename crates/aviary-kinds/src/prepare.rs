//! What a write changes beside what the client asked for.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::kind::{Kind, Rules};

#[cfg(test)]
mod tests;

/// Kinds whose metadata counts generations.
fn counts_generations(kind: &Kind) -> bool {
    match &kind.rules {
        Rules::Custom { .. } => true,
        Rules::BuiltIn => matches!(
            &*kind.kind,
            "Deployment" | "ReplicaSet" | "Pod" | "CustomResourceDefinition"
        ),
    }
}

pub(crate) fn create(kind: &Kind, object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    // A node reports its status together with its registration.
    if kind.has_status() && &*kind.kind != "Node" {
        map.shift_remove("status");
    }
    if counts_generations(kind) {
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        metadata["generation"] = json!(1);
    }
}

/// Metadata that only the server writes.
const SERVER_METADATA: [&str; 6] = [
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

pub(crate) fn update(kind: &Kind, new: &mut Value, old: &Value, subresource: Option<&str>) {
    if subresource == Some("status") {
        keep_all_but_status(kind, new, old);
        return;
    }
    let Some(map) = new.as_object_mut() else {
        return;
    };
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        for name in SERVER_METADATA {
            match old["metadata"].get(name) {
                Some(value) => metadata.insert(name.into(), value.clone()),
                None => metadata.shift_remove(name),
            };
        }
    }
    if kind.has_status() {
        match old.get("status") {
            Some(status) => map.insert("status".into(), status.clone()),
            None => map.shift_remove("status"),
        };
    }
    if counts_generations(kind) && specification_differs(new, old) {
        let next = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
        new["metadata"]["generation"] = json!(next);
    }
}

/// Metadata of built-in kinds that a write to `/status` may change too.
///
/// Source: the status strategies of Kubernetes, which put back little but the spec.
fn is_open_to_status(kind: &Kind, name: &str) -> bool {
    if matches!(kind.rules, Rules::Custom { .. }) {
        return false;
    }
    match name {
        "annotations" | "finalizers" => true,
        "labels" => !matches!(&*kind.kind, "Deployment" | "ReplicaSet"),
        "ownerReferences" => &*kind.kind != "Pod",
        _ => false,
    }
}

/// A write to `/status` changes status, and of the metadata managedFields, what is open to it (and
/// the resourceVersion that the client states as a precondition).
fn keep_all_but_status(kind: &Kind, new: &mut Value, old: &Value) {
    let mut wanted = std::mem::take(new);
    *new = old.clone();
    let Some(map) = new.as_object_mut() else {
        return;
    };
    match wanted
        .as_object_mut()
        .and_then(|map| map.shift_remove("status"))
    {
        Some(status) => map.insert("status".into(), status),
        None => map.shift_remove("status"),
    };
    let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let open = |name: &str| is_open_to_status(kind, name);
    for name in [
        "annotations",
        "finalizers",
        "labels",
        "ownerReferences",
        "managedFields",
        "resourceVersion",
    ] {
        match wanted["metadata"].get(name) {
            Some(value) if open(name) || matches!(name, "managedFields" | "resourceVersion") => {
                metadata.insert(name.into(), value.clone());
            }
            None if open(name) => {
                metadata.shift_remove(name);
            }
            _ => {}
        }
    }
}

/// Whether anything but metadata and status differs.
fn specification_differs(new: &Value, old: &Value) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else {
        return true;
    };
    let counted = |name: &String| !matches!(&**name, "metadata" | "status" | "apiVersion" | "kind");
    let names = new.keys().chain(old.keys());
    names
        .filter(|name| counted(name))
        .any(|name| new.get(name) != old.get(name))
}

pub(crate) fn selectable_fields(kind: &Kind, object: &Value) -> Vec<(Arc<str>, String)> {
    let mut paths: Vec<Arc<str>> = vec!["metadata.name".into()];
    if kind.namespaced() {
        paths.push("metadata.namespace".into());
    }
    match &kind.rules {
        Rules::BuiltIn => paths.extend(builtin_paths(kind).iter().map(|p| Arc::from(*p))),
        Rules::Custom { selectable, .. } => {
            paths.extend(
                selectable
                    .iter()
                    .map(|p| Arc::from(p.trim_start_matches('.'))),
            );
        }
    }
    paths
        .into_iter()
        .map(|path| {
            let text = text_at(object, &path);
            (path, text)
        })
        .collect()
}

fn builtin_paths(kind: &Kind) -> &'static [&'static str] {
    match &*kind.kind {
        "Pod" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        "Event" if kind.group.is_empty() => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "Event" => &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "reason",
            "reportingController",
            "type",
        ],
        "Node" => &["spec.unschedulable"],
        "Namespace" => &["status.phase"],
        "Secret" => &["type"],
        "Service" => &["spec.clusterIP", "spec.type"],
        "ReplicaSet" => &["status.replicas"],
        _ => &[],
    }
}

/// The text of a field for comparison: absent booleans and strings read as Go's zero values.
fn text_at(object: &Value, path: &str) -> String {
    if path == "source" {
        return text_at(object, "source.component");
    }
    if path == "status.podIPs" {
        return text_at(object, "status.podIP");
    }
    let found = path.split('.').try_fold(object, |at, part| at.get(part));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => match path {
            "spec.hostNetwork" | "spec.unschedulable" => "false".to_owned(),
            _ => String::new(),
        },
        Some(other) => other.to_string(),
    }
}

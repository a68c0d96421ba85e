//! Rows of the built-in kinds.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    age::since,
    endpoint,
    pod::{self, or_none},
};

/// The text of a value; empty when it is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The items of a value; empty when it is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

pub(super) fn builtin(kind: &str, object: &Value, now: Timestamp) -> Vec<Value> {
    let name = object["metadata"]["name"].clone();
    let age = json!(since(&object["metadata"]["creationTimestamp"], now));
    match kind {
        "Pod" => pod::cells(object, now),
        "Service" => vec![
            name,
            object["spec"]["type"].clone(),
            json!(endpoint::cluster_ip(object)),
            json!(endpoint::external_ip(object)),
            json!(endpoint::service_ports(object)),
            age,
            json!(labels(&object["spec"]["selector"])),
        ],
        "Deployment" => deployment(object, name, age),
        "ReplicaSet" => replica_set(object, name, age),
        "EndpointSlice" => vec![
            name,
            object["addressType"].clone(),
            json!(endpoint::slice_ports(object)),
            json!(endpoint::slice_addresses(object)),
            age,
        ],
        "Endpoints" => vec![name, json!(endpoint::endpoints(object)), age],
        "Namespace" => vec![name, object["status"]["phase"].clone(), age],
        "Node" => node(object, name, age),
        "Event" => event(object, name, now),
        "ConfigMap" => vec![
            name,
            json!(size(object, "data") + size(object, "binaryData")),
            age,
        ],
        "Secret" => vec![
            name,
            object["type"].clone(),
            json!(size(object, "data")),
            age,
        ],
        "Lease" => vec![name, json!(text(&object["spec"]["holderIdentity"])), age],
        "CustomResourceDefinition" => {
            vec![name, object["metadata"]["creationTimestamp"].clone()]
        }
        _ => vec![name, age],
    }
}

fn size(object: &Value, field: &str) -> usize {
    object[field].as_object().map_or(0, serde_json::Map::len)
}

fn deployment(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let status = &object["status"];
    let ready = number(&status["readyReplicas"]);
    let wanted = number(&object["spec"]["replicas"]);
    let mut cells = vec![
        name,
        json!(format!("{ready}/{wanted}")),
        json!(number(&status["updatedReplicas"])),
        json!(number(&status["availableReplicas"])),
        age,
    ];
    cells.extend(template(object));
    cells
}

fn replica_set(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let mut cells = vec![
        name,
        json!(number(&object["spec"]["replicas"])),
        json!(number(&object["status"]["replicas"])),
        json!(number(&object["status"]["readyReplicas"])),
        age,
    ];
    cells.extend(template(object));
    cells
}

/// Containers, images and selector of a workload.
fn template(object: &Value) -> [Value; 3] {
    let containers = list(&object["spec"]["template"]["spec"]["containers"]);
    let joined = |field: &str| {
        let all: Vec<&str> = containers
            .iter()
            .map(|container| text(&container[field]))
            .collect();
        json!(all.join(","))
    };
    [
        joined("name"),
        joined("image"),
        json!(selector(&object["spec"]["selector"])),
    ]
}

/// `a=b,c=d`, ordered by key; `<none>` when empty.
fn labels(map: &Value) -> String {
    let mut pairs: Vec<String> = map
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value)))
        .collect();
    pairs.sort();
    if pairs.is_empty() {
        "<none>".to_owned()
    } else {
        pairs.join(",")
    }
}

/// A label selector object as text: `app=x,tier in (a,b)`; `<none>` when it selects everything.
fn selector(selector: &Value) -> String {
    let mut parts: Vec<(String, String)> = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), format!("{key}={}", text(value))))
        .collect();
    for expression in list(&selector["matchExpressions"]) {
        let key = text(&expression["key"]);
        let mut values: Vec<&str> = list(&expression["values"]).iter().map(text).collect();
        values.sort_unstable();
        let values = values.join(",");
        let part = match text(&expression["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        parts.push((key.to_owned(), part));
    }
    parts.sort_by(|a, b| a.0.cmp(&b.0));
    let texts: Vec<String> = parts.into_iter().map(|(_, part)| part).collect();
    if texts.is_empty() {
        "<none>".to_owned()
    } else {
        texts.join(",")
    }
}

fn node(object: &Value, name: Value, age: Value) -> Vec<Value> {
    let status = &object["status"];
    let ready = list(&status["conditions"])
        .iter()
        .find(|condition| condition["type"] == "Ready");
    let mut word = match ready.map(|ready| text(&ready["status"])) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object["spec"]["unschedulable"] == true {
        word.push_str(",SchedulingDisabled");
    }
    let info = &status["nodeInfo"];
    let known = |value: &Value| {
        json!(match text(value) {
            "" => "<unknown>",
            text => text,
        })
    };
    vec![
        name,
        json!(word),
        json!(roles(object)),
        age,
        info["kubeletVersion"].clone(),
        json!(or_none(address(status, "InternalIP"))),
        json!(or_none(address(status, "ExternalIP"))),
        known(&info["osImage"]),
        known(&info["kernelVersion"]),
        known(&info["containerRuntimeVersion"]),
    ]
}

fn address<'a>(status: &'a Value, kind: &str) -> &'a str {
    let found = list(&status["addresses"])
        .iter()
        .find(|address| address["type"] == kind);
    found.map_or("", |address| text(&address["address"]))
}

fn roles(node: &Value) -> String {
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in node["metadata"]["labels"].as_object().into_iter().flatten() {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/") {
            roles.push(role);
        } else if key == "kubernetes.io/role" {
            roles.push(text(value));
        }
    }
    roles.retain(|role| !role.is_empty());
    roles.sort_unstable();
    roles.dedup();
    if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.join(",")
    }
}

/// Events come in the core form or in that of `events.k8s.io`; the first present field counts.
fn event(object: &Value, name: Value, now: Timestamp) -> Vec<Value> {
    let either = |core: &str, new: &str| {
        if object[core].is_null() {
            &object[new]
        } else {
            &object[core]
        }
    };
    let first = match either("firstTimestamp", "deprecatedFirstTimestamp") {
        Value::Null => since(&object["eventTime"], now),
        time => since(time, now),
    };
    let series = &object["series"];
    let last = match (
        series.is_object(),
        either("lastTimestamp", "deprecatedLastTimestamp"),
    ) {
        (true, _) => since(&series["lastObservedTime"], now),
        (false, Value::Null) => first.clone(),
        (false, time) => since(time, now),
    };
    let count = if series.is_object() {
        number(&series["count"])
    } else {
        number(either("count", "deprecatedCount")).max(1)
    };
    let about = either("involvedObject", "regarding");
    let kind = text(&about["kind"]).to_lowercase();
    let target = match text(&about["name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    vec![
        json!(last),
        object["type"].clone(),
        object["reason"].clone(),
        json!(target),
        json!(text(&about["fieldPath"])),
        json!(event_source(object, either("source", "deprecatedSource"))),
        json!(text(either("message", "note")).trim()),
        json!(first),
        json!(count),
        name,
    ]
}

fn event_source(object: &Value, source: &Value) -> String {
    let reporter = match text(&object["reportingComponent"]) {
        "" => text(&object["reportingController"]),
        component => component,
    };
    let component = match text(&source["component"]) {
        "" => reporter,
        component => component,
    };
    let host = match text(&source["host"]) {
        "" => text(&object["reportingInstance"]),
        host => host,
    };
    if host.is_empty() {
        component.to_owned()
    } else {
        format!("{component}, {host}")
    }
}

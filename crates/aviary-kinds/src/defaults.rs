//! What the server fills in for absent fields.
//!
//! Source: Kubernetes `pkg/apis/*/v1/defaults.go` and the recorded objects of a real server.

use serde_json::{Map, Value, json};

use crate::{
    crd,
    kind::{Kind, Rules},
    quantity::Quantity,
};

mod pod;
mod service;
#[cfg(test)]
mod tests;

pub(crate) fn default(kind: &Kind, object: &mut Value) {
    if let Rules::Custom { .. } = kind.rules {
        kind.schema.fill_defaults(object);
        return;
    }
    match &*kind.kind {
        "Pod" => pod::pod(object),
        "Deployment" => deployment(object),
        "ReplicaSet" => replica_set(object),
        "Service" => service::service(object),
        "EndpointSlice" => service::endpoint_slice(object),
        "Endpoints" => service::endpoints(object),
        "Secret" => secret(object),
        "Namespace" => namespace(object),
        "CustomResourceDefinition" => crd::default(object),
        _ => {}
    }
}

/// Sets a field that is absent.
fn fill(map: &mut Map<String, Value>, name: &str, value: impl FnOnce() -> Value) {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), value());
    }
}

/// The object in a field, made when absent.
fn part<'a>(map: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    map.entry(name).or_insert_with(|| json!({})).as_object_mut()
}

/// The objects of a list field.
fn items<'a>(
    map: &'a mut Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let list = map.get_mut(name).and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}

/// Writes the quantities of a resource list in canonical form.
fn canonical_quantities(list: Option<&mut Value>) {
    for (_, value) in list.and_then(Value::as_object_mut).into_iter().flatten() {
        let text = match &*value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        // A text that is no quantity stays, for validation to refuse.
        if let Some(quantity) = Quantity::parse(&text) {
            *value = json!(quantity.canonical());
        }
    }
}

fn deployment(object: &mut Value) {
    let Some(spec) = object.as_object_mut().and_then(|map| part(map, "spec")) else {
        return;
    };
    fill(spec, "replicas", || json!(1));
    fill(spec, "revisionHistoryLimit", || json!(10));
    fill(spec, "progressDeadlineSeconds", || json!(600));
    if let Some(strategy) = part(spec, "strategy") {
        fill(strategy, "type", || json!("RollingUpdate"));
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = part(strategy, "rollingUpdate")
        {
            fill(rolling, "maxUnavailable", || json!("25%"));
            fill(rolling, "maxSurge", || json!("25%"));
        }
    }
    template(spec);
}

fn replica_set(object: &mut Value) {
    let Some(spec) = object.as_object_mut().and_then(|map| part(map, "spec")) else {
        return;
    };
    fill(spec, "replicas", || json!(1));
    template(spec);
}

fn template(spec: &mut Map<String, Value>) {
    let template = spec.get_mut("template").and_then(Value::as_object_mut);
    let Some(template) = template else { return };
    fill(template, "metadata", || json!({}));
    if let Some(pod) = part(template, "spec") {
        pod::spec(pod);
    }
}

fn secret(object: &mut Value) {
    use base64::Engine as _;
    let Some(map) = object.as_object_mut() else {
        return;
    };
    fill(map, "type", || json!("Opaque"));
    let Some(Value::Object(texts)) = map.shift_remove("stringData") else {
        return;
    };
    let Some(data) = part(map, "data") else {
        return;
    };
    for (key, text) in texts {
        let text = text.as_str().unwrap_or_default();
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        data.insert(key, json!(encoded));
    }
}

fn namespace(object: &mut Value) {
    let name = object["metadata"]["name"].clone();
    let Some(map) = object.as_object_mut() else {
        return;
    };
    if name.is_string()
        && let Some(labels) = part(map, "metadata").and_then(|metadata| part(metadata, "labels"))
    {
        labels.insert("kubernetes.io/metadata.name".into(), name);
    }
    fill(map, "spec", || json!({}));
    if let Some(status) = part(map, "status") {
        fill(status, "phase", || json!("Active"));
    }
}

//! Defaults of services and endpoints.

use serde_json::{Map, Value, json};

use super::{fill, items, part};

pub(super) fn service(object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    if let Some(spec) = part(map, "spec") {
        service_spec(spec);
    }
    if let Some(status) = part(map, "status") {
        fill(status, "loadBalancer", || json!({}));
    }
}

fn service_spec(spec: &mut Map<String, Value>) {
    fill(spec, "sessionAffinity", || json!("None"));
    if spec["sessionAffinity"] == "ClientIP" {
        let config =
            part(spec, "sessionAffinityConfig").and_then(|config| part(config, "clientIP"));
        if let Some(client) = config {
            fill(client, "timeoutSeconds", || json!(10_800));
        }
    } else {
        spec.shift_remove("sessionAffinityConfig");
    }
    fill(spec, "type", || json!("ClusterIP"));
    for port in items(spec, "ports") {
        fill(port, "protocol", || json!("TCP"));
        let absent = |port: &Map<String, Value>| {
            port.get("targetPort")
                .is_none_or(|target| *target == 0 || *target == "")
        };
        if absent(port)
            && let Some(number) = port.get("port").cloned()
        {
            port.insert("targetPort".into(), number);
        }
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if matches!(&*kind, "NodePort" | "LoadBalancer") {
        fill(spec, "externalTrafficPolicy", || json!("Cluster"));
    } else if list_is_empty(spec.get("externalIPs")) {
        spec.shift_remove("externalTrafficPolicy");
    }
    if kind == "LoadBalancer" {
        fill(spec, "allocateLoadBalancerNodePorts", || json!(true));
    } else {
        spec.shift_remove("allocateLoadBalancerNodePorts");
    }
    if kind == "ExternalName" {
        for name in ["internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy"] {
            spec.shift_remove(name);
        }
        return;
    }
    fill(spec, "internalTrafficPolicy", || json!("Cluster"));
    fill(spec, "ipFamilyPolicy", || json!("SingleStack"));
    fill(spec, "ipFamilies", || json!(["IPv4"]));
    let first = spec
        .get("clusterIP")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    if !first.is_empty() {
        fill(spec, "clusterIPs", || json!([first]));
    }
}

fn list_is_empty(list: Option<&Value>) -> bool {
    list.and_then(Value::as_array).is_none_or(Vec::is_empty)
}

pub(super) fn endpoint_slice(object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    fill(map, "endpoints", || json!([]));
    for port in items(map, "ports") {
        fill(port, "name", || json!(""));
        fill(port, "protocol", || json!("TCP"));
    }
}

pub(super) fn endpoints(object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    for subset in items(map, "subsets") {
        for port in items(subset, "ports") {
            fill(port, "protocol", || json!("TCP"));
        }
    }
}

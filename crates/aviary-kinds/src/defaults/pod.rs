//! Defaults of pods and pod templates.

use serde_json::{Map, Value, json};

use super::{canonical_quantities, fill, items, part};

pub(super) fn pod(object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    let Some(pod_spec) = part(map, "spec") else {
        return;
    };
    fill(pod_spec, "enableServiceLinks", || json!(true));
    fill(pod_spec, "priority", || json!(0));
    fill(pod_spec, "preemptionPolicy", || {
        json!("PreemptLowerPriority")
    });
    for list in ["containers", "initContainers"] {
        for container in items(pod_spec, list) {
            requests_from_limits(container);
        }
    }
    spec(pod_spec);
    if let Some(status) = map.get_mut("status").and_then(Value::as_object_mut) {
        // These are written even when empty, and clients rely on it.
        for condition in items(status, "conditions") {
            fill(condition, "lastProbeTime", || Value::Null);
        }
        for list in ["containerStatuses", "initContainerStatuses"] {
            for container in items(status, list) {
                fill(container, "lastState", || json!({}));
                fill(container, "imageID", || json!(""));
            }
        }
    }
}

/// A limit without a request is also the request.
fn requests_from_limits(container: &mut Map<String, Value>) {
    let Some(resources) = container
        .get_mut("resources")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else {
        return;
    };
    if limits.is_empty() {
        return;
    }
    let Some(requests) = part(resources, "requests") else {
        return;
    };
    for (name, value) in limits {
        requests.entry(name).or_insert(value);
    }
}

pub(super) fn spec(spec: &mut Map<String, Value>) {
    fill(spec, "dnsPolicy", || json!("ClusterFirst"));
    fill(spec, "restartPolicy", || json!("Always"));
    fill(spec, "securityContext", || json!({}));
    fill(spec, "terminationGracePeriodSeconds", || json!(30));
    fill(spec, "schedulerName", || json!("default-scheduler"));
    mirror(spec, "serviceAccountName", "serviceAccount");
    let on_host = spec.get("hostNetwork") == Some(&json!(true));
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for item in items(spec, list) {
            container(item, on_host);
        }
    }
    for item in items(spec, "volumes") {
        volume(item);
    }
    canonical_quantities(spec.get_mut("overhead"));
}

/// The deprecated twin of a field has always the same value.
fn mirror(spec: &mut Map<String, Value>, name: &str, twin: &str) {
    match (spec.get(name).cloned(), spec.get(twin).cloned()) {
        (Some(value), _) => spec.insert(twin.to_owned(), value),
        (None, Some(value)) => spec.insert(name.to_owned(), value),
        (None, None) => None,
    };
}

fn container(container: &mut Map<String, Value>, on_host: bool) {
    let image = container
        .get("image")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let policy = if tag(image) == "latest" {
        "Always"
    } else {
        "IfNotPresent"
    };
    fill(container, "imagePullPolicy", || json!(policy));
    fill(container, "terminationMessagePath", || {
        json!("/dev/termination-log")
    });
    fill(container, "terminationMessagePolicy", || json!("File"));
    if let Some(resources) = part(container, "resources") {
        canonical_quantities(resources.get_mut("limits"));
        canonical_quantities(resources.get_mut("requests"));
    }
    for port in items(container, "ports") {
        fill(port, "protocol", || json!("TCP"));
        if on_host && let Some(number) = port.get("containerPort").cloned() {
            fill(port, "hostPort", || number);
        }
    }
    for variable in items(container, "env") {
        let field = variable
            .get_mut("valueFrom")
            .and_then(|from| from.get_mut("fieldRef"));
        if let Some(field) = field.and_then(Value::as_object_mut) {
            fill(field, "apiVersion", || json!("v1"));
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = container.get_mut(name).and_then(Value::as_object_mut) {
            probe(found);
        }
    }
    for hook in ["postStart", "preStop"] {
        let handler = container
            .get_mut("lifecycle")
            .and_then(|lifecycle| lifecycle.get_mut(hook));
        if let Some(handler) = handler.and_then(Value::as_object_mut) {
            http_get(handler);
        }
    }
}

/// The tag of an image reference; `latest` when it names none, empty when it names a digest.
fn tag(image: &str) -> &str {
    if image.contains('@') {
        return "";
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').map_or("latest", |(_, tag)| tag)
}

fn probe(probe: &mut Map<String, Value>) {
    for (name, value) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        if probe.get(name).is_none_or(|found| *found == 0) {
            probe.insert(name.to_owned(), json!(value));
        }
    }
    if let Some(grpc) = probe.get_mut("grpc").and_then(Value::as_object_mut) {
        fill(grpc, "service", || json!(""));
    }
    http_get(probe);
}

fn http_get(handler: &mut Map<String, Value>) {
    if let Some(get) = handler.get_mut("httpGet").and_then(Value::as_object_mut) {
        fill(get, "path", || json!("/"));
        fill(get, "scheme", || json!("HTTP"));
    }
}

fn volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|name| name == "name") {
        volume.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(found) = volume.get_mut(source).and_then(Value::as_object_mut) {
            fill(found, "defaultMode", || json!(0o644));
        }
    }
    if let Some(path) = volume.get_mut("hostPath").and_then(Value::as_object_mut) {
        fill(path, "type", || json!(""));
    }
    if let Some(downward) = volume.get_mut("downwardAPI").and_then(Value::as_object_mut) {
        field_refs(downward);
    }
    let Some(projected) = volume.get_mut("projected").and_then(Value::as_object_mut) else {
        return;
    };
    for source in items(projected, "sources") {
        if let Some(token) = source
            .get_mut("serviceAccountToken")
            .and_then(Value::as_object_mut)
        {
            fill(token, "expirationSeconds", || json!(3600));
        }
        if let Some(downward) = source.get_mut("downwardAPI").and_then(Value::as_object_mut) {
            field_refs(downward);
        }
    }
}

fn field_refs(downward: &mut Map<String, Value>) {
    for item in items(downward, "items") {
        if let Some(field) = item.get_mut("fieldRef").and_then(Value::as_object_mut) {
            fill(field, "apiVersion", || json!("v1"));
        }
    }
}

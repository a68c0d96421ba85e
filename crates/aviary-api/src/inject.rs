//! Sidecar injection: what a Pod gets when it is created in a meshed namespace.

use serde_json::{Map, Value, json};

/// Name of the sidecar's container.
pub const PROXY_CONTAINER: &str = "istio-proxy";
/// Namespace label that turns injection on.
pub const NAMESPACE_LABEL: &str = "istio-injection";
/// Pod label (or annotation) that decides for one Pod.
pub const POD_LABEL: &str = "sidecar.istio.io/inject";
/// Pod condition: no proxy gives requests to the Pod any more. Set by the control plane once a Pod is
/// being deleted; the node agent stops the application after that.
pub const WITHDRAWN: &str = "aviary/Withdrawn";
/// Port of the sidecar's readiness.
pub const READY_PORT: u16 = 15021;

/// Adds the sidecar to a Pod that is being created, when it is to have one; tells whether it did.
///
/// `namespace_labels` is `metadata.labels` of the Pod's namespace (or null), `version` the tag of
/// the proxy's image. A Pod that has the sidecar already stays as it is.
/// Source: Istio's sidecar injector; the sidecar is a restartable init container, so Kubernetes'
/// own rules start it before and stop it after the application.
pub fn inject(pod: &mut Value, namespace: &str, namespace_labels: &Value, version: &str) -> bool {
    if !wanted(pod, namespace, namespace_labels) {
        return false;
    }
    let name = canonical_name(pod);
    let revision = canonical_revision(pod);
    let first = pod.pointer("/spec/containers/0/name").cloned();
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else {
        return false;
    };
    let containers = spec.entry("initContainers").or_insert(Value::Null);
    if containers.is_null() {
        *containers = json!([]);
    }
    let Some(containers) = containers.as_array_mut() else {
        return false;
    };
    containers.insert(0, container(version));
    if let Some(labels) = map(pod, "labels") {
        labels
            .entry("service.istio.io/canonical-name")
            .or_insert_with(|| name.into());
        labels
            .entry("service.istio.io/canonical-revision")
            .or_insert_with(|| revision.into());
    }
    if let Some(annotations) = map(pod, "annotations") {
        annotations.insert("sidecar.istio.io/status".to_owned(), status());
        if let Some(first) = first {
            for key in [
                "kubectl.kubernetes.io/default-container",
                "kubectl.kubernetes.io/default-logs-container",
            ] {
                annotations.entry(key).or_insert_with(|| first.clone());
            }
        }
    }
    true
}

/// Whether the Pod is to have a sidecar and has none.
fn wanted(pod: &Value, namespace: &str, namespace_labels: &Value) -> bool {
    if namespace == "kube-system" || pod.pointer("/spec/hostNetwork") == Some(&Value::Bool(true)) {
        return false;
    }
    let has_one = ["initContainers", "containers"].iter().any(|list| {
        let containers = pod
            .get("spec")
            .and_then(|spec| spec.get(list))
            .and_then(Value::as_array);
        containers.is_some_and(|all| all.iter().any(|one| one["name"] == PROXY_CONTAINER))
    });
    if has_one {
        return false;
    }
    let own = |part: &str| {
        let value = pod
            .get("metadata")
            .and_then(|meta| meta.get(part)?.get(POD_LABEL)?.as_str());
        value.map(|value| value == "true")
    };
    let by_namespace = || {
        namespace_labels
            .get(NAMESPACE_LABEL)
            .and_then(Value::as_str)
            == Some("enabled")
    };
    own("labels")
        .or_else(|| own("annotations"))
        .unwrap_or_else(by_namespace)
}

fn map<'a>(pod: &'a mut Value, part: &str) -> Option<&'a mut Map<String, Value>> {
    let meta = pod
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(|| json!({}));
    let part = meta.as_object_mut()?.entry(part).or_insert(Value::Null);
    if part.is_null() {
        *part = json!({});
    }
    part.as_object_mut()
}

fn label<'a>(pod: &'a Value, name: &str) -> Option<&'a str> {
    pod.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// Source: Istio: `app.kubernetes.io/name`, else `app`, else the workload.
fn canonical_name(pod: &Value) -> String {
    label(pod, "service.istio.io/canonical-name")
        .or_else(|| label(pod, "app.kubernetes.io/name"))
        .or_else(|| label(pod, "app"))
        .map_or_else(|| workload_name(pod), str::to_owned)
}

fn canonical_revision(pod: &Value) -> String {
    label(pod, "service.istio.io/canonical-revision")
        .or_else(|| label(pod, "app.kubernetes.io/version"))
        .or_else(|| label(pod, "version"))
        .unwrap_or("latest")
        .to_owned()
}

/// The name of what made the Pod, for metrics: a Deployment rather than its `ReplicaSet`.
pub fn workload_name(pod: &Value) -> String {
    let meta = &pod["metadata"];
    let owners = meta["ownerReferences"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let owner = owners
        .iter()
        .find(|owner| owner["controller"] == Value::Bool(true));
    if let Some(name) = owner.and_then(|owner| owner["name"].as_str()) {
        return deployment_of(name, label(pod, "pod-template-hash"));
    }
    let name = meta["name"]
        .as_str()
        .or_else(|| meta["generateName"].as_str());
    name.unwrap_or_default().trim_end_matches('-').to_owned()
}

/// A `ReplicaSet`'s name without its Pods' template hash.
pub fn deployment_of(replica_set: &str, template_hash: Option<&str>) -> String {
    template_hash
        .and_then(|hash| replica_set.strip_suffix(hash)?.strip_suffix('-'))
        .unwrap_or(replica_set)
        .to_owned()
}

fn container(version: &str) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let ready = json!({"path": "/healthz/ready", "port": READY_PORT, "scheme": "HTTP"});
    json!({
        "name": PROXY_CONTAINER,
        "image": format!("aviary/proxy:{version}"),
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "args": ["proxy", "sidecar"],
        "ports": [{"name": "http-envoy-prom", "containerPort": 15090, "protocol": "TCP"}],
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("INSTANCE_IP", "status.podIP"),
            field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ],
        "startupProbe": {"httpGet": ready, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 600},
        "readinessProbe": {"httpGet": ready, "periodSeconds": 15, "timeoutSeconds": 3, "failureThreshold": 4},
    })
}

fn status() -> Value {
    let status = json!({
        "initContainers": [PROXY_CONTAINER], "containers": null, "volumes": null,
        "imagePullSecrets": null, "revision": "default",
    });
    Value::String(status.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": {
                "generateName": "reviews-v1-abc-",
                "labels": {"app": "reviews", "version": "v1", "pod-template-hash": "abc"},
                "ownerReferences": [{"controller": true, "kind": "ReplicaSet", "name": "reviews-v1-abc"}],
            },
            "spec": {"containers": [{"name": "reviews", "image": "r"}]},
        })
    }

    fn enabled() -> Value {
        json!({NAMESPACE_LABEL: "enabled"})
    }

    #[test]
    fn pod_in_meshed_namespace_gets_native_sidecar_first() {
        let mut pod = pod();
        pod["spec"]["initContainers"] = json!([{"name": "setup"}]);
        assert!(inject(&mut pod, "prod", &enabled(), "0.1.0"));
        let inits = pod["spec"]["initContainers"].as_array().unwrap();
        assert_eq!(inits.len(), 2);
        assert_eq!(inits[0]["name"], PROXY_CONTAINER);
        assert_eq!(inits[0]["restartPolicy"], "Always");
        assert_eq!(
            pod["metadata"]["labels"]["service.istio.io/canonical-name"],
            "reviews"
        );
        assert_eq!(
            pod["metadata"]["labels"]["service.istio.io/canonical-revision"],
            "v1"
        );
        assert!(pod["metadata"]["annotations"]["sidecar.istio.io/status"].is_string());
    }

    #[test]
    fn pod_injected_twice_stays_the_same() {
        let mut pod = pod();
        assert!(inject(&mut pod, "prod", &enabled(), "0.1.0"));
        let once = pod.clone();
        assert!(!inject(&mut pod, "prod", &enabled(), "0.1.0"));
        assert_eq!(pod, once);
    }

    #[test]
    fn pod_label_wins_over_namespace() {
        let mut off = pod();
        off["metadata"]["labels"][POD_LABEL] = "false".into();
        assert!(!inject(&mut off, "prod", &enabled(), "0"));
        let mut on = pod();
        on["metadata"]["labels"][POD_LABEL] = "true".into();
        assert!(inject(&mut on, "prod", &Value::Null, "0"));
    }

    #[test]
    fn pod_of_host_network_or_system_namespace_is_left_alone() {
        let mut host = pod();
        host["spec"]["hostNetwork"] = true.into();
        assert!(!inject(&mut host, "prod", &enabled(), "0"));
        assert!(!inject(&mut pod(), "kube-system", &enabled(), "0"));
        assert!(!inject(
            &mut pod(),
            "prod",
            &json!({NAMESPACE_LABEL: "disabled"}),
            "0"
        ));
    }

    #[test]
    fn workload_is_deployment_else_pod_name() {
        assert_eq!(workload_name(&pod()), "reviews-v1");
        assert_eq!(
            workload_name(&json!({"metadata": {"name": "single"}})),
            "single"
        );
    }
}

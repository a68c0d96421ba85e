//! What a proxy container is told: who it is and how it proves that.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;

use aviary_api::inject::{PROXY_CONTAINER, deployment_of};
use aws_lc_rs::hmac;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::{all_containers, containers};

/// Which kind of proxy a pod holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Beside an application: all TCP connections of the pod pass it.
    Sidecar,
    /// A gateway: the pod is the proxy.
    Router,
}

/// True if `container` runs the proxy image.
pub(crate) fn is_proxy(container: &Container) -> bool {
    let image = container.image.as_deref().unwrap_or_default();
    let image = image.split('@').next().unwrap_or(image);
    let repository = match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => image,
    };
    repository.ends_with("aviary/proxy")
}

/// The role of the pod's proxy, `None` without one.
pub(crate) fn role(pod: &Pod) -> Option<Role> {
    if !all_containers(pod).any(|c| is_proxy(c) || c.name == PROXY_CONTAINER) {
        return None;
    }
    let only_proxies = containers(pod).iter().all(is_proxy);
    Some(if only_proxies {
        Role::Router
    } else {
        Role::Sidecar
    })
}

/// The environment of the pod's proxy.
pub(crate) fn environment(
    pod: &Pod,
    role: Role,
    address: Ipv4Addr,
    home: &Path,
    state: &Path,
    key: &[u8],
) -> Vec<(String, String)> {
    let meta = &pod.metadata;
    let (name, namespace) = (
        meta.name.clone().unwrap_or_default(),
        meta.namespace.clone().unwrap_or_default(),
    );
    let kind = match role {
        Role::Sidecar => "sidecar",
        Role::Router => "router",
    };
    let node = format!("{kind}~{address}~{name}.{namespace}~{namespace}.svc.cluster.local");
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.clone());
    let labels = meta.labels.clone().unwrap_or_default();
    [
        ("POD_NAME", name),
        ("POD_NAMESPACE", namespace),
        ("POD_IP", address.to_string()),
        ("INSTANCE_IP", address.to_string()),
        (
            "SERVICE_ACCOUNT",
            account.unwrap_or_else(|| "default".to_owned()),
        ),
        (
            "AVIARY_XDS_SOCKET",
            home.join("run/xds.sock").display().to_string(),
        ),
        ("AVIARY_XDS_TOKEN", token(key, &node)),
        ("AVIARY_PROXY_STATE", state.display().to_string()),
        ("AVIARY_PROXY_TYPE", kind.to_owned()),
        (
            "ISTIO_META_LABELS",
            serde_json::to_string(&labels).unwrap_or_default(),
        ),
        ("ISTIO_META_WORKLOAD", workload(pod, &labels)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The proxy's proof towards the xDS server: hex of HMAC-SHA256 over its node id.
fn token(key: &[u8], node: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let tag = hmac::sign(&key, node.as_bytes());
    tag.as_ref().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Name of the Deployment or other owner; the pod's own name without one.
fn workload(pod: &Pod, labels: &BTreeMap<String, String>) -> String {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    match owners.iter().find(|owner| owner.controller == Some(true)) {
        Some(owner) if owner.kind == "ReplicaSet" => deployment_of(
            &owner.name,
            labels.get("pod-template-hash").map(String::as_str),
        ),
        Some(owner) => owner.name.clone(),
        None => pod.metadata.name.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn pod(init: &serde_json::Value, images: &[&str]) -> Pod {
        let containers: Vec<_> = images
            .iter()
            .map(|image| json!({"name": "c", "image": image}))
            .collect();
        from_value(json!({
            "metadata": {
                "name": "web-abc-x", "namespace": "default", "labels": {"pod-template-hash": "abc"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-abc", "uid": "1", "controller": true}],
            },
            "spec": {"containers": containers, "initContainers": init},
        }))
        .unwrap()
    }

    #[test]
    fn role_by_what_runs_beside_the_proxy() {
        let sidecar = json!([{"name": "istio-proxy", "image": "aviary/proxy:0.1.0", "restartPolicy": "Always"}]);
        assert_eq!(role(&pod(&sidecar, &["web:1"])), Some(Role::Sidecar));
        assert_eq!(
            role(&pod(&json!([]), &["aviary/proxy:0.1.0"])),
            Some(Role::Router)
        );
        assert_eq!(role(&pod(&json!([]), &["web:1"])), None);
    }

    #[test]
    fn environment_names_workload_and_signs_the_node_id() {
        let pod = pod(&json!([]), &["web:1"]);
        let address = Ipv4Addr::new(10, 244, 0, 9);
        let env: BTreeMap<_, _> = environment(
            &pod,
            Role::Sidecar,
            address,
            Path::new("/h"),
            Path::new("/h/s"),
            b"key",
        )
        .into_iter()
        .collect();
        assert_eq!(
            env.get("ISTIO_META_WORKLOAD").map(String::as_str),
            Some("web")
        );
        let node = "sidecar~10.244.0.9~web-abc-x.default~default.svc.cluster.local";
        assert_eq!(env.get("AVIARY_XDS_TOKEN"), Some(&token(b"key", node)));
        assert_eq!(token(b"key", node).len(), 64);
    }
}

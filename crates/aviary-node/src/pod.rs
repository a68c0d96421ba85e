//! What a pod's objects mean for its processes: decisions over plain data, no input or output.

pub(crate) mod backoff;
pub(crate) mod catalog;
pub(crate) mod environment;
pub(crate) mod lifecycle;
pub(crate) mod proxy;
pub(crate) mod record;
pub(crate) mod status;

use k8s_openapi::api::core::v1::{Container, Pod};

/// The pod's uid; empty for an object that never passed the API server.
pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// Init containers in their order.
pub(crate) fn init_containers(pod: &Pod) -> &[Container] {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.init_containers.as_deref())
        .unwrap_or_default()
}

/// Application containers.
pub(crate) fn containers(pod: &Pod) -> &[Container] {
    pod.spec
        .as_ref()
        .map_or(&[], |spec| spec.containers.as_slice())
}

/// All containers, init containers first.
pub(crate) fn all_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    init_containers(pod).iter().chain(containers(pod))
}

/// True for an init container that runs beside the application (a native sidecar).
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// `fieldPath` of a container, for events.
pub(crate) fn field_path(pod: &Pod, name: &str) -> String {
    let list = if containers(pod).iter().any(|c| c.name == name) {
        "containers"
    } else {
        "initContainers"
    };
    format!("spec.{list}{{{name}}}")
}

//! What the mesh needs of a Pod.

use std::{collections::BTreeMap, sync::Arc};

use aviary_api::{inject, selector::Labels};
use aviary_mesh::endpoint::WorkloadLabels;
use k8s_openapi::api::core::v1::Pod;

use crate::ObjectKey;

/// A Pod. Most changes of a Pod's status leave this as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its labels.
    pub labels: Labels,
    /// Named container ports.
    pub ports: BTreeMap<String, u16>,
    /// Its names in metrics.
    pub names: Arc<WorkloadLabels>,
}

/// The installation's id in metrics.
pub const CLUSTER_ID: &str = "Kubernetes";

impl Workload {
    /// Reads a Pod.
    pub fn new(pod: &Pod) -> Self {
        let labels: Labels = pod.metadata.labels.clone().unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        let or = |first: &str, second: String| match label(first) {
            found if found.is_empty() => second,
            found => found,
        };
        let workload = owner(pod);
        let spec = pod.spec.as_ref();
        let names = WorkloadLabels {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            app: label("app"),
            version: label("version"),
            canonical_service: or(
                "service.istio.io/canonical-name",
                or("app.kubernetes.io/name", or("app", workload.clone())),
            ),
            canonical_revision: or(
                "service.istio.io/canonical-revision",
                or(
                    "app.kubernetes.io/version",
                    or("version", "latest".to_owned()),
                ),
            ),
            service_account: spec
                .and_then(|spec| spec.service_account_name.clone())
                .unwrap_or_else(|| "default".to_owned()),
            cluster_id: CLUSTER_ID.to_owned(),
            pod: pod.metadata.name.clone().unwrap_or_default(),
            workload,
        };
        let containers = spec.into_iter().flat_map(|spec| &spec.containers);
        let ports = containers.flat_map(|container| container.ports.iter().flatten());
        let ports = ports.filter_map(|port| {
            Some((port.name.clone()?, u16::try_from(port.container_port).ok()?))
        });
        Self {
            ports: ports.collect(),
            labels,
            names: Arc::new(names),
        }
    }
}

/// Name of the Deployment (or other controller) that made the Pod, or its own.
fn owner(pod: &Pod) -> String {
    let meta = &pod.metadata;
    let owners = meta.owner_references.iter().flatten();
    let hash = meta
        .labels
        .as_ref()
        .and_then(|labels| labels.get("pod-template-hash"));
    match owners
        .filter(|owner| owner.controller == Some(true))
        .map(|owner| &owner.name)
        .next()
    {
        Some(name) => inject::deployment_of(name, hash.map(String::as_str)),
        None => meta.name.clone().unwrap_or_default(),
    }
}

/// The key of a Pod.
pub(crate) fn key(pod: &Pod) -> ObjectKey {
    ObjectKey::new(
        pod.metadata.namespace.clone().unwrap_or_default(),
        pod.metadata.name.clone().unwrap_or_default(),
    )
}

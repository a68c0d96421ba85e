//! The addresses of a cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The endpoints of one cluster, in a stable order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSet {
    /// Cluster name.
    pub cluster: String,
    /// Sorted by address.
    pub endpoints: Vec<Endpoint>,
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Where to connect.
    pub address: SocketAddr,
    /// Relative share, at least 1.
    pub weight: u32,
    /// Whether it may be given requests.
    pub health: Health,
    /// It speaks the mesh's TLS (Istio's `tlsMode: istio`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mesh_tls: bool,
    /// What is known of the workload there.
    pub workload: Arc<WorkloadLabels>,
}

/// Whether an endpoint may be given requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Health {
    /// Yes.
    #[default]
    Healthy,
    /// No new ones; those under way go on.
    Draining,
    /// No.
    Unhealthy,
}

/// What the mesh knows of a workload: the values of Istio's metric labels.
///
/// Missing values are empty here and become `unknown` in metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkloadLabels {
    /// Owner's name, e.g. `reviews-v1`.
    pub workload: String,
    /// Namespace.
    pub namespace: String,
    /// Label `app`.
    pub app: String,
    /// Label `version`.
    pub version: String,
    /// `service.istio.io/canonical-name`.
    pub canonical_service: String,
    /// `service.istio.io/canonical-revision`; `latest` by default.
    pub canonical_revision: String,
    /// Service account.
    pub service_account: String,
    /// The installation's id, `Kubernetes` by default.
    pub cluster_id: String,
    /// Pod name.
    pub pod: String,
}

//! The addresses of a cluster.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::is_default;

/// The endpoints of one cluster, in a stable order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSet {
    /// Cluster name.
    pub cluster: String,
    /// Sorted by priority, locality and address.
    pub endpoints: Vec<Endpoint>,
    /// A priority takes all traffic while this share of its endpoints is healthy: 140 means that
    /// 100/140 of them suffice; 0 means 140. Source: Envoy `overprovisioning_factor`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub overprovisioning_percent: u32,
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
    /// 0 is used first; the next ones take over what those before cannot.
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: u32,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "is_default")]
    pub locality: Option<Arc<Locality>>,
    /// The name that it was given, for `host` rewrites and hashing by name.
    #[serde(default, skip_serializing_if = "is_default")]
    pub hostname: Option<Arc<str>>,
}

impl Endpoint {
    /// A healthy endpoint of weight 1 of which nothing else is known.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            weight: 1,
            health: Health::Healthy,
            mesh_tls: false,
            workload: Arc::default(),
            priority: 0,
            locality: None,
            hostname: None,
        }
    }
}

/// Where endpoints stand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Locality {
    /// Region.
    pub region: String,
    /// Zone in the region.
    pub zone: String,
    /// Part of the zone.
    pub sub_zone: String,
    /// Share of its priority that it gets, where the cluster weighs localities; 0 gets nothing.
    pub weight: u32,
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

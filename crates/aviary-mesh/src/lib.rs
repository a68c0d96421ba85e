//! The mesh's configuration model and every decision of the data plane over it.
//!
//! The control plane makes a [`MeshConfig`], xDS carries it, the proxy uses it: one model at both
//! ends. This crate decides and never acts: it has no sockets, clock, entropy, files or threads;
//! time and randomness are arguments.
//!
//! Read first: [`MeshConfig`], [`route::Route`], [`resolve::Decision`].

pub mod matcher;
pub mod access_log;
pub mod rbac;
pub mod cors;
pub mod listener;
pub mod names;
pub mod route;
pub mod cluster;
pub mod endpoint;
pub mod tls;
pub mod compiled;
pub mod filters;
pub mod resolve;
pub mod balance;
pub mod outlier;
pub mod circuit;
pub mod retry;
pub mod timeout;

mod xxhash;

#[cfg(test)]
mod testing;

pub use cluster::{Cluster, Discovery};
pub use endpoint::{Endpoint, EndpointSet};
pub use listener::{ChainAction, FilterChain, Listener};
pub use route::{Route, RouteTable, VirtualHost};

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Everything that one proxy is configured with: the five xDS types by resource name.
///
/// Values are shared so that a change of one resource leaves the others as they are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MeshConfig {
    /// Listeners by name (LDS).
    pub listeners: BTreeMap<String, Arc<Listener>>,
    /// Route tables by name (RDS).
    pub routes: BTreeMap<String, Arc<RouteTable>>,
    /// Clusters by name (CDS).
    pub clusters: BTreeMap<String, Arc<Cluster>>,
    /// Endpoints by cluster name (EDS).
    pub endpoints: BTreeMap<String, Arc<EndpointSet>>,
    /// Secrets by name (SDS). Held in memory only: the serialized form is without them.
    #[serde(skip)]
    pub secrets: tls::Secrets,
}

/// Whether a field may be left out when it is written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

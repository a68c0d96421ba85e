//! The data plane: one proxy beside a workload (sidecar) or at the edge (router).
//!
//! It takes its configuration as [`aviary_mesh::MeshConfig`] over xDS, decides every request by
//! [`aviary_mesh::resolve`], and owns what that crate must not: sockets, timers, tasks, files.
//! It never sees an Istio or a Kubernetes type.
//!
//! Read first: [`Config`], [`run`], and for tests [`worker`].

pub mod config;
mod serve;

pub use config::{Config, ProxyKind};
pub use serve::{Error, run};

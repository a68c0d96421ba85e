//! The data plane: one proxy beside a workload (sidecar) or at the edge (router).
//!
//! It takes its configuration as [`aviary_mesh::MeshConfig`] over xDS, decides every request by
//! [`aviary_mesh::resolve`], and owns what that crate must not: sockets, timers, tasks, files.
//! It never sees an Istio or a Kubernetes type.
//!
//! Read first: [`Config`], [`run`], then the way of a request: `connection::serve`,
//! `request::handle`, `forward::Forward::run`, `record::Exchange`.

pub mod config;
mod serve;
mod admin;
mod xds;
mod state;
mod inherited;
mod snapshot;
mod honoured;
mod life;
mod worker;
mod connection;
mod inspect;
mod request;
mod canonical;
mod forward;
mod tcp;
mod reply;
mod dress;
mod date;
mod record;
mod otlp;
mod headers;
mod upstream;
mod http;
mod stream;
mod splice;
mod tls;
mod socket;

pub use aviary_xds::Bootstrap;
pub use canonical::{Canonical, canonical};
pub use config::{Config, ProxyKind};
pub use serve::{Error, run};

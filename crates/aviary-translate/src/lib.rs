//! Kubernetes and Istio objects to the mesh's configuration model.
//!
//! The translator never fails and never acts: what is wrong with an object becomes a
//! [`Diagnostic`], and everything else is served. It reads nothing but its arguments, so equal
//! arguments give equal results; [`ProxyKey`] is therefore a cache key.
//!
//! Read first: [`Snapshot`], [`ProxyKey`], [`translate`].

pub mod key;
pub mod diagnostic;
pub mod service;
pub mod workload;
pub mod snapshot;
mod live;
mod destination_rule;
mod cluster;
mod virtual_service;
mod overlay;
mod effective;
mod sidecar;
mod gateway;
mod analyze;
#[cfg(test)]
mod tests;

pub use analyze::analyze;
pub use diagnostic::{Diagnostic, Severity};
pub use effective::{Effective, effective};
pub use key::{ObjectKey, ProxyKey, ProxyKind};
pub use live::{LastGood, Missing, SubsetForm};
pub use snapshot::{Kind, Snapshot};

use aviary_mesh::MeshConfig;

/// Everything that a proxy of this key is configured with, and what could not be honoured.
pub fn translate(snapshot: &Snapshot, key: &ProxyKey) -> (MeshConfig, Vec<Diagnostic>) {
    let mut config = MeshConfig::default();
    let mut diagnostics = Vec::new();
    cluster::add_outbound(snapshot, key, &mut config);
    match key.kind {
        ProxyKind::Sidecar => {
            sidecar::outbound::add(snapshot, key, &mut config, &mut diagnostics);
            sidecar::inbound::add(snapshot, key, &mut config);
        }
        ProxyKind::Router => gateway::add(snapshot, key, &mut config, &mut diagnostics),
    }
    (config, diagnostics)
}

/// As [`translate`] where since `previous` only endpoints changed: all else is taken over.
pub fn translate_endpoints(
    snapshot: &Snapshot,
    key: &ProxyKey,
    previous: &MeshConfig,
) -> MeshConfig {
    let mut config = MeshConfig {
        endpoints: std::collections::BTreeMap::new(),
        ..previous.clone()
    };
    cluster::add_endpoints(snapshot, key, &mut config);
    for (name, set) in &mut config.endpoints {
        if let Some(known) = previous.endpoints.get(name)
            && known == set
        {
            *set = std::sync::Arc::clone(known);
        }
    }
    config
}

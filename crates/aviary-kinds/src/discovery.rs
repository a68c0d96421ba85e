//! Discovery documents: which groups, versions and resources there are.

use serde_json::Value;

use crate::registry::Registry;

/// `GET /api`: `APIVersions`. `address` is host:port for `serverAddressByClientCIDRs`.
pub fn api_versions(address: &str) -> Value {
    let _ = address;
    Value::Null
}

/// `GET /apis`: `APIGroupList`.
pub fn api_groups(registry: &Registry) -> Value {
    let _ = registry;
    Value::Null
}

/// `GET /apis/<group>`: `APIGroup`; `None` when there is no such group.
pub fn api_group(registry: &Registry, group: &str) -> Option<Value> {
    let _ = (registry, group);
    None
}

/// `GET /api/v1`, `GET /apis/<group>/<version>`: `APIResourceList`; `None` when absent.
pub fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let _ = (registry, group, version);
    None
}

/// Which half of aggregated discovery is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// `GET /api`: the core group.
    Core,
    /// `GET /apis`: all named groups.
    Groups,
}

/// Aggregated `APIGroupDiscoveryList` (`apidiscovery.k8s.io/v2`).
pub fn aggregated(registry: &Registry, root: Root) -> Value {
    let _ = (registry, root);
    Value::Null
}

//! Discovery documents: which groups, versions and resources there are.
//!
//! Source: Kubernetes API `meta/v1` (legacy) and `apidiscovery.k8s.io/v2` (aggregated).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    kind::{Kind, Scope, Subresource},
    registry::Registry,
};

#[cfg(test)]
mod tests;

/// `GET /api`: `APIVersions`. `address` is host:port for `serverAddressByClientCIDRs`.
pub fn api_versions(address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    })
}

/// `GET /apis`: `APIGroupList`.
pub fn api_groups(registry: &Registry) -> Value {
    let groups: Vec<Value> = groups(registry)
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| group_value(&group, &versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/<group>`: `APIGroup`; `None` when there is no such group.
pub fn api_group(registry: &Registry, group: &str) -> Option<Value> {
    let (name, versions) = groups(registry)
        .into_iter()
        .find(|(name, _)| &**name == group)?;
    let mut value = group_value(&name, &versions);
    value["kind"] = json!("APIGroup");
    value["apiVersion"] = json!("v1");
    Some(value)
}

/// `GET /api/v1`, `GET /apis/<group>/<version>`: `APIResourceList`; `None` when absent.
pub fn resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let kinds = kinds_of(registry, group, version);
    let first = kinds.first()?;
    let resources: Vec<Value> = kinds.iter().flat_map(|kind| resources(kind)).collect();
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": first.api_version(),
        "resources": resources,
    }))
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
    let items: Vec<Value> = groups(registry)
        .into_iter()
        .filter(|(group, _)| group.is_empty() == (root == Root::Core))
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| version_value(registry, &group, version))
                .collect();
            let metadata = if group.is_empty() {
                json!({})
            } else {
                json!({"name": &*group})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

/// Groups in discovery order, each with its versions, preferred first.
fn groups(registry: &Registry) -> Vec<(Arc<str>, Vec<Arc<str>>)> {
    let mut groups: Vec<(Arc<str>, Vec<Arc<str>>)> = Vec::new();
    for (group, version) in registry.group_versions() {
        match groups.last_mut() {
            Some((last, versions)) if *last == group => versions.push(version),
            _ => groups.push((group, vec![version])),
        }
    }
    groups
}

fn kinds_of<'a>(registry: &'a Registry, group: &str, version: &str) -> Vec<&'a Arc<Kind>> {
    registry
        .iter()
        .filter(|kind| &*kind.group == group && &*kind.version == version)
        .collect()
}

fn group_value(group: &str, versions: &[Arc<str>]) -> Value {
    let version = |version: &Arc<str>| json!({"groupVersion": format!("{group}/{version}"), "version": &**version});
    json!({
        "name": group,
        "versions": versions.iter().map(version).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(version),
    })
}

fn resources(kind: &Kind) -> Vec<Value> {
    let mut resource = json!({
        "name": &*kind.plural,
        "singularName": &*kind.singular,
        "namespaced": kind.namespaced(),
        "kind": &*kind.kind,
        "verbs": kind.verbs,
        "storageVersionHash": storage_hash(kind),
    });
    for (name, list) in [
        ("shortNames", &kind.short_names),
        ("categories", &kind.categories),
    ] {
        if !list.is_empty() {
            resource[name] = json!(list);
        }
    }
    let mut all = vec![resource];
    all.extend(kind.subresources.iter().map(|sub| {
        let mut value = json!({
            "name": format!("{}/{}", kind.plural, sub.name),
            "singularName": "",
            "namespaced": kind.namespaced(),
            "kind": &*sub.kind,
            "verbs": sub.verbs,
        });
        if (&sub.group, &sub.version) != (&kind.group, &kind.version) {
            value["group"] = json!(&*sub.group);
            value["version"] = json!(&*sub.version);
        }
        value
    }));
    all
}

/// An opaque text that is equal only for one stored kind; clients use it to spot changes.
fn storage_hash(kind: &Kind) -> String {
    use base64::Engine as _;
    let text = format!("{}/{}/{}", kind.stored_group, kind.version, kind.kind);
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    base64::engine::general_purpose::STANDARD.encode(hash.to_be_bytes())
}

fn version_value(registry: &Registry, group: &str, version: &str) -> Value {
    let resources: Vec<Value> = kinds_of(registry, group, version)
        .iter()
        .map(|kind| aggregated_resource(kind))
        .collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn aggregated_resource(kind: &Kind) -> Value {
    let scope = match kind.scope {
        Scope::Namespaced => "Namespaced",
        Scope::Cluster => "Cluster",
    };
    let mut resource = json!({
        "resource": &*kind.plural,
        "responseKind": response_kind(&kind.group, &kind.version, &kind.kind),
        "scope": scope,
        "singularResource": &*kind.singular,
        "verbs": kind.verbs,
    });
    for (name, list) in [
        ("shortNames", &kind.short_names),
        ("categories", &kind.categories),
    ] {
        if !list.is_empty() {
            resource[name] = json!(list);
        }
    }
    if !kind.subresources.is_empty() {
        let all: Vec<Value> = kind
            .subresources
            .iter()
            .map(aggregated_subresource)
            .collect();
        resource["subresources"] = json!(all);
    }
    resource
}

fn aggregated_subresource(sub: &Subresource) -> Value {
    json!({
        "subresource": &*sub.name,
        "responseKind": response_kind(&sub.group, &sub.version, &sub.kind),
        "verbs": sub.verbs,
    })
}

fn response_kind(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

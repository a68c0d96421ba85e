//! OpenAPI v3 documents, one per group version.
//!
//! They carry what kubectl reads: the components that `explain` and three-way patches walk, and
//! the operations that tell which patches and query parameters a kind takes.

use serde_json::{Map, Value, json};

use crate::{
    kind::{Kind, Rules},
    registry::Registry,
};

mod component;
mod path;
#[cfg(test)]
mod tests;

/// `GET /openapi/v3`. `hash` gives the hash of a document, for its immutable URL.
pub fn index(registry: &Registry, hash: impl Fn(&str, &str) -> String) -> Value {
    let mut paths = Map::new();
    for (group, version) in registry.group_versions() {
        let path = base_path(&group, &version);
        let hash = hash(&group, &version);
        let url = format!("/openapi/v3{path}?hash={hash}");
        paths.insert(
            path.trim_start_matches('/').to_owned(),
            json!({"serverRelativeURL": url}),
        );
    }
    json!({"paths": paths})
}

/// `GET /openapi/v3/api/v1`, `GET /openapi/v3/apis/<group>/<version>`; `None` when absent.
pub fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut components = component::Components::default();
    let mut paths = Map::new();
    for kind in registry
        .iter()
        .filter(|k| &*k.group == group && &*k.version == version)
    {
        components.add_kind(kind);
        path::add(&mut paths, kind);
    }
    if paths.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Aviary", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"schemas": components.finish()},
    }))
}

fn base_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    }
}

/// Name of a kind's component: the type's own, else the group's domain turned around.
fn component_name(kind: &Kind) -> String {
    if let (Rules::BuiltIn, Some(name)) = (&kind.rules, &kind.schema.name) {
        return name.to_string();
    }
    let domain: Vec<&str> = kind.group.split('.').rev().collect();
    format!("{}.{}.{}", domain.join("."), kind.version, kind.kind)
}

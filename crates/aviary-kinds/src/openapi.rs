//! OpenAPI v3 documents, one per group version.

use serde_json::Value;

use crate::registry::Registry;

/// `GET /openapi/v3`. `hash` gives the hash of a document, for its immutable URL.
pub fn index(registry: &Registry, hash: impl Fn(&str, &str) -> String) -> Value {
    let _ = (registry, hash);
    Value::Null
}

/// `GET /openapi/v3/api/v1`, `GET /openapi/v3/apis/<group>/<version>`; `None` when absent.
pub fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let _ = (registry, group, version);
    None
}

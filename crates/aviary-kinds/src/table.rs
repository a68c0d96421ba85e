//! Objects as rows, for `kubectl get`.

use jiff::Timestamp;
use serde_json::Value;

use crate::kind::Kind;

/// How much of each object a row carries (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Its metadata, as `PartialObjectMetadata`; the default.
    Metadata,
    /// All of it.
    Object,
}

/// `columnDefinitions` of the kind's table.
pub fn columns(kind: &Kind) -> Value {
    let _ = kind;
    Value::Array(Vec::new())
}

/// One element of `rows`; ages are relative to `now`.
pub fn row(kind: &Kind, object: &Value, now: Timestamp, include: IncludeObject) -> Value {
    let _ = (kind, object, now, include);
    Value::Null
}

/// A whole `Table`; `list_metadata` is the `metadata` of the list (resourceVersion, continue, ...).
/// `with_columns` is false for all but the first event of a watch.
pub fn table<'a>(
    kind: &Kind,
    objects: impl IntoIterator<Item = &'a Value>,
    list_metadata: Value,
    now: Timestamp,
    include: IncludeObject,
    with_columns: bool,
) -> Value {
    let _ = with_columns;
    let rows: Vec<Value> = objects.into_iter().map(|o| row(kind, o, now, include)).collect();
    serde_json::json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": list_metadata, "columnDefinitions": columns(kind), "rows": rows})
}

//! Objects as rows, for `kubectl get`.
//!
//! Source: Kubernetes `pkg/printers/internalversion` (columns and cells of built-in kinds) and
//! `apiextensions-apiserver` (columns of custom kinds).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::kind::{Kind, Rules};

mod age;
mod cells;
mod columns;
mod custom;
mod endpoint;
mod pod;
#[cfg(test)]
mod tests;

pub use age::since;

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
    let all = match &kind.rules {
        Rules::BuiltIn => columns::builtin(&kind.kind),
        Rules::Custom { columns, .. } => custom::columns(columns),
    };
    Value::Array(all)
}

/// One element of `rows`; ages are relative to `now`.
pub fn row(kind: &Kind, object: &Value, now: Timestamp, include: IncludeObject) -> Value {
    let cells = match &kind.rules {
        Rules::BuiltIn => cells::builtin(&kind.kind, object, now),
        Rules::Custom { columns, .. } => custom::cells(columns, object, now),
    };
    let mut row = json!({"cells": cells});
    match include {
        IncludeObject::None => {}
        IncludeObject::Metadata => {
            row["object"] = json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"],
            });
        }
        IncludeObject::Object => row["object"] = object.clone(),
    }
    row
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
    let rows: Vec<Value> = objects
        .into_iter()
        .map(|object| row(kind, object, now, include))
        .collect();
    let columns = if with_columns {
        columns(kind)
    } else {
        Value::Null
    };
    let mut table = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1"});
    table["metadata"] = list_metadata;
    table["columnDefinitions"] = columns;
    table["rows"] = Value::Array(rows);
    table
}

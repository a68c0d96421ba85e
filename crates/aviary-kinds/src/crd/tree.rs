//! From an `openAPIV3Schema` to the field tree that all walkers share.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{text, texts};
use crate::schema::{self, ListType, Schema, Type};

/// The field tree of a whole object: the schema's own fields, with `apiVersion`, `kind` and
/// `metadata` as every object has them.
pub(super) fn root(raw: &Value, name: &str) -> Schema {
    let mut root = node(raw);
    root.name = Some(name.into());
    root.kind = Type::Object;
    for (field, description) in [
        (
            "apiVersion",
            "Version of the schema that this object is written in.",
        ),
        ("kind", "Kind of this object."),
    ] {
        let string = Schema {
            kind: Type::String,
            description: Some(description.into()),
            ..Schema::default()
        };
        root.properties.insert(field.into(), Arc::new(string));
    }
    root.properties
        .insert("metadata".into(), schema::object_meta());
    root
}

fn node(raw: &Value) -> Schema {
    let flag = |name: &str| raw[name] == true;
    Schema {
        name: None,
        description: raw["description"].as_str().map(Into::into),
        kind: value_type(raw),
        format: raw["format"].as_str().map(Into::into),
        nullable: flag("nullable"),
        properties: fields(raw["properties"].as_object()),
        additional: additional(&raw["additionalProperties"]),
        items: raw.get("items").map(|items| Arc::new(node(items))),
        required: texts(&raw["required"]),
        enumeration: raw["enum"].as_array().cloned().unwrap_or_default(),
        default: raw.get("default").cloned(),
        preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
        embedded: flag("x-kubernetes-embedded-resource"),
        list: list_type(raw),
        atomic_map: raw["x-kubernetes-map-type"] == "atomic",
        ..Schema::default()
    }
}

fn value_type(raw: &Value) -> Type {
    if raw["x-kubernetes-int-or-string"] == true {
        return Type::IntOrString;
    }
    match text(&raw["type"]) {
        "object" => Type::Object,
        "array" => Type::Array,
        "string" => Type::String,
        "integer" => Type::Integer,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        _ => Type::Any,
    }
}

fn fields(raw: Option<&Map<String, Value>>) -> std::collections::BTreeMap<Arc<str>, Arc<Schema>> {
    raw.into_iter()
        .flatten()
        .map(|(name, field)| (name.as_str().into(), Arc::new(node(field))))
        .collect()
}

fn additional(raw: &Value) -> Option<Arc<Schema>> {
    match raw {
        Value::Object(_) => Some(Arc::new(node(raw))),
        Value::Bool(true) => Some(Arc::new(Schema {
            preserve_unknown: true,
            ..Schema::default()
        })),
        _ => None,
    }
}

fn list_type(raw: &Value) -> ListType {
    match text(&raw["x-kubernetes-list-type"]) {
        "set" => ListType::Set,
        "map" => ListType::Map(texts(&raw["x-kubernetes-list-map-keys"])),
        _ => ListType::Atomic,
    }
}

//! The field tree of a kind.
//!
//! One compact tree serves every walker: strict decoding, defaulting, strategic merge, field
//! ownership and the OpenAPI documents.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde_json::Value;

pub(crate) mod builtin;
mod annotations;

/// What a value must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// Anything, null included.
    #[default]
    Any,
    /// A JSON object: a struct when it has properties, a map when it has `additional`.
    Object,
    /// A JSON array.
    Array,
    /// A JSON string; `format` may say more (`date-time`, `byte`, ...).
    String,
    /// A whole number; `format` is `int32` or `int64` when bounded.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A whole number or a string (ports, percentages, quantities).
    IntOrString,
}

/// How a list behaves under server-side apply (`x-kubernetes-list-type`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    /// Owned and replaced as a whole.
    #[default]
    Atomic,
    /// Scalars without order, each owned alone.
    Set,
    /// Objects told apart by these fields.
    Map(Vec<Arc<str>>),
}

/// How a field behaves under a strategic merge patch (`x-kubernetes-patch-strategy`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// The list is merged with the live one instead of replacing it.
    pub merge: bool,
    /// Field that tells the items of a merged list apart; `None` for lists of scalars.
    pub merge_key: Option<Arc<str>>,
    /// `$retainKeys` is honoured: keys that the patch does not retain are dropped.
    pub retain_keys: bool,
    /// The map or object is replaced as a whole.
    pub replace: bool,
}

/// One node of the field tree.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent OpenAPI extension"
)]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// Full OpenAPI name of a named type, such as `io.k8s.api.apps.v1.DeploymentSpec`.
    pub name: Option<Arc<str>>,
    /// What the field means, for `kubectl explain`.
    pub description: Option<Arc<str>>,
    /// What the named type means, wherever it is used.
    pub type_description: Option<Arc<str>>,
    /// What the value must be.
    pub kind: Type,
    /// Refinement of the type: `int32`, `int64`, `date-time`, `byte`, `quantity`, ...
    pub format: Option<Arc<str>>,
    /// `null` is kept as a value of this field (custom kinds only).
    pub nullable: bool,
    /// Known fields of an object.
    pub properties: BTreeMap<Arc<str>, Arc<Self>>,
    /// Schema of the values of a map.
    pub additional: Option<Arc<Self>>,
    /// Schema of the items of an array.
    pub items: Option<Arc<Self>>,
    /// Fields that must be present.
    pub required: Vec<Arc<str>>,
    /// The only values allowed; empty means no restriction.
    pub enumeration: Vec<Value>,
    /// Value that an absent field takes.
    pub default: Option<Value>,
    /// Fields that are not listed are kept as they are.
    pub preserve_unknown: bool,
    /// The value is a whole object with `apiVersion`, `kind` and `metadata`.
    pub embedded: bool,
    /// How the list is owned.
    pub list: ListType,
    /// The map or object is owned as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic_map: bool,
    /// How the field is merged by a strategic patch.
    pub patch: PatchStrategy,
}

impl Schema {
    /// The schema of field `name`: a known property, else the schema of map values.
    pub fn field(&self, name: &str) -> Option<&Arc<Self>> {
        self.properties.get(name).or(self.additional.as_ref())
    }

    /// The last part of the type's name, as Go calls the struct: `DeploymentSpec`.
    pub fn struct_name(&self) -> Option<&str> {
        self.name
            .as_deref()
            .and_then(|name| name.rsplit('.').next())
    }

    /// Whether fields outside `properties` are allowed here.
    pub fn is_open(&self) -> bool {
        self.preserve_unknown
            || self.additional.is_some()
            || (self.kind == Type::Any && self.properties.is_empty())
    }

    /// Fills absent fields that have a default, all the way down.
    pub fn fill_defaults(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for (name, field) in &self.properties {
                    if let Some(default) = &field.default {
                        let slot = map.get(&**name);
                        if slot.is_none() || (slot == Some(&Value::Null) && !field.nullable) {
                            map.insert(name.to_string(), default.clone());
                        }
                    }
                }
                for (name, child) in map.iter_mut() {
                    if let Some(field) = self.field(name) {
                        field.fill_defaults(child);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(schema) = &self.items {
                    for item in items {
                        schema.fill_defaults(item);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The field tree of `metadata`, the same for every kind.
pub fn object_meta() -> Arc<Schema> {
    static META: LazyLock<Arc<Schema>> = LazyLock::new(builtin::object_meta);
    META.clone()
}

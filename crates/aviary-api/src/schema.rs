//! The field trees of the custom kinds: one description that gives the CRDs' structural schemas
//! and finds the fields that Aviary does not honour yet.

pub(crate) mod virtual_service;
pub(crate) mod destination_rule;
pub(crate) mod gateway;
pub(crate) mod release;

use serde_json::{Map, Value, json};

/// One field.
#[derive(Debug, Clone)]
pub(crate) enum Field {
    /// Named fields.
    Object {
        doc: &'static str,
        fields: Vec<(&'static str, Self)>,
    },
    /// A list of one form.
    List { doc: &'static str, item: Box<Self> },
    /// Values of one form under names that the user chooses.
    Map { doc: &'static str, item: Box<Self> },
    /// Text.
    Text { doc: &'static str },
    /// Text out of a list.
    Choice {
        doc: &'static str,
        of: &'static [&'static str],
    },
    /// A whole number.
    Integer { doc: &'static str },
    /// A number.
    Number { doc: &'static str },
    /// True or false.
    Flag { doc: &'static str },
    /// Exists in Istio, is not honoured here yet: any content is read, and then refused.
    Later,
}

/// An object's fields.
pub(crate) fn object(doc: &'static str, fields: Vec<(&'static str, Field)>) -> Field {
    Field::Object { doc, fields }
}

/// A list.
pub(crate) fn list(doc: &'static str, item: Field) -> Field {
    Field::List {
        doc,
        item: Box::new(item),
    }
}

/// A map.
pub(crate) fn map(doc: &'static str, item: Field) -> Field {
    Field::Map {
        doc,
        item: Box::new(item),
    }
}

/// A text.
pub(crate) const fn text(doc: &'static str) -> Field {
    Field::Text { doc }
}

/// One of some texts.
pub(crate) const fn choice(doc: &'static str, of: &'static [&'static str]) -> Field {
    Field::Choice { doc, of }
}

/// A whole number.
pub(crate) const fn integer(doc: &'static str) -> Field {
    Field::Integer { doc }
}

/// A number.
pub(crate) const fn number(doc: &'static str) -> Field {
    Field::Number { doc }
}

/// True or false.
pub(crate) const fn flag(doc: &'static str) -> Field {
    Field::Flag { doc }
}

/// Labels.
pub(crate) fn labels(doc: &'static str) -> Field {
    map(doc, text(""))
}

/// `{value: number}`.
pub(crate) fn percent(doc: &'static str) -> Field {
    object(doc, vec![("value", number("0 to 100."))])
}

/// `{number: integer}`.
pub(crate) fn port(doc: &'static str) -> Field {
    object(doc, vec![("number", integer("1 to 65535."))])
}

impl Field {
    /// The structural schema (`openAPIV3Schema`).
    pub(crate) fn schema(&self) -> Value {
        let (mut schema, doc) = match self {
            Self::Object { doc, fields } => {
                let properties: Map<String, Value> = fields
                    .iter()
                    .map(|(name, field)| ((*name).to_owned(), field.schema()))
                    .collect();
                (json!({"type": "object", "properties": properties}), *doc)
            }
            Self::List { doc, item } => (json!({"type": "array", "items": item.schema()}), *doc),
            Self::Map { doc, item } => (
                json!({"type": "object", "additionalProperties": item.schema()}),
                *doc,
            ),
            Self::Text { doc } => (json!({"type": "string"}), *doc),
            Self::Choice { doc, of } => (json!({"type": "string", "enum": of}), *doc),
            Self::Integer { doc } => (json!({"type": "integer", "format": "int64"}), *doc),
            Self::Number { doc } => (json!({"type": "number", "format": "double"}), *doc),
            Self::Flag { doc } => (json!({"type": "boolean"}), *doc),
            Self::Later => (
                json!({"x-kubernetes-preserve-unknown-fields": true}),
                "Exists in Istio; not honoured by Aviary yet and refused.",
            ),
        };
        if !doc.is_empty()
            && let Some(map) = schema.as_object_mut()
        {
            map.insert("description".to_owned(), doc.into());
        }
        schema
    }

    /// Adds the paths of fields present in `value` that are not honoured, or not known at all.
    pub(crate) fn refused(&self, value: &Value, path: &str, found: &mut Vec<Refused>) {
        if value.is_null() {
            return;
        }
        match (self, value) {
            (Self::Later, _) => found.push(Refused {
                path: path.to_owned(),
                known: true,
            }),
            (Self::Object { fields, .. }, Value::Object(map)) => {
                for (name, value) in map {
                    let path = format!("{path}.{name}");
                    match fields.iter().find(|(field, _)| field == name) {
                        Some((_, field)) => field.refused(value, &path, found),
                        None => found.push(Refused { path, known: false }),
                    }
                }
            }
            (Self::List { item, .. }, Value::Array(items)) => {
                for (i, value) in items.iter().enumerate() {
                    item.refused(value, &format!("{path}[{i}]"), found);
                }
            }
            (Self::Map { item, .. }, Value::Object(map)) => {
                for (name, value) in map {
                    item.refused(value, &format!("{path}[{name}]"), found);
                }
            }
            _ => {}
        }
    }
}

/// A field that is present and may not be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Where it is.
    pub(crate) path: String,
    /// Whether Istio knows it.
    pub(crate) known: bool,
}

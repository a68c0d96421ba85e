//! Field trees of the built-in kinds, from the typed API crate.
//!
//! `k8s-openapi` gives every type's fields, formats and descriptions through `schemars`; what it
//! does not give (merge keys, list types) comes from the table in `annotations`.

use std::{collections::BTreeMap, sync::Arc};

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::{Schema, Type, annotations};

/// Converts types one after another, sharing the trees of the types that they have in common.
pub(crate) struct Builder {
    generator: SchemaGenerator,
    done: BTreeMap<String, Arc<Schema>>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12();
        Self {
            generator: settings.into_generator(),
            done: BTreeMap::new(),
        }
    }

    /// The field tree of `T`.
    pub(crate) fn schema<T: JsonSchema>(&mut self) -> Arc<Schema> {
        self.generator.subschema_for::<T>();
        let definitions = self.generator.definitions().clone();
        Convert {
            definitions: &definitions,
            done: &mut self.done,
        }
        .named(&T::schema_name())
    }
}

pub(super) fn object_meta() -> Arc<Schema> {
    Builder::new().schema::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>()
}

struct Convert<'a> {
    definitions: &'a Map<String, Value>,
    done: &'a mut BTreeMap<String, Arc<Schema>>,
}

impl Convert<'_> {
    fn named(&mut self, name: &str) -> Arc<Schema> {
        if let Some(schema) = self.done.get(name) {
            return schema.clone();
        }
        let schema = if let Some(schema) = special(name) {
            schema
        } else {
            let raw = self.definitions.get(name).cloned().unwrap_or_default();
            self.node(&raw, name)
        };
        let mut schema = Schema {
            name: Some(name.into()),
            ..schema
        };
        schema.atomic_map |= annotations::is_atomic(name);
        schema.type_description.clone_from(&schema.description);
        let schema = Arc::new(schema);
        self.done.insert(name.to_owned(), schema.clone());
        schema
    }

    /// An inline schema; `owner` names the type whose field tree it is in.
    fn node(&mut self, raw: &Value, owner: &str) -> Schema {
        if let Some(reference) = raw["$ref"].as_str() {
            let name = reference.rsplit('/').next().unwrap_or(reference);
            let mut schema = Schema::clone(&self.named(name));
            if let Some(text) = raw["description"].as_str() {
                schema.description = Some(text.into());
            }
            return schema;
        }
        let kind = match raw["type"].as_str() {
            Some("object") => Type::Object,
            Some("array") => Type::Array,
            Some("string") => Type::String,
            Some("integer") => Type::Integer,
            Some("number") => Type::Number,
            Some("boolean") => Type::Boolean,
            _ if raw["x-kubernetes-int-or-string"] == true => Type::IntOrString,
            _ => Type::Any,
        };
        let mut properties = BTreeMap::new();
        for (name, field) in raw["properties"].as_object().into_iter().flatten() {
            let mut schema = self.node(field, owner);
            annotations::annotate(&mut schema, owner, name);
            properties.insert(Arc::from(name.as_str()), Arc::new(schema));
        }
        let required = raw["required"].as_array().into_iter().flatten();
        Schema {
            description: raw["description"].as_str().map(Arc::from),
            kind,
            format: raw["format"].as_str().map(Arc::from),
            properties,
            additional: self.child(&raw["additionalProperties"], owner),
            items: self.child(&raw["items"], owner),
            required: required.filter_map(Value::as_str).map(Arc::from).collect(),
            preserve_unknown: raw["x-kubernetes-preserve-unknown-fields"] == true,
            ..Schema::default()
        }
    }

    /// The shared tree of a child that is only a reference, else an inline one.
    fn child(&mut self, raw: &Value, owner: &str) -> Option<Arc<Schema>> {
        let map = raw.as_object()?;
        match (map.len(), raw["$ref"].as_str()) {
            (1, Some(reference)) => {
                Some(self.named(reference.rsplit('/').next().unwrap_or(reference)))
            }
            _ => Some(Arc::new(self.node(raw, owner))),
        }
    }
}

/// Types whose field tree is not in the typed crate's description, or is endless.
fn special(name: &str) -> Option<Schema> {
    let open = Schema {
        kind: Type::Object,
        preserve_unknown: true,
        ..Schema::default()
    };
    let text = "a structural OpenAPI v3 schema";
    match name.rsplit('.').next()? {
        "FieldsV1" | "RawExtension" => Some(open),
        "JSONSchemaProps" => Some(Schema {
            description: Some(text.into()),
            ..open
        }),
        "Quantity" => Some(Schema {
            kind: Type::IntOrString,
            format: Some("quantity".into()),
            ..Schema::default()
        }),
        _ => None,
    }
}

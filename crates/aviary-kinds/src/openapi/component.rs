//! Components: the field trees as JSON schemas.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::component_name;
use crate::{
    kind::{Kind, Rules},
    schema::{ListType, Schema, Type, object_meta},
};

/// Named types met so far.
#[derive(Default)]
pub(super) struct Components(BTreeMap<String, Value>);

impl Components {
    /// Adds the component of a kind and of every type below it.
    pub(super) fn add_kind(&mut self, kind: &Kind) {
        let mut value = self.body(&kind.schema);
        if matches!(kind.rules, Rules::Custom { .. }) {
            self.add_object_fields(&mut value);
        }
        value["x-kubernetes-group-version-kind"] = json!([{
            "group": &*kind.group,
            "version": &*kind.version,
            "kind": &*kind.kind,
        }]);
        self.0.insert(component_name(kind), value);
    }

    pub(super) fn finish(self) -> Map<String, Value> {
        self.0.into_iter().collect()
    }

    /// What every object has and a custom kind's own schema only hints at.
    fn add_object_fields(&mut self, value: &mut Value) {
        let meta = object_meta();
        let metadata = self.node(&meta, None);
        let text = json!({"type": "string"});
        let properties = &mut value["properties"];
        if !properties.is_object() {
            *properties = json!({});
        }
        properties["apiVersion"] = text.clone();
        properties["kind"] = text;
        properties["metadata"] = metadata;
    }

    /// A field: a reference when its type has a name, with what the field adds to the type.
    fn node(&mut self, schema: &Schema, field: Option<&Schema>) -> Value {
        let Some(name) = &schema.name else {
            let mut value = self.body(schema);
            extend(&mut value, schema);
            return value;
        };
        if !self.0.contains_key(&**name) {
            // A placeholder first: the type may contain itself.
            self.0.insert(name.to_string(), Value::Null);
            let body = self.body(schema);
            self.0.insert(name.to_string(), body);
        }
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        let Some(field) = field else { return reference };
        let mut value = json!({"allOf": [reference]});
        if let Some(text) = &field.description {
            value["description"] = json!(&**text);
        }
        extend(&mut value, field);
        value
    }

    fn body(&mut self, schema: &Schema) -> Value {
        let mut map = Map::new();
        let text = schema
            .type_description
            .as_ref()
            .or(schema.description.as_ref());
        if let Some(text) = text {
            map.insert("description".into(), json!(&**text));
        }
        add_type(&mut map, schema);
        if !schema.properties.is_empty() {
            let properties: Map<String, Value> = schema
                .properties
                .iter()
                .map(|(name, field)| (name.to_string(), self.node(field, Some(field))))
                .collect();
            map.insert("properties".into(), Value::Object(properties));
        }
        if let Some(inner) = &schema.additional {
            map.insert("additionalProperties".into(), self.node(inner, None));
        }
        if let Some(inner) = &schema.items {
            map.insert("items".into(), self.node(inner, None));
        }
        if !schema.required.is_empty() {
            map.insert("required".into(), json!(schema.required));
        }
        if !schema.enumeration.is_empty() {
            map.insert("enum".into(), json!(schema.enumeration));
        }
        if let Some(default) = &schema.default {
            map.insert("default".into(), default.clone());
        }
        for (name, is_set) in [
            ("nullable", schema.nullable),
            (
                "x-kubernetes-preserve-unknown-fields",
                schema.preserve_unknown,
            ),
            ("x-kubernetes-embedded-resource", schema.embedded),
        ] {
            if is_set {
                map.insert(name.into(), json!(true));
            }
        }
        if schema.atomic_map {
            map.insert("x-kubernetes-map-type".into(), json!("atomic"));
        }
        Value::Object(map)
    }
}

fn add_type(map: &mut Map<String, Value>, schema: &Schema) {
    let word = match schema.kind {
        Type::Any => None,
        Type::Object => Some("object"),
        Type::Array => Some("array"),
        Type::String => Some("string"),
        Type::Integer => Some("integer"),
        Type::Number => Some("number"),
        Type::Boolean => Some("boolean"),
        Type::IntOrString => {
            let other = if schema.format.as_deref() == Some("quantity") {
                "number"
            } else {
                "integer"
            };
            map.insert("oneOf".into(), json!([{"type": other}, {"type": "string"}]));
            map.insert("format".into(), json!("int-or-string"));
            return;
        }
    };
    if let Some(word) = word {
        map.insert("type".into(), json!(word));
    }
    if let Some(format) = &schema.format {
        map.insert("format".into(), json!(&**format));
    }
}

/// How the field is merged and owned.
fn extend(value: &mut Value, field: &Schema) {
    match &field.list {
        ListType::Atomic => {}
        ListType::Set => value["x-kubernetes-list-type"] = json!("set"),
        ListType::Map(keys) => {
            value["x-kubernetes-list-type"] = json!("map");
            value["x-kubernetes-list-map-keys"] = json!(keys);
        }
    }
    let words: Vec<&str> = [
        (field.patch.merge, "merge"),
        (field.patch.retain_keys, "retainKeys"),
        (field.patch.replace, "replace"),
    ]
    .into_iter()
    .filter_map(|(is_set, word)| is_set.then_some(word))
    .collect();
    if !words.is_empty() {
        value["x-kubernetes-patch-strategy"] = json!(words.join(","));
    }
    if let Some(key) = &field.patch.merge_key {
        value["x-kubernetes-patch-merge-key"] = json!(&**key);
    }
}

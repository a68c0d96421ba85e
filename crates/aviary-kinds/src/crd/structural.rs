//! Whether a value has the shape that a structural schema asks for.
//!
//! Source: kube-openapi `validation` and apiextensions-apiserver `ValidateCustomResource` (order
//! and texts of the findings).

use std::collections::HashMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::{elements, format, text};
use crate::status::Cause;

/// The regular expressions of a schema.
pub(super) struct Patterns(HashMap<String, Regex>);

impl Patterns {
    /// Compiles every `pattern` below a schema. Those that do not compile are left out: the
    /// definition was refused for them.
    pub(super) fn of(schema: &Value) -> Self {
        let mut patterns = HashMap::new();
        collect_patterns(schema, &mut patterns);
        Self(patterns)
    }
}

fn collect_patterns(schema: &Value, patterns: &mut HashMap<String, Regex>) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(pattern)) = map.get("pattern")
                && let Ok(regex) = Regex::new(pattern)
            {
                patterns.insert(pattern.clone(), regex);
            }
            map.values()
                .for_each(|child| collect_patterns(child, patterns));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_patterns(item, patterns)),
        _ => {}
    }
}

/// Judges a whole object; its `metadata` has rules of its own elsewhere.
pub(super) fn object(schema: &Value, patterns: &Patterns, object: &Value) -> Vec<Cause> {
    let mut walk = Walk {
        patterns,
        causes: Vec::new(),
    };
    walk.value(schema, object, "", true);
    walk.causes
}

struct Walk<'a> {
    patterns: &'a Patterns,
    causes: Vec<Cause>,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Value, value: &Value, path: &str, is_root: bool) {
        if value.is_null() && schema["nullable"] == true {
            return;
        }
        if !self.check_type(schema, value, path) {
            return;
        }
        self.check_enum(schema, value, path);
        match value {
            Value::Object(map) => self.object(schema, map, path, is_root),
            Value::Array(items) => self.array(schema, items, path),
            Value::String(string) => self.string(schema, string, path),
            Value::Number(_) => self.number(schema, value, path),
            Value::Null | Value::Bool(_) => {}
        }
        self.junctors(schema, value, path);
    }

    fn invalid(&mut self, path: &str, value: &Value, rule: &str) {
        let detail = format!("{} in body {rule}", shown(path));
        self.causes
            .push(Cause::invalid(shown(path), value, &detail));
    }

    fn wrong_type(&mut self, path: &str, given: &Value, wanted: &str) {
        let detail = format!("{} in body must be of type {wanted}: {given}", shown(path));
        self.causes.push(Cause {
            reason: "FieldValueTypeInvalid",
            ..Cause::invalid(shown(path), given, &detail)
        });
    }

    fn check_type(&mut self, schema: &Value, value: &Value, path: &str) -> bool {
        let given = type_of(value);
        let wanted = if schema["x-kubernetes-int-or-string"] == true {
            "integer,string"
        } else {
            text(&schema["type"])
        };
        let fits = wanted.is_empty()
            || wanted.split(',').any(|wanted| wanted == given)
            || (wanted == "number" && given == "integer")
            || (wanted == "integer" && value.as_f64().is_some_and(|n| n.fract() == 0.0));
        if !fits {
            self.wrong_type(path, &Value::from(given), wanted);
        }
        fits
    }

    fn check_enum(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(Value::Array(allowed)) = schema.get("enum") else {
            return;
        };
        if allowed.contains(value) {
            return;
        }
        let names: Vec<String> = allowed
            .iter()
            .map(|value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.causes
            .push(Cause::unsupported(shown(path), value, &names));
    }

    fn object(&mut self, schema: &Value, map: &Map<String, Value>, path: &str, is_root: bool) {
        let whole = || Value::Object(map.clone());
        let count = map.len() as u64;
        if let Some(least) = schema["minProperties"]
            .as_u64()
            .filter(|least| count < *least)
        {
            self.invalid(
                path,
                &whole(),
                &format!("should have at least {least} properties"),
            );
        }
        if let Some(most) = schema["maxProperties"]
            .as_u64()
            .filter(|most| count > *most)
        {
            self.too_many(path, count, most);
        }
        for name in elements(&schema["required"]).iter().map(text) {
            if !map.contains_key(name) {
                self.causes.push(Cause::required(join(path, name), ""));
            }
        }
        let properties = schema["properties"].as_object();
        for (name, child) in map {
            if is_root && name == "metadata" {
                continue;
            }
            let known = properties.and_then(|properties| properties.get(name));
            let field = known.or_else(|| {
                schema
                    .get("additionalProperties")
                    .filter(|additional| additional.is_object())
            });
            if let Some(field) = field {
                self.value(field, child, &join(path, name), false);
            }
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value], path: &str) {
        let count = items.len() as u64;
        if let Some(least) = schema["minItems"].as_u64().filter(|least| count < *least) {
            let whole = Value::Array(items.to_vec());
            self.invalid(path, &whole, &format!("should have at least {least} items"));
        }
        if let Some(most) = schema["maxItems"].as_u64().filter(|most| count > *most) {
            self.too_many(path, count, most);
        }
        if let Some(inner) = schema.get("items") {
            for (index, item) in items.iter().enumerate() {
                self.value(inner, item, &format!("{path}[{index}]"), false);
            }
        }
    }

    fn too_many(&mut self, path: &str, count: u64, most: u64) {
        self.causes.push(Cause {
            reason: "FieldValueTooMany",
            message: format!("Too many: {count}: must have at most {most} items"),
            field: shown(path).to_owned(),
        });
    }

    fn string(&mut self, schema: &Value, string: &str, path: &str) {
        let value = Value::from(string);
        let length = string.chars().count() as u64;
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            self.causes.push(Cause::too_long(shown(path), most));
        }
        if let Some(least) = schema["minLength"].as_u64().filter(|least| length < *least) {
            self.invalid(
                path,
                &value,
                &format!("should be at least {least} chars long"),
            );
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && self
                .patterns
                .0
                .get(pattern)
                .is_some_and(|regex| !regex.is_match(string))
        {
            self.invalid(path, &value, &format!("should match '{pattern}'"));
        }
        if let Some(wanted) = schema["format"].as_str()
            && !format::fits(wanted, string)
        {
            self.wrong_type(path, &value, wanted);
        }
    }

    fn number(&mut self, schema: &Value, value: &Value, path: &str) {
        let Some(number) = value.as_f64() else { return };
        let bound = |name: &str| schema[name].as_f64();
        if let Some(least) = bound("minimum") {
            let exclusive = schema["exclusiveMinimum"] == true;
            if number < least || (exclusive && number <= least) {
                let word = if exclusive { "" } else { " or equal to" };
                self.invalid(
                    path,
                    value,
                    &format!("should be greater than{word} {least}"),
                );
            }
        }
        if let Some(most) = bound("maximum") {
            let exclusive = schema["exclusiveMaximum"] == true;
            if number > most || (exclusive && number >= most) {
                let word = if exclusive { "" } else { " or equal to" };
                self.invalid(path, value, &format!("should be less than{word} {most}"));
            }
        }
        if let Some(factor) = bound("multipleOf").filter(|factor| *factor != 0.0)
            && (number / factor).fract() != 0.0
        {
            self.invalid(path, value, &format!("should be a multiple of {factor}"));
        }
        let overflows = match text(&schema["format"]) {
            "int32" => value
                .as_i64()
                .is_none_or(|number| i32::try_from(number).is_err()),
            "int64" => number.fract() == 0.0 && value.as_i64().is_none() && !value.is_f64(),
            _ => false,
        };
        if overflows && schema["type"] == "integer" {
            let wanted = text(&schema["format"]).to_owned();
            self.wrong_type(path, value, &wanted);
        }
    }

    /// `allOf`, `anyOf`, `oneOf` and `not`.
    fn junctors(&mut self, schema: &Value, value: &Value, path: &str) {
        let valid = |schema: &Value| {
            let mut walk = Walk {
                patterns: self.patterns,
                causes: Vec::new(),
            };
            walk.value(schema, value, path, false);
            walk.causes.is_empty()
        };
        let count = |name: &str| {
            schema[name]
                .as_array()
                .map(|all| all.iter().filter(|schema| valid(schema)).count())
        };
        let any_of = count("anyOf");
        let one_of = count("oneOf");
        let not = schema.get("not").is_some_and(valid);
        let quoted = format!("\"{path}\"");
        if any_of == Some(0) {
            self.composite(&format!(
                "{quoted} must validate at least one schema (anyOf)"
            ));
        }
        let alternatives = match one_of {
            None | Some(1) => None,
            Some(0) => Some("Found none valid".to_owned()),
            Some(many) => Some(format!("Found {many} valid alternatives")),
        };
        if let Some(found) = alternatives {
            self.composite(&format!(
                "{quoted} must validate one and only one schema (oneOf). {found}"
            ));
        }
        if not {
            self.composite(&format!("{quoted} must not validate the schema (not)"));
        }
        for schema in elements(&schema["allOf"]) {
            self.value(schema, value, path, false);
        }
    }

    /// A finding that names its place in the text only.
    fn composite(&mut self, detail: &str) {
        self.causes
            .push(Cause::invalid("<nil>", &Value::from(""), detail));
    }
}

/// Adds a finding for every item of a set or keyed list that occurs twice.
pub(super) fn unique_items(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(map) => {
            for (name, child) in map {
                let known = schema["properties"].get(name);
                let field = known.or_else(|| schema.get("additionalProperties"));
                if let Some(field) = field {
                    unique_items(field, child, &join(path, name), causes);
                }
            }
        }
        Value::Array(items) => {
            let list_type = text(&schema["x-kubernetes-list-type"]);
            let identity = |item: &Value| match list_type {
                "set" => Some(item.clone()),
                "map" => Some(Value::Object(
                    elements(&schema["x-kubernetes-list-map-keys"])
                        .iter()
                        .filter_map(|key| {
                            Some((text(key).to_owned(), item.get(text(key))?.clone()))
                        })
                        .collect(),
                )),
                _ => None,
            };
            let mut seen = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                if let Some(identity) = identity(item) {
                    if seen.contains(&identity) {
                        causes.push(Cause::duplicate(path.as_str(), &identity));
                    }
                    seen.push(identity);
                }
                unique_items(&schema["items"], item, &path, causes);
            }
        }
        _ => {}
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}

//! From a request body to an object: duplicate keys, unknown fields, wrong types.

use serde_json::{Map, Number, Value, json};

use crate::{
    kind::{Kind, Rules},
    schema::{Schema, Type},
};

mod format;
mod parse;
#[cfg(test)]
mod tests;

pub use parse::parse_json;

/// What to do about unknown and duplicate fields (`fieldValidation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse the request.
    Strict,
    /// Drop them and warn; the default.
    Warn,
    /// Drop them.
    Ignore,
}

impl FieldValidation {
    /// Reads the query parameter; `None` for an unknown word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "Strict" => Some(Self::Strict),
            "" | "Warn" => Some(Self::Warn),
            "Ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// A body that fits the field tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object without unknown fields.
    pub object: Value,
    /// Texts for `Warning` headers: `unknown field "spec.foo"`.
    pub warnings: Vec<String>,
}

/// Why a body is refused (400).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Unknown or duplicate fields in strict mode.
    #[error("{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}", .findings.join(", "))]
    Strict {
        /// Kind of the object.
        kind: String,
        /// API version without the group.
        version: String,
        /// `unknown field "spec.foo"`, `duplicate field "spec.bar"`.
        findings: Vec<String>,
    },
    /// A value of the wrong type.
    #[error("{kind} in version \"{version}\" cannot be handled as a {kind}: {detail}")]
    Type {
        /// Kind of the object.
        kind: String,
        /// API version without the group.
        version: String,
        /// `json: cannot unmarshal string into Go struct field ...`.
        detail: String,
    },
    /// The body is an object of another kind or version.
    #[error("{0}")]
    Other(String),
}

pub(crate) fn decode(
    kind: &Kind,
    body: &Value,
    mode: FieldValidation,
    duplicates: &[String],
) -> Result<Decoded, Invalid> {
    let mut object = body.clone();
    check_type_meta(kind, &mut object)?;
    let typed = matches!(kind.rules, Rules::BuiltIn);
    let mut walk = Walk {
        typed,
        unknown: Vec::new(),
        error: None,
    };
    walk.value(&kind.schema, &mut object, &mut Path::default(), &kind.kind);
    let version = kind.version.to_string();
    if let Some(detail) = walk.error {
        return Err(Invalid::Type {
            kind: kind.kind.to_string(),
            version,
            detail,
        });
    }
    let findings: Vec<String> = duplicates
        .iter()
        .map(|path| format!("duplicate field \"{path}\""))
        .chain(
            walk.unknown
                .iter()
                .map(|path| format!("unknown field \"{path}\"")),
        )
        .collect();
    match mode {
        FieldValidation::Strict if !findings.is_empty() => Err(Invalid::Strict {
            kind: kind.kind.to_string(),
            version,
            findings,
        }),
        FieldValidation::Warn => Ok(Decoded {
            object,
            warnings: findings,
        }),
        _ => Ok(Decoded {
            object,
            warnings: Vec::new(),
        }),
    }
}

fn check_type_meta(kind: &Kind, object: &mut Value) -> Result<(), Invalid> {
    let Value::Object(map) = object else {
        return Err(Invalid::Other(format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value \
             of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \
             \"json:\\\"kind,omitempty\\\"\" }}",
            json_word(object)
        )));
    };
    let wanted_version = kind.api_version();
    let given_version = map
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let given_kind = map.get("kind").and_then(Value::as_str).unwrap_or_default();
    if !given_version.is_empty() && given_version != wanted_version {
        return Err(Invalid::Other(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({wanted_version})"
        )));
    }
    if !given_kind.is_empty() && given_kind != &*kind.kind {
        let given = if given_version.is_empty() {
            &*wanted_version
        } else {
            given_version
        };
        return Err(Invalid::Other(format!(
            "{given_kind} in version \"{}\" cannot be handled as a {}: no kind \"{given_kind}\" is registered for version \"{given}\"",
            kind.version, kind.kind
        )));
    }
    map.insert("apiVersion".into(), json!(wanted_version));
    map.insert("kind".into(), json!(&*kind.kind));
    Ok(())
}

/// A field path in both forms: with indexes and map keys for "unknown field", and without, as Go
/// words type errors.
#[derive(Default)]
struct Path {
    indexed: String,
    plain: String,
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Field(&'a str),
    Key(&'a str),
    Item(usize),
}

impl Path {
    /// Runs `f` one step further down.
    fn with<R>(&mut self, part: Part<'_>, f: impl FnOnce(&mut Self) -> R) -> R {
        let lengths = (self.indexed.len(), self.plain.len());
        match part {
            Part::Field(name) => {
                push(&mut self.indexed, name);
                push(&mut self.plain, name);
            }
            Part::Key(name) => push(&mut self.indexed, name),
            Part::Item(index) => {
                self.indexed.push('[');
                self.indexed.push_str(&index.to_string());
                self.indexed.push(']');
            }
        }
        let result = f(self);
        self.indexed.truncate(lengths.0);
        self.plain.truncate(lengths.1);
        result
    }
}

fn push(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

struct Walk {
    /// Types are judged here and nulls dropped: built-in kinds, and everybody's metadata.
    typed: bool,
    unknown: Vec<String>,
    error: Option<String>,
}

impl Walk {
    /// Visits one value; `owner` is the struct that has it as a field.
    fn value(&mut self, schema: &Schema, value: &mut Value, path: &mut Path, owner: &str) {
        let outer = self.typed;
        self.typed |= schema.name.as_deref() == Some(OBJECT_META);
        self.visit(schema, value, path, owner);
        self.typed = outer;
    }

    fn visit(&mut self, schema: &Schema, value: &mut Value, path: &mut Path, owner: &str) {
        if let Err(wanted) = self.fits(schema, value) {
            self.error
                .get_or_insert_with(|| type_error(value, owner, path, &wanted));
            return;
        }
        match value {
            Value::String(text) if self.typed => {
                if let Err(detail) = format::check(schema.format.as_deref(), text) {
                    self.error.get_or_insert(detail);
                }
            }
            Value::Object(map) => {
                self.fields(schema, map, path, schema.struct_name().unwrap_or(owner));
            }
            Value::Array(items) => {
                let Some(inner) = &schema.items else { return };
                for (index, item) in items.iter_mut().enumerate() {
                    path.with(Part::Item(index), |path| {
                        self.value(inner, item, path, owner);
                    });
                }
            }
            _ => {}
        }
    }

    fn fields(
        &mut self,
        schema: &Schema,
        map: &mut Map<String, Value>,
        path: &mut Path,
        owner: &str,
    ) {
        let mut gone = Vec::new();
        for (name, child) in map.iter_mut() {
            let part = if schema.properties.contains_key(name.as_str()) {
                Part::Field(name)
            } else {
                Part::Key(name)
            };
            match schema.field(name) {
                Some(field) if child.is_null() && self.typed && field.kind != Type::Any => {
                    gone.push(name.clone());
                }
                Some(field) => path.with(part, |path| self.value(field, child, path, owner)),
                None if schema.is_open() => {}
                None => {
                    path.with(part, |path| self.unknown.push(path.indexed.clone()));
                    gone.push(name.clone());
                }
            }
        }
        for name in gone {
            map.shift_remove(&name);
        }
    }

    /// `Err` gives Go's name of the wanted type. Custom kinds are judged later, by their rules.
    fn fits(&self, schema: &Schema, value: &Value) -> Result<(), String> {
        if !self.typed || value.is_null() {
            return Ok(());
        }
        let ok = match schema.kind {
            Type::Any => true,
            Type::Object => value.is_object(),
            Type::Array => value.is_array(),
            Type::String => value.is_string(),
            Type::Boolean => value.is_boolean(),
            Type::Number => value.is_number(),
            Type::Integer => value.as_number().is_some_and(|n| integer_fits(n, schema)),
            Type::IntOrString => value.is_string() || value.is_number(),
        };
        if ok { Ok(()) } else { Err(go_type(schema)) }
    }
}

fn integer_fits(number: &Number, schema: &Schema) -> bool {
    match (number.as_i64(), schema.format.as_deref()) {
        (Some(n), Some("int32")) => i32::try_from(n).is_ok(),
        (found, _) => found.is_some(),
    }
}

fn type_error(value: &Value, owner: &str, path: &Path, wanted: &str) -> String {
    let word = match value {
        Value::Number(n) if wanted.starts_with("int") => format!("number {n}"),
        other => json_word(other).to_owned(),
    };
    format!(
        "json: cannot unmarshal {word} into Go struct field {owner}.{} of type {wanted}",
        path.plain
    )
}

fn json_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Go's name of a schema's type: `int32`, `[]v1.Container`, `map[string]string`, `v1.PodSpec`.
fn go_type(schema: &Schema) -> String {
    if let Some(name) = &schema.name {
        let mut parts = name.rsplit('.');
        let (kind, package) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        return format!("{package}.{kind}");
    }
    match schema.kind {
        Type::Object => match &schema.additional {
            Some(inner) => format!("map[string]{}", go_type(inner)),
            None => "map[string]interface {}".to_owned(),
        },
        Type::Array => {
            let inner = schema
                .items
                .as_ref()
                .map_or_else(|| "interface {}".into(), |i| go_type(i));
            format!("[]{inner}")
        }
        Type::String if schema.format.as_deref() == Some("byte") => "[]uint8".to_owned(),
        Type::String => "string".to_owned(),
        Type::Integer => schema.format.as_deref().unwrap_or("int64").to_owned(),
        Type::Number => "float64".to_owned(),
        Type::Boolean => "bool".to_owned(),
        Type::IntOrString => "intstr.IntOrString".to_owned(),
        Type::Any => "interface {}".to_owned(),
    }
}

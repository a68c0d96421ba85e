//! JSON as protobuf on the wire, by the schema; every refusal names the place in the file.
//!
//! Source: protobuf's JSON mapping. Stricter in one thing: a text is never read from a number.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use envoy_types::pb::google::protobuf as known;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde_json::{Map, Value};

use super::schema::{Field, Schema, Shape, Type};
use crate::name;
use crate::resource::Fault;

/// How deep messages stand in each other at most.
const DEPTH: usize = 64;

/// The bytes of `message`, written as `value`.
///
/// # Errors
/// When `value` is no such message; the fault's path begins at `value`.
pub(super) fn message(
    schema: &Schema,
    message: &str,
    value: &Value,
    depth: usize,
) -> Result<Vec<u8>, Fault> {
    if depth > DEPTH {
        return Err(Fault::new("stands too deep"));
    }
    let object = object(value)?;
    fields(schema, message, object.iter(), depth)
}

fn fields<'a>(
    schema: &Schema,
    message: &str,
    entries: impl Iterator<Item = (&'a String, &'a Value)>,
    depth: usize,
) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let mut seen: Vec<Field> = Vec::new();
    for (key, value) in entries {
        let known = schema
            .field(message, key)
            .map_err(|fault| fault.at(key.as_str()))?;
        // Protobuf's JSON has no other way to say that a field is not set.
        if value.is_null() && known.shape != Shape::One(Type::Known("Value")) {
            continue;
        }
        if let Some(before) = seen.iter().find(|before| excludes(before, &known)) {
            let reason = format!("cannot stand beside `{}`", before.name);
            return Err(Fault::new(reason).at(key));
        }
        seen.push(known);
        field(schema, &known, value, depth, &mut out)
            .map_err(|(index, fault)| fault.at(&format!("{key}{index}")))?;
    }
    Ok(out)
}

fn excludes(one: &Field, other: &Field) -> bool {
    one.number == other.number || (one.oneof.is_some() && one.oneof == other.oneof)
}

/// Writes a field; a fault comes with the index or key of the value inside it.
fn field(
    schema: &Schema,
    field: &Field,
    value: &Value,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), (String, Fault)> {
    match field.shape {
        Shape::One(kind) => single(schema, field.number, kind, value, depth, out)
            .map_err(|fault| (String::new(), fault)),
        Shape::Many(kind) => {
            let Value::Array(values) = value else {
                return Err((String::new(), expected("a list", value)));
            };
            for (index, value) in values.iter().enumerate() {
                single(schema, field.number, kind, value, depth, out)
                    .map_err(|fault| (format!("[{index}]"), fault))?;
            }
            Ok(())
        }
        Shape::Map(key_type, value_type) => {
            let entries = object(value).map_err(|fault| (String::new(), fault))?;
            for (key, value) in entries {
                let mut entry = Vec::new();
                single(
                    schema,
                    1,
                    key_type,
                    &key_value(key_type, key),
                    depth,
                    &mut entry,
                )
                .and_then(|()| single(schema, 2, value_type, value, depth, &mut entry))
                .map_err(|fault| (format!("[{key}]"), fault))?;
                bytes(field.number, &entry, out);
            }
            Ok(())
        }
    }
}

fn key_value(kind: Type, key: &str) -> Value {
    if kind == Type::Scalar("bool") {
        return Value::Bool(key == "true");
    }
    Value::from(key)
}

fn single(
    schema: &Schema,
    number: u32,
    kind: Type,
    value: &Value,
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    match kind {
        Type::Scalar(name) => scalar(number, name, value, out),
        Type::Enum(name) => {
            let chosen = match value {
                Value::String(text) => schema.value(name, text)?,
                other => {
                    i32::try_from(integer(other)?).map_err(|_| Fault::new("is out of range"))?
                }
            };
            varint(number, widened(chosen.into()), out);
            Ok(())
        }
        Type::Message(name) => {
            bytes(number, &message(schema, name, value, depth + 1)?, out);
            Ok(())
        }
        Type::Known(name) => {
            bytes(number, &well_known(schema, name, value, depth + 1)?, out);
            Ok(())
        }
    }
}

fn scalar(number: u32, kind: &str, value: &Value, out: &mut Vec<u8>) -> Result<(), Fault> {
    let ranged = |low: i128, high: i128| {
        integer(value).and_then(|it| {
            if (low..=high).contains(&it) {
                return Ok(it);
            }
            Err(Fault::new(format!("{it} is not from {low} to {high}")))
        })
    };
    match kind {
        "bool" => match value {
            Value::Bool(value) => varint(number, u64::from(*value), out),
            other => return Err(expected("`true` or `false`", other)),
        },
        "string" => bytes(number, text(value)?.as_bytes(), out),
        "bytes" => {
            let raw = STANDARD
                .decode(text(value)?)
                .map_err(|error| Fault::new(format!("is not base64: {error}")))?;
            bytes(number, &raw, out);
        }
        "double" => {
            encode_key(number, WireType::SixtyFourBit, out);
            out.extend(float(value)?.to_le_bytes());
        }
        "float" => {
            encode_key(number, WireType::ThirtyTwoBit, out);
            #[expect(clippy::cast_possible_truncation, reason = "the field is that narrow")]
            let narrow = float(value)? as f32;
            out.extend(narrow.to_le_bytes());
        }
        "int32" => varint(
            number,
            widened(ranged(i32::MIN.into(), i32::MAX.into())?),
            out,
        ),
        "uint32" => varint(number, widened(ranged(0, u32::MAX.into())?), out),
        "int64" => varint(
            number,
            widened(ranged(i64::MIN.into(), i64::MAX.into())?),
            out,
        ),
        "uint64" => varint(number, widened(ranged(0, u64::MAX.into())?), out),
        other => {
            return Err(Fault::new(format!(
                "fields of type {other} are not supported"
            )));
        }
    }
    Ok(())
}

/// The types of `google.protobuf` with a form of their own in JSON.
fn well_known(schema: &Schema, name: &str, value: &Value, depth: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    let wrapped = match name {
        "Any" => return any(schema, value, depth).map(|any| any.encode_to_vec()),
        "Duration" => return duration(text(value)?).map(|it| it.encode_to_vec()),
        "Struct" => return Ok(name::struct_of(object(value)?.clone()).encode_to_vec()),
        "Value" => return Ok(name::value_of(value.clone()).encode_to_vec()),
        "Empty" if object(value)?.is_empty() => return Ok(out),
        "BoolValue" => "bool",
        "Int32Value" => "int32",
        "Int64Value" => "int64",
        "UInt32Value" => "uint32",
        "UInt64Value" => "uint64",
        "FloatValue" => "float",
        "DoubleValue" => "double",
        "StringValue" => "string",
        "BytesValue" => "bytes",
        other => {
            return Err(Fault::new(format!(
                "fields of type {other} are not supported"
            )));
        }
    };
    scalar(1, wrapped, value, &mut out)?;
    Ok(out)
}

fn any(schema: &Schema, value: &Value, depth: usize) -> Result<known::Any, Fault> {
    let object = object(value)?;
    let Some(Value::String(type_url)) = object.get("@type") else {
        let reason = "is missing: it says what this is, as `type.googleapis.com/envoy.…`";
        return Err(Fault::new(reason).at("@type"));
    };
    let name = type_url.rsplit('/').next().unwrap_or(type_url);
    if let Some(known) = name.strip_prefix("google.protobuf.") {
        // Source: protobuf's JSON mapping of `Any`.
        let Some(value) = object.get("value").filter(|_| object.len() == 2) else {
            return Err(Fault::new("stands beside `value` and nothing else").at("@type"));
        };
        return Ok(known::Any {
            type_url: type_url.clone(),
            value: well_known(schema, known, value, depth + 1).map_err(|it| it.at("value"))?,
        });
    }
    if schema.fields(name).is_none() {
        let reason = format!("`{name}` is not supported; take out what it configures");
        return Err(Fault::new(reason).at("@type"));
    }
    let entries = object.iter().filter(|(key, _)| *key != "@type");
    Ok(known::Any {
        type_url: type_url.clone(),
        value: fields(schema, name, entries, depth)?,
    })
}

/// `1.5s`. Source: protobuf's JSON mapping.
fn duration(text: &str) -> Result<known::Duration, Fault> {
    let wrong = || Fault::new(format!("`{text}` is not a duration such as `1.5s`"));
    let number = text.strip_suffix('s').ok_or_else(wrong)?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 9 {
        return Err(wrong());
    }
    let seconds: i64 = whole.parse().map_err(|_| wrong())?;
    let nanos: i32 = format!("{part:0<9}").parse().map_err(|_| wrong())?;
    let sign = if negative { -1 } else { 1 };
    Ok(known::Duration {
        seconds: seconds * sign,
        nanos: nanos * i32::try_from(sign).unwrap_or(1),
    })
}

fn bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn varint(number: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(number, WireType::Varint, out);
    encode_varint(value, out);
}

/// A negative number as the wire has it: the same bits in 64.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "two's complement is meant; the range was checked"
)]
fn widened(value: i128) -> u64 {
    value as u64
}

fn object(value: &Value) -> Result<&Map<String, Value>, Fault> {
    value
        .as_object()
        .ok_or_else(|| expected("a mapping", value))
}

fn text(value: &Value) -> Result<&str, Fault> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Bool(_) => Err(Fault::new(format!(
            "expected a text, found {value}: put it in quotes"
        ))),
        other => Err(expected("a text", other)),
    }
}

/// A whole number, also as a text, as protobuf's JSON writes large ones.
fn integer(value: &Value) -> Result<i128, Fault> {
    let whole = match value {
        Value::Number(number) => number.as_i128().or_else(|| {
            number
                .as_f64()
                .and_then(|number| format!("{number}").parse().ok())
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    whole.ok_or_else(|| expected("a whole number", value))
}

fn float(value: &Value) -> Result<f64, Fault> {
    value.as_f64().ok_or_else(|| expected("a number", value))
}

fn expected(what: &str, found: &Value) -> Fault {
    let found = match found {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) => found.to_string(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    };
    Fault::new(format!("expected {what}, found {found}"))
}

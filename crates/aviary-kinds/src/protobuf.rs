//! Bodies in `application/vnd.kubernetes.protobuf`, as kubectl's `create` sends them.
//!
//! A body is the magic `k8s\0` and a `runtime.Unknown` message that wraps the object. Objects are
//! decoded by a table of field numbers, only of the kinds and fields that kubectl writes so; all
//! else is refused by name, never dropped.

mod wire;
mod table;
#[cfg(test)]
mod tests;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use table::{Field, Message, Shape};
use wire::{Raw, Reader};

const MAGIC: &[u8] = b"k8s\0";

/// Why a body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kind is not one that this server reads in protobuf: answer 415.
    #[error("{api_version} {kind} is not accepted in protobuf; send it as JSON or YAML")]
    UnknownKind {
        /// As in the body.
        api_version: String,
        /// As in the body.
        kind: String,
    },
    /// The bytes are not a message of the kind: answer 400.
    #[error("{0}")]
    Malformed(String),
}

impl Error {
    fn cut() -> Self {
        Self::Malformed("the protobuf body ends too early".to_owned())
    }

    fn at(path: &str, problem: &str) -> Self {
        Self::Malformed(format!("protobuf field {path}: {problem}"))
    }
}

/// Whether the body starts as Kubernetes' protobuf does.
pub fn is_protobuf(body: &[u8]) -> bool {
    body.starts_with(MAGIC)
}

/// Reads a body into the JSON object that it stands for, with `apiVersion` and `kind`.
///
/// # Errors
/// [`Error::UnknownKind`] and [`Error::Malformed`].
pub fn decode(body: &[u8]) -> Result<Value, Error> {
    let Some(wrapped) = body.strip_prefix(MAGIC) else {
        return Err(Error::Malformed(
            "the body is not protobuf: it does not start with the Kubernetes magic".to_owned(),
        ));
    };
    let wrapper = message(&table::UNKNOWN, wrapped, "", 0)?;
    let text = |pointer: &str| {
        wrapper
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (text("/typeMeta/apiVersion"), text("/typeMeta/kind"));
    let Some(root) = table::root(&api_version, &kind) else {
        return Err(Error::UnknownKind { api_version, kind });
    };
    let raw = STANDARD.decode(text("/raw")).map_err(|_| Error::cut())?;
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), Value::from(api_version));
    object.insert("kind".to_owned(), Value::from(kind));
    if let Value::Object(fields) = message(root, &raw, "", 0)? {
        object.extend(fields);
    }
    Ok(Value::Object(object))
}

/// Deeper than any object of the table.
const MAX_DEPTH: usize = 16;

fn message(table: &Message, bytes: &[u8], path: &str, depth: usize) -> Result<Value, Error> {
    if depth > MAX_DEPTH {
        return Err(Error::at(path, "nested too deeply"));
    }
    let mut object = Map::new();
    let mut reader = Reader::new(bytes);
    while let Some((number, raw)) = reader.next()? {
        let Some(field) = table.iter().find(|field| field.number == number) else {
            let place = if path.is_empty() { "the object" } else { path };
            return Err(Error::Malformed(format!(
                "protobuf field number {number} of {place} is not read by this server; send the \
                 object as JSON or YAML"
            )));
        };
        let path = if path.is_empty() {
            field.name.to_owned()
        } else {
            format!("{path}.{}", field.name)
        };
        set_field(&mut object, field, &raw, &path, depth)?;
    }
    Ok(Value::Object(object))
}

fn set_field(
    object: &mut Map<String, Value>,
    field: &Field,
    raw: &Raw<'_>,
    path: &str,
    depth: usize,
) -> Result<(), Error> {
    match field.shape {
        Shape::List(item) => {
            let item = value(item, raw, path, depth)?;
            if let Some(list) = object
                .entry(field.name)
                .or_insert_with(|| Value::Array(Vec::new()))
                .as_array_mut()
            {
                list.push(item);
            }
        }
        Shape::Map(item) => {
            let (key, item) = entry(item, raw, path, depth)?;
            if let Some(map) = object
                .entry(field.name)
                .or_insert_with(|| Value::Object(Map::new()))
                .as_object_mut()
            {
                map.insert(key, item);
            }
        }
        ref shape => {
            let value = value(shape, raw, path, depth)?;
            // The sender writes plain fields even when they are zero; absent is what they mean.
            let is_zero = value.is_null() || value == "" || value == 0 || value == false;
            if field.keeps_zero || !is_zero {
                object.insert(field.name.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// A map entry: field 1 is the key, field 2 the value.
fn entry(item: &Shape, raw: &Raw<'_>, path: &str, depth: usize) -> Result<(String, Value), Error> {
    let mut key = String::new();
    let mut found = None;
    let mut reader = Reader::new(raw.bytes(path)?);
    while let Some((number, raw)) = reader.next()? {
        match number {
            1 => raw.text(path)?.clone_into(&mut key),
            2 => found = Some(value(item, &raw, path, depth)?),
            _ => return Err(Error::at(path, "a map entry has only a key and a value")),
        }
    }
    let empty = || {
        if matches!(item, Shape::Text | Shape::Bytes) {
            Value::from("")
        } else {
            Value::Null
        }
    };
    Ok((key, found.unwrap_or_else(empty)))
}

fn value(shape: &Shape, raw: &Raw<'_>, path: &str, depth: usize) -> Result<Value, Error> {
    Ok(match shape {
        Shape::Text => Value::from(raw.text(path)?),
        Shape::Bytes => Value::from(STANDARD.encode(raw.bytes(path)?)),
        Shape::Integer => Value::from(raw.integer(path)?),
        Shape::Boolean => Value::from(raw.integer(path)? != 0),
        Shape::Message(table) => message(table, raw.bytes(path)?, path, depth + 1)?,
        Shape::Time => time(raw.bytes(path)?, path, depth)?,
        Shape::Quantity => {
            let quantity = message(&table::QUANTITY, raw.bytes(path)?, path, depth + 1)?;
            quantity
                .get("string")
                .cloned()
                .unwrap_or_else(|| Value::from("0"))
        }
        Shape::IntOrString => {
            let both = message(&table::INT_OR_STRING, raw.bytes(path)?, path, depth + 1)?;
            let name = if both.get("type").is_some() {
                "strVal"
            } else {
                "intVal"
            };
            both.get(name).cloned().unwrap_or_else(|| Value::from(0))
        }
        Shape::List(_) | Shape::Map(_) => {
            return Err(Error::at(path, "a list cannot hold lists or maps"));
        }
    })
}

/// Seconds and nanoseconds; an empty message is no time.
fn time(bytes: &[u8], path: &str, depth: usize) -> Result<Value, Error> {
    let parts = message(&table::TIME, bytes, path, depth + 1)?;
    let Some(seconds) = parts.get("seconds").and_then(Value::as_i64) else {
        return Ok(Value::Null);
    };
    let time =
        Timestamp::from_second(seconds).map_err(|_| Error::at(path, "the time is out of range"))?;
    Ok(Value::from(time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
}

//! The fields of Envoy's messages, by name: what reading a file needs beyond the generated types.

use std::collections::HashMap;

use crate::resource::Fault;

/// What `cargo xtask schema` wrote.
const TEXT: &str = include_str!("schema.txt");

/// The messages that a file may hold.
#[derive(Debug)]
pub(super) struct Schema {
    messages: HashMap<&'static str, Vec<Field>>,
    enums: HashMap<&'static str, Vec<(&'static str, i32)>>,
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) number: u32,
    pub(super) shape: Shape,
    /// Of the fields with the same name here, one at most is set.
    pub(super) oneof: Option<&'static str>,
}

/// How often a field's type stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    One(Type),
    Many(Type),
    Map(Type, Type),
}

/// A type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// A number, boolean, string or bytes, by its name in protobuf.
    Scalar(&'static str),
    Enum(&'static str),
    Message(&'static str),
    /// A type of `google.protobuf` with a form of its own in JSON.
    Known(&'static str),
}

impl Schema {
    /// From the text in the program.
    pub(super) fn new() -> Self {
        let mut schema = Self {
            messages: HashMap::new(),
            enums: HashMap::new(),
        };
        let mut current = "";
        let mut fields = Vec::new();
        let mut values = Vec::new();
        let mut is_enum = false;
        for line in TEXT.lines().chain(["message end"]) {
            let words: Vec<_> = line.split_whitespace().collect();
            match (line.starts_with(' '), words.as_slice()) {
                (false, [kind @ ("message" | "enum"), name]) => {
                    if is_enum {
                        schema.enums.insert(current, std::mem::take(&mut values));
                    } else {
                        schema.messages.insert(current, std::mem::take(&mut fields));
                    }
                    (current, is_enum) = (name, *kind == "enum");
                }
                (true, [name, number]) if is_enum => {
                    values.extend(number.parse().ok().map(|number| (*name, number)));
                }
                (true, words) => fields.extend(field(words)),
                _ => {}
            }
        }
        schema
    }

    /// The fields of a message; `None` when nothing of it is served.
    pub(super) fn fields(&self, message: &str) -> Option<&[Field]> {
        self.messages.get(message).map(Vec::as_slice)
    }

    /// The field of `message` with this name, as it is declared or in camel case.
    pub(super) fn field(&self, message: &str, name: &str) -> Result<Field, Fault> {
        let fields = self
            .fields(message)
            .ok_or_else(|| Fault::new("is not supported; take it out"))?;
        fields
            .iter()
            .find(|field| field.name == name || camel(field.name) == name)
            .copied()
            .ok_or_else(|| Fault::new(unknown(message, name, fields)))
    }

    /// The number of a value of an enum.
    pub(super) fn value(&self, name: &str, value: &str) -> Result<i32, Fault> {
        let values = self.enums.get(name).map_or(&[][..], Vec::as_slice);
        values
            .iter()
            .find(|(known, _)| *known == value)
            .map(|(_, number)| *number)
            .ok_or_else(|| {
                let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
                Fault::new(format!("`{value}` is none of {}", names.join(", ")))
            })
    }
}

fn field(words: &[&'static str]) -> Option<Field> {
    let (name, rest) = words.split_first()?;
    let (number, rest) = rest.split_first()?;
    let (rest, oneof) = match rest {
        [rest @ .., "of", oneof] => (rest, Some(*oneof)),
        rest => (rest, None),
    };
    let shape = match rest {
        ["repeated", rest @ ..] => Shape::Many(kind(rest)?.0),
        ["map", rest @ ..] => {
            let (key, rest) = kind(rest)?;
            Shape::Map(key, kind(rest)?.0)
        }
        rest => Shape::One(kind(rest)?.0),
    };
    Some(Field {
        name,
        number: number.parse().ok()?,
        shape,
        oneof,
    })
}

fn kind<'a>(words: &'a [&'static str]) -> Option<(Type, &'a [&'static str])> {
    Some(match words {
        ["enum", name, rest @ ..] => (Type::Enum(name), rest),
        ["message", name, rest @ ..] => (Type::Message(name), rest),
        ["known", name, rest @ ..] => (Type::Known(name), rest),
        [name, rest @ ..] => (Type::Scalar(name), rest),
        [] => return None,
    })
}

/// `filter_chains` as `filterChains`.
fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut chars = part.chars();
        camel.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(chars.as_str());
    }
    camel
}

fn unknown(message: &str, name: &str, fields: &[Field]) -> String {
    let short = message.rsplit('.').next().unwrap_or(message);
    let near = fields
        .iter()
        .map(|field| (distance(field.name, name), field.name))
        .min()
        .filter(|(distance, near)| *distance * 3 <= near.len().max(3));
    match near {
        Some((_, near)) => format!("`{short}` has no such field; did you mean `{near}`?"),
        None => format!("`{short}` has no such field"),
    }
}

/// How many letters must be added, taken or changed.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let changed = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[right.len()]
}

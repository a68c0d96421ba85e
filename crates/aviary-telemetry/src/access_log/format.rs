//! Envoy's text and JSON formats, compiled.

use serde_json::Value as Json;

use super::Entry;
use super::operator::Operator;
use super::parse::{Written, pieces};
use super::put::{self, Form, quoted};
use super::time::Moment;
use super::values::Wanted;

/// The machine that operators ask for; read once, when a format is compiled.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// `%HOSTNAME%`.
    pub name: &'a str,
    /// `%ENVIRONMENT(X)%`.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

/// Why a format cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A per cent sign begins no operator.
    Malformed {
        /// Byte of the format.
        at: usize,
    },
    /// There is no such operator, or it is not supported.
    Unknown {
        /// As written.
        operator: String,
    },
    /// The operator does not take this argument, or needs one.
    Argument {
        /// As written.
        operator: String,
        /// What is in the parentheses.
        argument: String,
    },
    /// The JSON format is no JSON.
    Json(String),
    /// There is no such response flag.
    Flag {
        /// As written.
        name: String,
    },
    /// A chain has more logs than that.
    TooMany {
        /// What it may have.
        limit: usize,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed { at } => write!(
                f,
                "the per cent sign at byte {at} begins no operator; write %NAME%, %NAME(ARGUMENT)% or %%"
            ),
            Self::Unknown { operator } => write!(
                f,
                "the access log operator %{operator}% is not supported; remove it from the format"
            ),
            Self::Argument { operator, argument } => write!(
                f,
                "the access log operator %{operator}% does not take the argument ({argument})"
            ),
            Self::Json(error) => write!(f, "the JSON format cannot be read: {error}"),
            Self::Flag { name } => write!(
                f,
                "there is no response flag `{name}`; write those of Envoy, e.g. `UF`"
            ),
            Self::TooMany { limit } => write!(f, "a filter chain has at most {limit} access logs"),
        }
    }
}

impl std::error::Error for Error {}

/// A compiled format.
#[derive(Debug, Clone)]
pub struct Format {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    /// Goes out as it is.
    Text(String),
    /// A value as text; `-` when absent.
    Value(Operator, Option<usize>),
    /// A value as JSON with its own type; `null` when absent.
    Typed(Operator, Option<usize>),
    /// A JSON string of several pieces.
    Joined(Vec<Self>),
}

impl Format {
    pub(super) fn text(text: &str, host: &Host<'_>, wanted: &mut Wanted) -> Result<Self, Error> {
        let pieces = template(text, host, wanted)?;
        Ok(Self { pieces })
    }

    pub(super) fn json(text: &str, host: &Host<'_>, wanted: &mut Wanted) -> Result<Self, Error> {
        let value = serde_json::from_str(text).map_err(|error| Error::Json(error.to_string()))?;
        let mut pieces = Vec::new();
        json_pieces(&value, host, wanted, &mut pieces)?;
        push_text(&mut pieces, "\n");
        Ok(Self { pieces })
    }

    /// Appends the line of `entry`, with its end.
    pub(super) fn write(&self, entry: &Entry, moment: &mut Moment, line: &mut Vec<u8>) {
        for piece in &self.pieces {
            piece.write(entry, moment, line);
        }
    }
}

impl Piece {
    fn write(&self, entry: &Entry, moment: &mut Moment, line: &mut Vec<u8>) {
        match self {
            Self::Text(text) => line.extend_from_slice(text.as_bytes()),
            Self::Value(operator, limit) => {
                let start = line.len();
                if !operator.put(entry, moment, line) {
                    line.push(b'-');
                    return;
                }
                if operator.is_foreign() {
                    put::settle(line, start, *limit, Form::Escaped);
                } else if limit.is_some() {
                    put::settle(line, start, *limit, Form::Plain);
                }
            }
            Self::Typed(operator, _) if operator.is_number() => {
                if !operator.put(entry, moment, line) {
                    line.extend_from_slice(b"null");
                }
            }
            Self::Typed(operator, limit) => {
                let start = line.len();
                line.push(b'"');
                if operator.put(entry, moment, line) {
                    put::settle(line, start + 1, *limit, Form::Json);
                } else {
                    line.truncate(start);
                    line.extend_from_slice(b"null");
                }
            }
            Self::Joined(pieces) => {
                line.push(b'"');
                let start = line.len();
                for piece in pieces {
                    piece.join(entry, moment, line);
                }
                put::settle(line, start, None, Form::Json);
            }
        }
    }

    /// The same within a JSON string, which is escaped as a whole.
    fn join(&self, entry: &Entry, moment: &mut Moment, line: &mut Vec<u8>) {
        let Self::Value(operator, limit) = self else {
            return self.write(entry, moment, line);
        };
        let start = line.len();
        if operator.put(entry, moment, line) {
            put::settle(line, start, *limit, Form::Plain);
        } else {
            line.push(b'-');
        }
    }
}

fn template(text: &str, host: &Host<'_>, wanted: &mut Wanted) -> Result<Vec<Piece>, Error> {
    let mut compiled = Vec::new();
    for piece in pieces(text)? {
        match piece {
            Written::Text(text) => push_text(&mut compiled, text),
            Written::Operator(call) => {
                let operator = Operator::new(call, host, wanted)?;
                compiled.push(Piece::Value(operator, call.limit));
            }
        }
    }
    Ok(compiled)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        Some(Piece::Text(last)) => last.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

/// A string that is one operator alone keeps the type of its value.
///
/// Source: Envoy `JsonFormatterImpl`.
fn json_pieces(
    value: &Json,
    host: &Host<'_>,
    wanted: &mut Wanted,
    into: &mut Vec<Piece>,
) -> Result<(), Error> {
    match value {
        Json::String(text) => match template(text, host, wanted)?.as_slice() {
            [] => push_text(into, "\"\""),
            [Piece::Text(text)] => push_text(into, &quoted(text)),
            [Piece::Value(operator, limit)] => {
                into.push(Piece::Typed(operator.clone(), *limit));
            }
            several => into.push(Piece::Joined(several.to_vec())),
        },
        Json::Array(all) => {
            push_text(into, "[");
            for (index, value) in all.iter().enumerate() {
                push_text(into, if index == 0 { "" } else { "," });
                json_pieces(value, host, wanted, into)?;
            }
            push_text(into, "]");
        }
        Json::Object(all) => {
            let mut sorted: Vec<_> = all.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            push_text(into, "{");
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                push_text(into, if index == 0 { "" } else { "," });
                push_text(into, &quoted(key));
                push_text(into, ":");
                json_pieces(value, host, wanted, into)?;
            }
            push_text(into, "}");
        }
        plain => push_text(into, &plain.to_string()),
    }
    Ok(())
}

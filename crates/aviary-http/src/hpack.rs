//! HPACK: the heads of HTTP/2 as compressed blocks.
//!
//! Source: RFC 7541.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod standard;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

pub use decoder::Decoder;
pub use encoder::Encoder;

use crate::fields::byte_set;
use crate::name::Name;

/// Bytes of a dynamic table unless the other side says otherwise, and the most that either side of
/// ours uses.
///
/// Source: RFC 9113 §6.5.2.
pub const TABLE_BYTES: usize = 4096;

/// A block that is no HPACK: the two sides' tables differ from here on, and the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the head cannot be decompressed")
    }
}

impl std::error::Error for Broken {}

/// What a field is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `:authority`
    Authority,
    /// `:path`
    Path,
    /// `:status`
    Status,
    /// A field of the message.
    Field(Name),
    /// A name with capitals or bytes that no name has, an empty one, or an unknown pseudo field.
    Bad,
}

impl Kind {
    /// What a field with this name is.
    pub fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":scheme" => Self::Scheme,
            b":authority" => Self::Authority,
            b":path" => Self::Path,
            b":status" => Self::Status,
            name if is_lower_token(name) => Self::Field(Name::of(name)),
            _ => Self::Bad,
        }
    }
}

/// One field of a head.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its name as sent.
    pub name: &'a [u8],
    /// Its value as sent.
    pub value: &'a [u8],
    /// Whether the value has no control bytes but tabs.
    pub is_clean: bool,
}

/// Whether `name` is a token without capitals.
///
/// Source: RFC 9113 §8.2.1.
fn is_lower_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| LOWER[usize::from(*byte)])
}

static LOWER: [bool; 256] = byte_set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz");

/// Bits at the start of a field, and how many bits of the same byte hold its number.
///
/// Source: RFC 7541 §6.
mod form {
    /// A field of a table.
    pub(super) const INDEXED: (u8, u8) = (0x80, 7);
    /// A new field, which goes into the table.
    pub(super) const KEPT: (u8, u8) = (0x40, 6);
    /// A change of the table's size.
    pub(super) const RESIZE: (u8, u8) = (0x20, 5);
    /// A new field, which no hop may put into a table.
    pub(super) const NEVER: (u8, u8) = (0x10, 4);
    /// A new field.
    pub(super) const PLAIN: (u8, u8) = (0x00, 4);
}

//! From fields to blocks.
//!
//! A field goes into the table when it is seen for the second time: what never comes again, a date
//! or a path with a number in it, would only drive out what does.

use super::table::{OVERHEAD, Table};
use super::{Field, Kind, TABLE_BYTES, form, huffman, integer, standard};
use crate::name::Name;

/// Fields that are remembered by their hash; a power of two, and more than a table holds.
const SLOTS: usize = 128;

/// Values of `cookie` below this length are guessed easily by whoever can watch sizes.
///
/// Source: RFC 7541 §7.1.3.
const SHORT_COOKIE: usize = 20;

/// Writes blocks of one connection, in their order.
#[derive(Debug)]
pub struct Encoder {
    table: Table,
    /// The smallest limit since the last block, when that has to be told.
    resized: Option<usize>,
    /// Absent until it is needed.
    memory: Option<Box<Memory>>,
}

/// What was written, by hash.
#[derive(Debug)]
struct Memory {
    /// Numbers of entries, plus one, by name and value.
    fields: [u32; SLOTS],
    /// The same by name.
    names: [u32; SLOTS],
    /// Hashes of fields that were written once.
    once: [u16; SLOTS],
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            fields: [0; SLOTS],
            names: [0; SLOTS],
            once: [0; SLOTS],
        }
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            table: Table::new(TABLE_BYTES),
            resized: None,
            memory: None,
        }
    }
}

impl Encoder {
    /// The reader's table may have this many bytes from now on.
    pub fn resize(&mut self, limit: usize) {
        let limit = limit.min(TABLE_BYTES);
        if limit != self.table.limit() {
            self.resized = Some(self.resized.unwrap_or(limit).min(limit));
            self.table.resize(limit);
        }
    }

    /// Forgets where in the table fields are, which costs memory: they are then written in full
    /// again. What the reader knows stays as it is.
    pub fn rest(&mut self) {
        self.memory = None;
    }

    /// Begins a block.
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        let Some(smallest) = self.resized.take() else {
            return;
        };
        // Source: RFC 7541 §4.2.
        if smallest < self.table.limit() {
            integer::write(form::RESIZE, smallest, out);
        }
        integer::write(form::RESIZE, self.table.limit(), out);
    }

    /// Appends a field; the name of one of the message in any case.
    pub fn field(&mut self, kind: Kind, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        if let Some(number) = standard::field(kind, value) {
            integer::write(form::INDEXED, number, out);
            return;
        }
        if is_secret(kind, value) {
            return self.literal(form::NEVER, kind, name, value, out);
        }
        let size = name.len() + value.len() + OVERHEAD;
        if is_unlike(kind) || size > self.table.limit() / 4 {
            return self.literal(form::PLAIN, kind, name, value, out);
        }
        let hash = hash(name_hash(kind, name), value);
        if let Some(age) = self.find(hash, kind, name, value) {
            integer::write(form::INDEXED, standard::ENTRIES.len() + 1 + age, out);
            return;
        }
        let (slot, mark) = (slot(hash), mark(hash));
        let memory = self.memory.get_or_insert_default();
        if memory.once[slot] == mark {
            self.literal(form::KEPT, kind, name, value, out);
            self.keep(hash, kind, name, value);
        } else {
            memory.once[slot] = mark;
            self.literal(form::PLAIN, kind, name, value, out);
        }
    }

    /// How old the entry is that is this field.
    fn find(&self, hash: u64, kind: Kind, name: &[u8], value: &[u8]) -> Option<usize> {
        let number = self.memory.as_ref()?.fields[slot(hash)].checked_sub(1)?;
        let age = self.table.age(number)?;
        let entry = self.table.get(age)?;
        (entry.value == value && is_named(&entry, kind, name)).then_some(age)
    }

    /// The number of an entry with this name.
    fn find_name(&self, kind: Kind, name: &[u8]) -> Option<usize> {
        if let Some(number) = standard::name(kind) {
            return Some(number);
        }
        let memory = self.memory.as_ref()?;
        let number = memory.names[slot(name_hash(kind, name))].checked_sub(1)?;
        let age = self.table.age(number)?;
        let entry = self.table.get(age)?;
        is_named(&entry, kind, name).then(|| standard::ENTRIES.len() + 1 + age)
    }

    fn keep(&mut self, hash: u64, kind: Kind, name: &[u8], value: &[u8]) {
        let number = self.table.inserted().wrapping_add(1);
        let memory = self.memory.get_or_insert_default();
        memory.fields[slot(hash)] = number;
        memory.names[slot(name_hash(kind, name))] = number;
        let lower = name.to_ascii_lowercase();
        self.table.insert(&Field {
            kind,
            name: &lower,
            value,
            is_clean: true,
        });
    }

    /// Writes a field out.
    fn literal(&self, form: (u8, u8), kind: Kind, name: &[u8], value: &[u8], out: &mut Vec<u8>) {
        let number = self.find_name(kind, name).unwrap_or_default();
        integer::write(form, number, out);
        if number == 0 {
            integer::write(PLAIN_TEXT, name.len(), out);
            let start = out.len();
            out.extend_from_slice(name);
            out[start..].make_ascii_lowercase();
        }
        // To pack what is sent once costs both sides more than the bytes do.
        let packed = if form == form::KEPT {
            huffman::encoded_len(value)
        } else {
            value.len()
        };
        if packed < value.len() {
            integer::write(HUFFMAN_TEXT, packed, out);
            huffman::encode(value, out);
        } else {
            integer::write(PLAIN_TEXT, value.len(), out);
            out.extend_from_slice(value);
        }
    }
}

/// How a string begins.
///
/// Source: RFC 7541 §5.2.
const PLAIN_TEXT: (u8, u8) = (0x00, 7);
const HUFFMAN_TEXT: (u8, u8) = (0x80, 7);

fn is_named(entry: &Field<'_>, kind: Kind, name: &[u8]) -> bool {
    entry.kind == kind
        && (kind != Kind::Field(Name::Other) || entry.name.eq_ignore_ascii_case(name))
}

/// What no table may hold, so that nobody finds it out by trying.
fn is_secret(kind: Kind, value: &[u8]) -> bool {
    match kind {
        Kind::Field(Name::Authorization | Name::ProxyAuthorization | Name::SetCookie) => true,
        Kind::Field(Name::Cookie) => value.len() < SHORT_COOKIE,
        _ => false,
    }
}

/// What differs from message to message.
fn is_unlike(kind: Kind) -> bool {
    match kind {
        Kind::Field(name) => name.is_unique() || matches!(name, Name::ContentLength | Name::Date),
        _ => false,
    }
}

fn slot(hash: u64) -> usize {
    usize::try_from(hash >> (u64::BITS - SLOTS.trailing_zeros())).unwrap_or_default()
}

/// What tells fields of one slot apart; never 0.
#[expect(clippy::cast_possible_truncation, reason = "a few bits of a hash")]
fn mark(hash: u64) -> u16 {
    (hash >> 32) as u16 | 1
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

fn name_hash(kind: Kind, name: &[u8]) -> u64 {
    match kind {
        Kind::Field(Name::Other) => mix(1, name),
        Kind::Field(name) => (name as u64 + 2).wrapping_mul(MIX),
        Kind::Path => 200_u64.wrapping_mul(MIX),
        Kind::Authority => 201_u64.wrapping_mul(MIX),
        Kind::Method => 202_u64.wrapping_mul(MIX),
        Kind::Status => 203_u64.wrapping_mul(MIX),
        Kind::Scheme => 204_u64.wrapping_mul(MIX),
        Kind::Bad => 0,
    }
}

fn hash(name: u64, value: &[u8]) -> u64 {
    mix(name, value)
}

/// A hash of length and of the bytes at both ends, without regard to the case of letters: what it
/// finds is compared as a whole.
fn mix(seed: u64, text: &[u8]) -> u64 {
    const FOLD: u64 = 0x2020_2020_2020_2020;
    let (first, last) = if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else {
        let short = text.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        (short, 0)
    };
    let mixed = (seed ^ (first | FOLD)).wrapping_mul(MIX);
    let mixed = (mixed.rotate_left(23) ^ (last | FOLD) ^ text.len() as u64).wrapping_mul(MIX);
    mixed ^ mixed >> 29
}

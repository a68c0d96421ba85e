//! The table of fields that a connection has seen.

use std::collections::VecDeque;

use super::{Field, Kind};
use crate::fields::offset;

/// What an entry counts beyond its bytes.
///
/// Source: RFC 7541 §4.1.
pub(super) const OVERHEAD: usize = 32;

/// One entry; its bytes are in [`Table::bytes`].
#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    is_clean: bool,
    start: u32,
    name_len: u32,
    value_len: u32,
}

impl Entry {
    fn bytes(self) -> usize {
        (self.name_len + self.value_len) as usize
    }
}

/// Fields by the order in which they came; the oldest go first.
#[derive(Debug)]
pub(super) struct Table {
    /// Bytes of the entries in their order; before the oldest one lie those of former ones.
    bytes: Vec<u8>,
    /// The newest is the last.
    entries: VecDeque<Entry>,
    size: usize,
    limit: usize,
    /// Entries that came in all.
    inserted: u32,
}

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            entries: VecDeque::new(),
            size: 0,
            limit,
            inserted: 0,
        }
    }

    /// Most bytes that it may hold.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Changes how much it may hold.
    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = limit;
        self.evict();
    }

    /// Entries that came in all: the number of the next one.
    pub(super) fn inserted(&self) -> u32 {
        self.inserted
    }

    /// The entry that came `age` entries before the newest.
    pub(super) fn get(&self, age: usize) -> Option<Field<'_>> {
        let at = self.entries.len().checked_sub(age + 1)?;
        let entry = self.entries.get(at)?;
        let bytes = self.bytes.get(entry.start as usize..)?;
        let (name, rest) = bytes.split_at_checked(entry.name_len as usize)?;
        Some(Field {
            kind: entry.kind,
            name,
            value: rest.get(..entry.value_len as usize)?,
            is_clean: entry.is_clean,
        })
    }

    /// How long ago the entry with this number came; `None` when it is gone.
    pub(super) fn age(&self, number: u32) -> Option<usize> {
        let age = self.inserted.wrapping_sub(number).checked_sub(1)? as usize;
        (age < self.entries.len()).then_some(age)
    }

    /// Adds a field.
    pub(super) fn insert(&mut self, field: &Field<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(field.name);
        self.add(start, field.kind, field.name.len(), field);
    }

    /// Adds a field with the name of the entry of this age.
    pub(super) fn insert_as(&mut self, age: usize, value: &[u8], is_clean: bool) {
        let Some(at) = self.entries.len().checked_sub(age + 1) else {
            return;
        };
        let Some(named) = self.entries.get(at).copied() else {
            return;
        };
        let start = self.bytes.len();
        let name = named.start as usize..(named.start + named.name_len) as usize;
        self.bytes.extend_from_within(name);
        let field = Field {
            kind: named.kind,
            name: &[],
            value,
            is_clean,
        };
        self.add(start, named.kind, named.name_len as usize, &field);
    }

    /// Adds the value to the name that stands at `start`.
    fn add(&mut self, start: usize, kind: Kind, name_len: usize, field: &Field<'_>) {
        self.bytes.extend_from_slice(field.value);
        self.size += name_len + field.value.len() + OVERHEAD;
        self.inserted = self.inserted.wrapping_add(1);
        self.entries.push_back(Entry {
            kind,
            is_clean: field.is_clean,
            start: offset(start),
            name_len: offset(name_len),
            value_len: offset(field.value.len()),
        });
        self.evict();
        self.compact();
    }

    fn evict(&mut self) {
        while self.size > self.limit {
            let Some(oldest) = self.entries.pop_front() else {
                return;
            };
            self.size -= oldest.bytes() + OVERHEAD;
        }
    }

    /// Takes former entries' bytes away once there are as many as a full table has.
    fn compact(&mut self) {
        let Some(oldest) = self.entries.front().copied() else {
            self.bytes.clear();
            self.bytes.shrink_to(self.limit);
            return;
        };
        if oldest.start as usize > self.limit.max(1024) {
            self.bytes.drain(..oldest.start as usize);
            for entry in &mut self.entries {
                entry.start -= oldest.start;
            }
        }
    }
}

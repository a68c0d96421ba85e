//! From blocks to fields.

use super::table::Table;
use super::{Broken, Field, Kind, TABLE_BYTES, form, huffman, integer, standard};
use crate::fields::is_clean;

/// Memory for Huffman code that is kept between blocks, in bytes.
const KEPT: usize = 1024;

/// Reads blocks of one connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// What a string in Huffman code said: a name, and behind it a value.
    scratch: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            table: Table::new(TABLE_BYTES),
            scratch: Vec::new(),
        }
    }
}

impl Decoder {
    /// Gives each field of a block to `take`, in order. What a field's bytes may be is not judged
    /// here, and every block must be read, whether its message is wanted or not.
    ///
    /// # Errors
    /// When the block is broken.
    pub fn decode(&mut self, block: &[u8], mut take: impl FnMut(&Field<'_>)) -> Result<(), Broken> {
        let mut rest = block;
        let mut begun = false;
        while let Some(first) = rest.first().copied() {
            match first {
                0x80.. => {
                    let number = integer::read(&mut rest, form::INDEXED.1)?;
                    take(&self.entry(number)?);
                }
                0x40..=0x7f => self.literal(&mut rest, form::KEPT.1, true, &mut take)?,
                0x20..=0x3f => {
                    let limit = integer::read(&mut rest, form::RESIZE.1)?;
                    // Source: RFC 7541 §4.2: at the start of a block only.
                    if begun || limit > TABLE_BYTES {
                        return Err(Broken);
                    }
                    self.table.resize(limit);
                    continue;
                }
                _ => self.literal(&mut rest, form::PLAIN.1, false, &mut take)?,
            }
            begun = true;
        }
        if self.scratch.capacity() > KEPT {
            self.scratch = Vec::new();
        }
        Ok(())
    }

    /// The entry with this number, of either table.
    fn entry(&self, number: usize) -> Result<Field<'_>, Broken> {
        let entries = &standard::ENTRIES;
        match number.checked_sub(1).ok_or(Broken)? {
            at if at < entries.len() => {
                let (kind, name, value) = entries[at];
                Ok(Field {
                    kind,
                    name: name.as_bytes(),
                    value: value.as_bytes(),
                    is_clean: true,
                })
            }
            at => self.table.get(at - entries.len()).ok_or(Broken),
        }
    }

    /// A field that is written out, at least its value.
    fn literal(
        &mut self,
        rest: &mut &[u8],
        bits: u8,
        is_kept: bool,
        take: &mut impl FnMut(&Field<'_>),
    ) -> Result<(), Broken> {
        let number = integer::read(rest, bits)?;
        self.scratch.clear();
        let mut scratch = std::mem::take(&mut self.scratch);
        let name = match number {
            0 => Some(text(rest, &mut scratch)?),
            _ => None,
        };
        let value = text(rest, &mut scratch)?;
        let value = value.of(&scratch);
        let is_clean = is_clean(value);
        let written = name.as_ref().map(|name| name.of(&scratch));
        let (kind, name) = if let Some(name) = written {
            (Kind::of(name), name)
        } else {
            let named = self.entry(number)?;
            (named.kind, named.name)
        };
        take(&Field {
            kind,
            name,
            value,
            is_clean,
        });
        if is_kept {
            let named = number.checked_sub(standard::ENTRIES.len() + 1);
            match (named, written) {
                (Some(age), _) => self.table.insert_as(age, value, is_clean),
                (None, written) => {
                    let standard = |at: usize| standard::ENTRIES[at].1.as_bytes();
                    let name = written.unwrap_or_else(|| standard(number - 1));
                    self.table.insert(&Field {
                        kind,
                        name,
                        value,
                        is_clean,
                    });
                }
            }
        }
        self.scratch = scratch;
        Ok(())
    }
}

/// A string as it was sent, or decoded in the scratch.
enum Text<'a> {
    Sent(&'a [u8]),
    Decoded(std::ops::Range<usize>),
}

impl<'a> Text<'a> {
    fn of<'s>(&self, scratch: &'s [u8]) -> &'s [u8]
    where
        'a: 's,
    {
        match self {
            Self::Sent(text) => text,
            Self::Decoded(range) => scratch.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// Takes a string off `rest`.
fn text<'a>(rest: &mut &'a [u8], scratch: &mut Vec<u8>) -> Result<Text<'a>, Broken> {
    let is_huffman = rest.first().ok_or(Broken)? & 0x80 != 0;
    let length = integer::read(rest, 7)?;
    let (text, left) = rest.split_at_checked(length).ok_or(Broken)?;
    *rest = left;
    if !is_huffman {
        return Ok(Text::Sent(text));
    }
    let start = scratch.len();
    huffman::decode(text, scratch)?;
    Ok(Text::Decoded(start..scratch.len()))
}

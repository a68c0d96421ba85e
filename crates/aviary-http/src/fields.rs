//! The fields of a message: spans into the bytes that came in.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::message::decimal;
use crate::name::{Key, Name, NameSet};
use crate::parse::controls;

/// One field line; all offsets are into [`Fields::bytes`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// First byte of the name.
    pub(crate) start: u32,
    /// Bytes of the name.
    pub(crate) name_len: u32,
    /// First byte of the value.
    pub(crate) value: u32,
    /// Bytes of the value, without white space around it.
    pub(crate) value_len: u32,
    /// After the line's CRLF.
    pub(crate) end: u32,
    /// Number of the name.
    pub(crate) name: Name,
    /// What tells names without a number apart, mostly; nothing for others.
    pub(crate) tag: u16,
}

/// Fields in the order in which they came.
///
/// A field that is removed leaves its bytes behind as a gap; a field that is added stands at the
/// end. Offsets have 32 bits, and nothing is added beyond 4 GiB.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    /// Field lines with CRLF, and gaps.
    pub(crate) bytes: Vec<u8>,
    pub(crate) lines: Vec<Line>,
    /// A bit for each number of a name that a line may have: most fields that are asked for are
    /// not there.
    present: [u64; 2],
    /// The same for the tags of names without a number, as many as share a bit.
    others: u64,
}

impl Fields {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all fields and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
        self.present = [0; 2];
        self.others = 0;
    }

    /// Notes a line, whose bytes are there or will be.
    #[inline]
    pub(crate) fn add_line(&mut self, line: Line) {
        if line.name == Name::Other {
            self.others |= other_bit(line.tag);
        } else {
            let (place, bit) = line.name.place();
            self.present[place] |= bit;
        }
        self.lines.push(line);
    }

    /// Takes the bytes of lines that were noted.
    pub(crate) fn take_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether a line may have the name.
    #[inline]
    fn may_have(&self, key: &Key<'_>) -> bool {
        if key.name() == Name::Other {
            self.others & other_bit(key.tag()) != 0
        } else {
            let (place, bit) = key.name().place();
            self.present[place] & bit != 0
        }
    }

    /// Whether there may be a field whose name is in the set. Names without a number are one.
    #[inline]
    pub fn may_have_any(&self, names: &NameSet) -> bool {
        let [low, high] = names.words();
        self.present[0] & low | self.present[1] & high != 0
            || self.others != 0 && names.contains(Name::Other)
    }

    /// Number of field lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes that [`Fields::write_runs`] will append.
    pub fn wire_len(&self) -> usize {
        self.lines
            .iter()
            .map(|line| (line.end - line.start) as usize)
            .sum()
    }

    /// Value of the first field with this name.
    pub fn get<'k>(&self, key: impl Into<Key<'k>>) -> Option<&[u8]> {
        let key = key.into();
        if !self.may_have(&key) {
            return None;
        }
        self.lines
            .iter()
            .find(|line| self.is(line, &key))
            .map(|line| self.value(line))
    }

    /// Value of the first field with this name, when it is UTF-8.
    pub fn text<'k>(&self, key: impl Into<Key<'k>>) -> Option<&str> {
        std::str::from_utf8(self.get(key)?).ok()
    }

    /// Values of all fields with this name, in order.
    pub fn get_all<'s, 'k: 's>(
        &'s self,
        key: impl Into<Key<'k>>,
    ) -> impl Iterator<Item = &'s [u8]> + 's {
        let key = key.into();
        let lines = if self.may_have(&key) {
            &self.lines[..]
        } else {
            &[]
        };
        lines
            .iter()
            .filter(move |line| self.is(line, &key))
            .map(|line| self.value(line))
    }

    /// Whether there is a field with this name.
    pub fn contains<'k>(&self, key: impl Into<Key<'k>>) -> bool {
        let key = key.into();
        self.may_have(&key) && self.lines.iter().any(|line| self.is(line, &key))
    }

    /// All values with this name as one text: joined by `; ` for `cookie` and by `,` otherwise.
    /// `None` when there is none, or one is not UTF-8.
    ///
    /// Source: RFC 9110 §5.3, RFC 9113 §8.2.3; Envoy `HeaderUtility::getAllOfHeaderAsString`.
    pub fn joined<'k>(&self, key: impl Into<Key<'k>>) -> Option<Cow<'_, str>> {
        let key = key.into();
        if !self.may_have(&key) {
            return None;
        }
        let mut values = self.lines.iter().filter(|line| self.is(line, &key));
        let text = |line| std::str::from_utf8(self.value(line)).ok();
        let first = text(values.next()?)?;
        let Some(second) = values.next() else {
            return Some(Cow::Borrowed(first));
        };
        let separator = if key.name() == Name::Cookie {
            "; "
        } else {
            ","
        };
        let mut joined = first.to_owned();
        for line in std::iter::once(second).chain(values) {
            joined.push_str(separator);
            joined.push_str(text(line)?);
        }
        Some(Cow::Owned(joined))
    }

    /// Removes all fields with this name, and says whether there was one.
    #[inline]
    pub fn remove<'k>(&mut self, key: impl Into<Key<'k>>) -> bool {
        let key = key.into();
        self.may_have(&key) && self.remove_there(key)
    }

    /// The same, for a name that a line may have.
    #[inline(never)]
    fn remove_there(&mut self, key: Key<'_>) -> bool {
        let Self { bytes, lines, .. } = self;
        // Mostly there is one.
        let Some(first) = lines.iter().position(|line| is(bytes, line, &key)) else {
            return false;
        };
        lines.remove(first);
        let rest = lines.get(first..).unwrap_or_default();
        if rest.iter().any(|line| is(bytes, line, &key)) {
            lines.retain(|line| !is(bytes, line, &key));
        }
        if key.name() != Name::Other {
            let (place, bit) = key.name().place();
            self.present[place] &= !bit;
        }
        true
    }

    /// Removes the fields for which `gone` is true of name (as sent) and number, in one pass.
    pub fn remove_where(&mut self, mut gone: impl FnMut(Name, &[u8]) -> bool) {
        let Self { bytes, lines, .. } = self;
        lines.retain(|line| !gone(line.name, slice(bytes, line.start, line.name_len)));
    }

    /// Removes all fields with this name and adds one at the end.
    pub fn set<'k>(&mut self, key: impl Into<Key<'k>>, value: &[u8]) {
        let key = key.into();
        self.remove(key);
        self.append(key, value);
    }

    /// Sets a field to a number.
    pub fn set_number<'k>(&mut self, key: impl Into<Key<'k>>, number: u64) {
        let key = key.into();
        let name = key.text().as_bytes();
        self.remove(key);
        if key.name() != Name::Other || is_token(name) {
            self.push_clean(key.name(), name, decimal(number, &mut [0; 20]));
        }
    }

    /// Adds a field at the end.
    ///
    /// A name that is no token adds nothing. Control bytes of the value become spaces, so that
    /// no value makes a field or a message of its own (RFC 9110 §5.5).
    pub fn append<'k>(&mut self, key: impl Into<Key<'k>>, value: &[u8]) {
        let key = key.into();
        let name = key.text().as_bytes();
        if key.name() == Name::Other && !is_token(name) {
            return;
        }
        self.push(key.name(), name, value);
    }

    /// Adds a field whose name is a token.
    fn push(&mut self, name: Name, text: &[u8], value: &[u8]) {
        if is_clean(value) {
            self.push_clean(name, text, value);
        } else {
            let spaced = |byte: &u8| if is_control(*byte) { b' ' } else { *byte };
            let value: Vec<u8> = value.iter().map(spaced).collect();
            self.push_clean(name, text, &value);
        }
    }

    /// Adds a field whose name is a token, and whose value has no control bytes.
    pub(crate) fn push_clean(&mut self, name: Name, text: &[u8], value: &[u8]) {
        let start = self.bytes.len();
        let length = text.len() + value.len() + 4;
        if u32::try_from(start + length).is_err() {
            return;
        }
        self.bytes.reserve(length);
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b": ");
        let value_at = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
        let tag = match name {
            Name::Other => Name::tagged(text).1,
            _ => 0,
        };
        self.add_line(Line {
            start: offset(start),
            name_len: offset(text.len()),
            value: offset(value_at),
            value_len: offset(value.len()),
            end: offset(self.bytes.len()),
            name,
            tag,
        });
    }

    /// Name as sent, and value, of each field in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.lines
            .iter()
            .map(|line| (self.name(line), self.value(line)))
    }

    /// Names as sent of the fields without a number, in order.
    pub fn unnumbered(&self) -> impl Iterator<Item = &[u8]> {
        let other = self.lines.iter().filter(|line| line.name == Name::Other);
        other.map(|line| self.name(line))
    }

    /// Number of the name, name as sent, and value, of each field in order.
    pub fn named(&self) -> impl Iterator<Item = (Name, &[u8], &[u8])> {
        self.lines
            .iter()
            .map(|line| (line.name, self.name(line), self.value(line)))
    }

    /// Appends the field lines; lines whose bytes are adjacent are copied at once, exactly as they
    /// came.
    pub fn write_runs(&self, out: &mut Vec<u8>) {
        let mut lines = self.lines.iter();
        let Some(first) = lines.next() else { return };
        let (mut start, mut end) = (first.start, first.end);
        for line in lines {
            if line.start != end {
                out.extend_from_slice(slice(&self.bytes, start, end - start));
                start = line.start;
            }
            end = line.end;
        }
        out.extend_from_slice(slice(&self.bytes, start, end - start));
    }

    pub(crate) fn name(&self, line: &Line) -> &[u8] {
        slice(&self.bytes, line.start, line.name_len)
    }

    pub(crate) fn value(&self, line: &Line) -> &[u8] {
        slice(&self.bytes, line.value, line.value_len)
    }

    #[inline]
    fn is(&self, line: &Line, key: &Key<'_>) -> bool {
        is(&self.bytes, line, key)
    }
}

impl PartialEq for Fields {
    /// Same names as sent and same values, in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Fields {}

#[inline(always)]
#[expect(
    clippy::inline_always,
    reason = "it is asked of each line, and most answers are one comparison"
)]
fn is(bytes: &[u8], line: &Line, key: &Key<'_>) -> bool {
    line.name == key.name()
        && (key.name() != Name::Other
            || line.tag == key.tag()
                && line.name_len as usize == key.text().len()
                && is_spelled(bytes, line, key))
}

fn is_spelled(bytes: &[u8], line: &Line, key: &Key<'_>) -> bool {
    let name = slice(bytes, line.start, line.name_len);
    let text = key.text().as_bytes();
    name == text || name.eq_ignore_ascii_case(text)
}

/// The bit of a tag in [`Fields::others`].
#[inline]
const fn other_bit(tag: u16) -> u64 {
    1 << (tag % 64)
}

#[inline]
fn slice(bytes: &[u8], start: u32, length: u32) -> &[u8] {
    &bytes[start as usize..start as usize + length as usize]
}

/// An offset below 4 GiB: callers have checked.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "callers have checked")]
pub(crate) fn offset(at: usize) -> u32 {
    debug_assert!(u32::try_from(at).is_ok());
    at as u32
}

/// Control bytes but the horizontal tab.
#[inline]
pub(crate) fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// Whether a value has no control bytes but tabs.
#[inline]
pub(crate) fn is_clean(value: &[u8]) -> bool {
    let Some(last) = value.last_chunk() else {
        return is_clean_byte_by_byte(value);
    };
    let (chunks, _) = value.as_chunks();
    let mut found = controls(last);
    for chunk in chunks {
        found |= controls(chunk);
    }
    // A tab is no reason, but rare enough to be looked for byte by byte.
    found == 0 || is_clean_byte_by_byte(value)
}

fn is_clean_byte_by_byte(value: &[u8]) -> bool {
    !value
        .iter()
        .fold(false, |any, byte| any | is_control(*byte))
}

/// Whether `text` is a token: a name of a field, a method.
///
/// Source: RFC 9110 §5.6.2.
#[inline(never)]
pub fn is_token(text: &[u8]) -> bool {
    // Without a look at each answer: mostly all are.
    let all = text
        .iter()
        .fold(true, |all, byte| all & TOKEN[usize::from(*byte)]);
    all && !text.is_empty()
}

/// How many bytes at the start of `text` belong to a token.
#[inline]
pub(crate) fn token_len(text: &[u8]) -> usize {
    text.iter()
        .position(|byte| !TOKEN[usize::from(*byte)])
        .unwrap_or(text.len())
}

static TOKEN: [bool; 256] =
    byte_set(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz");

/// Which bytes are among `allowed`.
pub(crate) const fn byte_set(allowed: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < allowed.len() {
        table[allowed[at] as usize] = true;
        at += 1;
    }
    table
}

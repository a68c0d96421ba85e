//! As much of HPACK as tests need: heads written as literals, and the status read. Source: RFC 7541.

/// A header block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Block(pub Vec<u8>);

impl Block {
    /// The four pseudo fields of a request.
    pub fn request(method: &str, path: &str) -> Self {
        Self::default()
            .with(":method", method)
            .with(":scheme", "http")
            .with(":path", path)
            .with(":authority", "a.test")
    }

    /// One more field, as a literal that no table keeps.
    #[must_use]
    pub fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.0.push(0);
        self.text(name.as_ref());
        self.text(value.as_ref());
        self
    }

    /// One more field, as a literal that the table keeps as its newest entry.
    #[must_use]
    pub fn with_kept(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.0.push(0x40);
        self.text(name.as_ref());
        self.text(value.as_ref());
        self
    }

    /// The newest entry of the table (number 62), so many times.
    #[must_use]
    pub fn with_newest(mut self, times: usize) -> Self {
        self.0.resize(self.0.len() + times, 0xbe);
        self
    }

    fn text(&mut self, bytes: &[u8]) {
        let mut rest = bytes.len();
        if rest < 127 {
            self.0.push(rest.to_le_bytes()[0]);
        } else {
            self.0.push(127);
            rest -= 127;
            while rest >= 128 {
                self.0.push(rest.to_le_bytes()[0] | 128);
                rest >>= 7;
            }
            self.0.push(rest.to_le_bytes()[0]);
        }
        self.0.extend(bytes);
    }
}

/// The status that a response's block begins with, written by a peer whose table has no room.
pub fn status(block: &[u8]) -> Option<u16> {
    let (first, rest) = block.split_first()?;
    match first {
        // A change of the table's size comes first.
        0x20..=0x3e => status(rest),
        0x3f => status(rest.get(rest.iter().position(|byte| byte & 128 == 0)? + 1..)?),
        0x88 => Some(200),
        0x89 => Some(204),
        0x8a => Some(206),
        0x8b => Some(304),
        0x8c => Some(400),
        0x8d => Some(404),
        0x8e => Some(500),
        // A literal whose name is that of entry 8.
        0x08 | 0x18 | 0x48 => digits(rest),
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<u16> {
    let (length, text) = text.split_first()?;
    let bytes = text.get(..usize::from(length & 127))?;
    if length & 128 == 0 {
        return std::str::from_utf8(bytes).ok()?.parse().ok();
    }
    // Huffman: 0, 1 and 2 have five bits (their own number), the others six.
    let bits: Vec<bool> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
        .collect();
    let number = |bits: &[bool]| bits.iter().fold(0u16, |sum, bit| sum * 2 + u16::from(*bit));
    let (mut at, mut value) = (0, 0);
    for _ in 0..3 {
        let short = number(bits.get(at..at + 5)?);
        let digit = if short < 3 {
            at += 5;
            short
        } else {
            let long = number(bits.get(at..at + 6)?);
            at += 6;
            long.checked_sub(0b01_1001)? + 3
        };
        value = value * 10 + digit;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::{Block, status};

    #[test]
    fn status_in_each_form_is_read() {
        assert_eq!(status(&[0x88]), Some(200));
        assert_eq!(status(&[0x20, 0x8d]), Some(404));
        assert_eq!(status(b"\x08\x03431"), Some(431));
        // Source: RFC 7541 C.6.1, `302`.
        assert_eq!(status(&[0x48, 0x82, 0x64, 0x02]), Some(302));
        // 503: 011011 00000 011001, then ones.
        assert_eq!(status(&[0x08, 0x83, 0x6c, 0x0c, 0xff]), Some(503));
    }

    #[test]
    fn text_of_any_length_is_written() {
        assert_eq!(Block::default().with("a", "b").0, b"\x00\x01a\x01b");
        let long = Block::default().with("a", vec![b'x'; 300]).0;
        // Source: RFC 7541 §5.1: 300 = 127 + (173 - 128) + 1 * 128.
        assert_eq!(long[..5], [0, 1, b'a', 127, 173]);
        assert_eq!(long[5..7], [1, b'x']);
    }
}

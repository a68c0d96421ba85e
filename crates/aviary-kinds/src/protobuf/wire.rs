//! The protobuf wire format.
//!
//! Source: "Encoding", protobuf.dev.

use super::Error;

/// A field's content before its meaning is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

impl<'a> Raw<'a> {
    pub(super) fn bytes(&self, path: &str) -> Result<&'a [u8], Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) => Err(Error::at(path, "expected bytes, found a number")),
        }
    }

    pub(super) fn text(&self, path: &str) -> Result<&'a str, Error> {
        std::str::from_utf8(self.bytes(path)?).map_err(|_| Error::at(path, "the text is not UTF-8"))
    }

    pub(super) fn integer(&self, path: &str) -> Result<i64, Error> {
        match self {
            Self::Varint(number) => Ok(number.cast_signed()),
            Self::Bytes(_) => Err(Error::at(path, "expected a number, found bytes")),
        }
    }
}

/// Reads field after field.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field's number and content; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Raw<'a>)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let raw = match key & 7 {
            0 => Raw::Varint(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Error::cut())?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(Error::cut)?;
                self.rest = rest;
                Raw::Bytes(bytes)
            }
            other => {
                return Err(Error::Malformed(format!(
                    "protobuf wire type {other} is not used by any field of this server"
                )));
            }
        };
        Ok(Some((key >> 3, raw)))
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or_else(Error::cut)?;
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Error::Malformed(
            "a protobuf number is longer than ten bytes".to_owned(),
        ))
    }
}

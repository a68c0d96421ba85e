//! Fields behind a body.

use super::frame;
use crate::error::Error;
use crate::fields::Fields;
use crate::hpack::{Encoder, Field, Kind};
use crate::message::{Framing, decimal};
use crate::name::Name;

/// Reads trailers; those that may not stand there are left out.
#[derive(Debug)]
pub(super) struct Reader {
    fields: Fields,
    left: usize,
    error: Option<Error>,
}

impl Reader {
    /// For trailers of so many bytes at most.
    pub(super) fn new(limit: usize) -> Self {
        let mut fields = Fields::new();
        reserve(&mut fields, 2, 48);
        Self {
            fields,
            left: limit,
            error: None,
        }
    }

    /// Takes the next field.
    pub(super) fn take(&mut self, field: &Field<'_>) {
        if self.error.is_none()
            && let Err(error) = self.try_take(field)
        {
            self.error = Some(error);
        }
    }

    fn try_take(&mut self, field: &Field<'_>) -> Result<(), Error> {
        let Kind::Field(name) = field.kind else {
            return Err(Error::BadName);
        };
        let size = field.name.len() + field.value.len() + frame::FIELD_OVERHEAD;
        self.left = self.left.checked_sub(size).ok_or(Error::TrailersTooLarge)?;
        if !field.is_clean {
            return Err(Error::BadByte);
        }
        if name as u8 > Name::Expect as u8 {
            let value = field.value.trim_ascii();
            self.fields.push_clean(name, field.name, value);
        }
        Ok(())
    }

    /// What came.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn finish(self) -> Result<Fields, Error> {
        self.error.map_or(Ok(self.fields), Err)
    }
}

/// Makes room in fields that have no memory yet, so that it is not made bit by bit.
pub(super) fn reserve(fields: &mut Fields, lines: usize, bytes: usize) {
    if fields.lines.capacity() == 0 {
        fields.lines.reserve(lines);
        fields.bytes.reserve(bytes);
    }
}

/// Appends fields, and the length of the body behind them, to a block.
pub(super) fn write(fields: &Fields, framing: Framing, encoder: &mut Encoder, out: &mut Vec<u8>) {
    for (name, text, value) in fields.named() {
        // Source: RFC 9113 §8.2.2: HTTP/2 has no fields of the connection.
        if !matches!(
            name,
            Name::Host
                | Name::Connection
                | Name::TransferEncoding
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::Upgrade
                | Name::Http2Settings
        ) {
            encoder.field(Kind::Field(name), text, value, out);
        }
    }
    if let Framing::Length(length) = framing {
        let name = Name::ContentLength;
        let mut digits = [0; 20];
        let digits = decimal(length, &mut digits);
        encoder.field(Kind::Field(name), name.text().as_bytes(), digits, out);
    }
}

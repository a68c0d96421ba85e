//! Heads of replies.

use super::frame::FIELD_OVERHEAD;
use super::request::{framing, no_field_of_the_connection};
use super::trailers::{self, reserve};
use crate::error::Error;
use crate::hpack::{Encoder, Field, Kind};
use crate::message::{Framing, Version};
use crate::name::Name;
use crate::parse::{Limits, content_length};
use crate::response::{ResponseHead, is_bodiless};

/// Reads the head of a reply.
pub(super) struct Reader<'a> {
    head: &'a mut ResponseHead,
    limits: Limits,
    request_was_head: bool,
    status: Option<u16>,
    length: Option<u64>,
    list_bytes: usize,
    error: Option<Error>,
}

impl<'a> Reader<'a> {
    /// Reads into `head`, which is empty.
    pub(super) fn new(head: &'a mut ResponseHead, limits: Limits, request_was_head: bool) -> Self {
        reserve(&mut head.fields, 8, 256);
        Self {
            head,
            limits,
            request_was_head,
            status: None,
            length: None,
            list_bytes: 0,
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
        self.list_bytes += field.name.len() + field.value.len() + FIELD_OVERHEAD;
        if self.list_bytes > self.limits.head_bytes {
            return Err(Error::HeadTooLarge);
        }
        if !field.is_clean {
            return Err(Error::BadByte);
        }
        let name = match field.kind {
            Kind::Field(name) => name,
            Kind::Status if self.status.is_none() => {
                self.status = Some(status(field.value)?);
                return Ok(());
            }
            _ => return Err(Error::BadName),
        };
        // It comes first, or not at all.
        let status = self.status.ok_or(Error::BadName)?;
        match name {
            Name::ContentLength => {
                if self.length.replace(content_length(field.value)?).is_some() {
                    return Err(Error::BadContentLength);
                }
                if !self.is_untold(status) {
                    return Ok(());
                }
            }
            Name::Te if field.value != b"trailers" => return Err(Error::ConnectionField),
            name => no_field_of_the_connection(name)?,
        }
        let fields = &mut self.head.fields;
        fields.push_clean(name, field.name, field.value.trim_ascii());
        Ok(())
    }

    /// Whether the length tells of a body that is not sent.
    fn is_untold(&self, status: u16) -> bool {
        self.request_was_head || status == 304
    }

    /// Ends the head; `end_stream` when no body follows.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn finish(self, end_stream: bool) -> Result<(), Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let status = self.status.ok_or(Error::BadName)?;
        let is_untold = self.is_untold(status);
        self.head.set_status(status);
        self.head.version = Version::Http2;
        self.head.framing = if is_untold || is_bodiless(status) {
            Framing::None
        } else {
            framing(self.length, end_stream)?
        };
        Ok(())
    }
}

/// A status of three digits. 101 is none in HTTP/2.
///
/// Source: RFC 9113 §8.6.
fn status(text: &[u8]) -> Result<u16, Error> {
    let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = *text else {
        return Err(Error::BadName);
    };
    let digit = |byte: u8| u16::from(byte - b'0');
    match digit(a) * 100 + digit(b) * 10 + digit(c) {
        101 => Err(Error::BadName),
        status => Ok(status),
    }
}

/// Appends the block of a reply.
pub(super) fn write(head: &ResponseHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    let status = head.status();
    let digit = |place: u16| b'0' + u8::try_from(status / place % 10).unwrap_or_default();
    let digits = [digit(100), digit(10), digit(1)];
    encoder.field(Kind::Status, b":status", &digits, out);
    trailers::write(&head.fields, head.framing, encoder, out);
}

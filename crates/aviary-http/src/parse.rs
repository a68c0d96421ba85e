//! Heads of HTTP/1 from bytes.
//!
//! Every line ends with CRLF and nothing else does: no bare CR, no bare LF, no NUL. A message that
//! two readers could frame differently is refused, see [`Error`].

mod line;
mod marks;
mod start;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod refused;
#[cfg(test)]
mod tests;

pub(crate) use line::{Seen, Side, content_length, fields};
pub(crate) use marks::controls;

use marks::{LineFeeds, Marks};
use memchr::{memchr, memchr2};
use start::RequestLine;

use crate::error::Error;
use crate::message::{Framing, Version};
use crate::request::RequestHead;
use crate::response::{ResponseHead, is_bodiless};

/// Blank lines that may stand before a head.
///
/// Source: RFC 9112 §2.2.
const BLANK_LINES: u8 = 4;
/// Room for method and version in the first line, when its target is too long to be read whole.
const START_LINE_ROOM: usize = 64;

/// What a head may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the head; over it 431.
    pub head_bytes: usize,
    /// Field lines; over it 431.
    pub fields: usize,
    /// Bytes of the target of a request; over it 414.
    pub target_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 64 << 10,
            fields: 128,
            target_bytes: 16 << 10,
        }
    }
}

/// Finds the end of a head in bytes that come piece by piece, and looks at each byte once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scanner {
    /// Bytes that were looked at.
    seen: usize,
    /// Where the current line begins.
    line: usize,
    /// Whether the first line of the head is complete.
    started: bool,
}

impl Scanner {
    /// A scanner at the start of a head.
    pub fn new() -> Self {
        Self::default()
    }

    /// Length of the head at the start of `input`, with its blank line; `None` when more bytes are
    /// needed. `input` begins as at the call before, until a head was found: then the scanner
    /// starts anew.
    ///
    /// # Errors
    /// When the head is too large, or has a line that does not end as it must.
    pub fn end(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        let from = self.seen;
        if let Some(end) = self.complete(input)? {
            if end > limits.head_bytes {
                return Err(Error::HeadTooLarge);
            }
            *self = Self::default();
            return Ok(Some(end));
        }
        self.check_lines(input)?;
        self.seen = input.len();
        if !self.started && input.len() - self.line > limits.target_bytes + START_LINE_ROOM {
            return Err(Error::TargetTooLong);
        }
        if input.len() >= limits.head_bytes {
            return Err(Error::HeadTooLarge);
        }
        no_lone_cr(input, from).map(|()| None)
    }

    /// Where the first blank line behind something else ends, whatever is before it: that is
    /// looked at when the head is read.
    fn complete(&self, input: &[u8]) -> Result<Option<usize>, Error> {
        let mut start = self.seen.saturating_sub(3);
        if !self.started {
            let mut blank = 0;
            start = 0;
            while input[start..].starts_with(b"\r\n") {
                blank += 1;
                start += 2;
            }
            if blank > BLANK_LINES {
                return Err(Error::BadStartLine);
            }
            start = start.max(self.seen.saturating_sub(3));
        }
        Ok(marks::blank_line(&input[start..]).map(|end| start + end))
    }

    /// Looks at the lines of a head that is not complete: a line that ends wrongly is refused at
    /// once, because what follows may never come.
    fn check_lines(&mut self, input: &[u8]) -> Result<(), Error> {
        let from = self.seen;
        for at in Marks::<LineFeeds>::new(input.get(from..).unwrap_or_default()) {
            let lf = from + at;
            if lf == 0 || input[lf - 1] != b'\r' {
                return Err(Error::BadByte);
            }
            self.started |= lf - self.line > 1;
            self.line = lf + 1;
        }
        Ok(())
    }

    /// Whether a head began: something else than blank lines came.
    pub fn has_begun(&self) -> bool {
        self.started || self.seen > self.line
    }
}

/// Whether a head that is not complete is broken already: it would never be.
fn no_lone_cr(input: &[u8], from: usize) -> Result<(), Error> {
    let mut at = from.saturating_sub(1);
    while let Some(found) = memchr2(b'\r', b'\0', &input[at..]) {
        at += found + 1;
        match input.get(at) {
            _ if input[at - 1] == b'\0' => return Err(Error::BadByte),
            Some(b'\n') | None => {}
            Some(_) => return Err(Error::BadByte),
        }
    }
    Ok(())
}

/// Reads a request's head: `input` is exactly what [`Scanner::end`] found.
///
/// # Errors
/// When it is refused; `into` is then of no use.
pub fn request(input: &[u8], limits: &Limits, into: &mut RequestHead) -> Result<(), Error> {
    match read_request(after_blank_lines(input), limits, into)? {
        Some([]) => Ok(()),
        _ => Err(Error::BadField),
    }
}

/// Reads a request's head in one go, when all of it is at the start of `input` and nothing is
/// wrong with it, and gives its length. `None` means nothing but that a [`Scanner`] has to look.
pub fn request_at_once(input: &[u8], limits: &Limits, into: &mut RequestHead) -> Option<usize> {
    let behind = read_request(input, limits, into).ok()??;
    Some(input.len() - behind.len()).filter(|length| *length <= limits.head_bytes)
}

/// Reads a request's head, and gives what is behind its blank line.
fn read_request<'a>(
    input: &'a [u8],
    limits: &Limits,
    into: &mut RequestHead,
) -> Result<Option<&'a [u8]>, Error> {
    into.clear();
    let line = match start::request_at_once(input, limits) {
        Some(line) => line,
        None => request_line(input, limits)?,
    };
    into.version = line.version;
    let side = Side::Request(line.version);
    let mut seen = Seen::default();
    let (limit, to) = (limits.fields, &mut into.fields);
    let behind = fields(input, line.end, side, limit, to, &mut seen)?;
    let host = seen
        .host
        .map(|(at, length)| &input[line.end..][at..at + length]);
    let (authority, path, before_query) = start::target(&line, host)?;
    let (method, path) = ((line.method, line.known_method), (path, before_query));
    into.set_parts(method, authority, path)?;
    into.framing = match (seen.length, seen.chunked) {
        (Some(_), true) => return Err(Error::LengthAndChunked),
        (Some(length), false) => Framing::Length(length),
        (None, true) => Framing::Chunked,
        (None, false) => Framing::None,
    };
    into.connection = seen.connection;
    Ok(behind)
}

/// A request line, with what is wrong about it.
#[cold]
fn request_line<'a>(input: &'a [u8], limits: &Limits) -> Result<RequestLine<'a>, Error> {
    let (line, end) = split(input)?;
    start::request(line, end, limits)
}

/// Reads a response's head: `input` is exactly what [`Scanner::end`] found.
///
/// # Errors
/// When it is refused; `into` is then of no use.
pub fn response(
    input: &[u8],
    request_was_head: bool,
    limits: &Limits,
    into: &mut ResponseHead,
) -> Result<(), Error> {
    match read_response(after_blank_lines(input), request_was_head, limits, into)? {
        Some([]) => Ok(()),
        _ => Err(Error::BadField),
    }
}

/// Reads a response's head in one go, as [`request_at_once`] does a request's.
pub fn response_at_once(
    input: &[u8],
    request_was_head: bool,
    limits: &Limits,
    into: &mut ResponseHead,
) -> Option<usize> {
    let behind = read_response(input, request_was_head, limits, into).ok()??;
    Some(input.len() - behind.len()).filter(|length| *length <= limits.head_bytes)
}

/// Reads a response's head, and gives what is behind its blank line.
fn read_response<'a>(
    input: &'a [u8],
    request_was_head: bool,
    limits: &Limits,
    into: &mut ResponseHead,
) -> Result<Option<&'a [u8]>, Error> {
    into.clear();
    let (line, end) = split(input)?;
    let line = start::response(line)?;
    into.set_status(line.status);
    into.version = line.version;
    into.reason.extend_from_slice(line.reason);
    let untold = request_was_head || line.status == 304;
    let side = Side::Response {
        version: line.version,
        keep_length: untold,
    };
    let mut seen = Seen::default();
    let (limit, to) = (limits.fields, &mut into.fields);
    let behind = fields(input, end, side, limit, to, &mut seen)?;
    into.connection = seen.connection;
    if seen.length.is_some() && seen.chunked {
        return Err(Error::LengthAndChunked);
    }
    if is_bodiless(line.status) && line.status != 304 {
        if seen.chunked {
            return Err(Error::TransferEncodingNotAllowed);
        }
        if seen.length.is_some_and(|length| length > 0) {
            return Err(Error::ContentLengthNotAllowed);
        }
        into.fields.remove(crate::Name::ContentLength);
    }
    into.framing = match (seen.length, seen.chunked) {
        _ if untold || is_bodiless(line.status) => Framing::None,
        (Some(length), _) => Framing::Length(length),
        (None, true) => Framing::Chunked,
        (None, false) => Framing::Close,
    };
    Ok(behind)
}

fn after_blank_lines(mut input: &[u8]) -> &[u8] {
    while let Some(rest) = input.strip_prefix(b"\r\n") {
        input = rest;
    }
    input
}

/// First line without CRLF, and where its CRLF ends.
fn split(input: &[u8]) -> Result<(&[u8], usize), Error> {
    let end = memchr(b'\r', input).ok_or(Error::BadStartLine)?;
    if !input[end..].starts_with(b"\r\n") {
        return Err(Error::BadByte);
    }
    Ok((&input[..end], end + 2))
}

/// The version at the end of a request line, or at the start of a status line.
fn version(text: &[u8]) -> Result<Version, Error> {
    match text {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Error::BadVersion)
        }
        _ => Err(Error::BadStartLine),
    }
}

//! Field lines, and what the fields of framing and connection say.

use memchr::memchr;

use super::marks::{Blocks, Controls, early_colon};
use crate::error::Error;
use crate::fields::{Fields, Line, is_token, offset};
use crate::message::{Connection, Upgrade, Version};
use crate::name::Name;

/// Fields that one message may name in `connection` besides the usual ones.
///
/// Source: Envoy `MAX_ALLOWED_NOMINATED_HEADERS`.
const NOMINATED: usize = 10;

/// Which rules apply.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    /// Of a request.
    Request(Version),
    /// Of a response; `keep_length` leaves `content-length` among the fields.
    Response { version: Version, keep_length: bool },
    /// Behind a chunked body: no field there says anything about framing or connection.
    Trailers,
}

/// What the fields that were taken out said.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Start and length of the value of `host` in the section.
    pub(crate) host: Option<(usize, usize)>,
    pub(crate) length: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) connection: Connection,
    /// The protocol of `upgrade`, which counts only when `connection` says so.
    protocol: Option<Upgrade>,
    upgrade: bool,
    nominated: usize,
    lines: usize,
}

/// Reads the field lines behind `from` into `into` and `seen`, which is new, up to a blank line or
/// the end of `input`. Gives what was behind the blank line, when there was one. Positions are those
/// behind `from`.
pub(crate) fn fields<'a>(
    input: &'a [u8],
    from: usize,
    side: Side,
    limit: usize,
    into: &mut Fields,
    seen: &mut Seen,
) -> Result<Option<&'a [u8]>, Error> {
    let section = &input[from..];
    into.clear();
    // Ends of lines are gathered before these are read: two loops with little to keep in mind each.
    let mut ends = [0; BATCH];
    let (mut start, mut read, mut count) = (0, 0, 0);
    for (base, bits) in Blocks::<Controls>::new(input, from) {
        // The line feed behind a carriage return that was the last byte of its block.
        let mut bits = bits & !u64::from(start > base);
        while bits != 0 {
            let at = base + bits.trailing_zeros() as usize;
            bits &= bits - 1;
            if !section[at..].starts_with(b"\r\n") {
                if section[at] == b'\t' {
                    continue;
                }
                return Err(Error::BadByte);
            }
            if at == start {
                read_lines(section, (read, &ends[..count]), side, limit, seen, into)?;
                into.take_bytes(&section[..start]);
                seen.settle(into);
                return Ok(Some(&section[at + 2..]));
            }
            ends[count % BATCH] = offset(at);
            count += 1;
            start = at + 2;
            if count == BATCH {
                read_lines(section, (read, &ends), side, limit, seen, into)?;
                (read, count) = (start, 0);
            }
            bits &= bits.wrapping_sub(1);
        }
    }
    if start < section.len() {
        return Err(Error::BadField);
    }
    read_lines(section, (read, &ends[..count]), side, limit, seen, into)?;
    into.take_bytes(section);
    seen.settle(into);
    Ok(None)
}

/// Lines that are gathered before they are read.
const BATCH: usize = 32;

/// The highest number of the names that [`Seen::keeps`] looks at: the first of the list.
const LAST_OF_THE_CONNECTION: u8 = Name::Expect as u8;

// A name of `keeps` behind it would go on unread.
const _: () = {
    let read = [
        Name::Host,
        Name::Connection,
        Name::ContentLength,
        Name::TransferEncoding,
        Name::KeepAlive,
        Name::ProxyConnection,
        Name::Upgrade,
        Name::Http2Settings,
        Name::Te,
    ];
    let mut at = 0;
    while at < read.len() {
        assert!((read[at] as u8) < LAST_OF_THE_CONNECTION);
        at += 1;
    }
};

/// Reads lines: the start of the first, and the CRLF of each.
fn read_lines(
    section: &[u8],
    (mut start, ends): (usize, &[u32]),
    side: Side,
    limit: usize,
    seen: &mut Seen,
    into: &mut Fields,
) -> Result<(), Error> {
    seen.lines += ends.len();
    if seen.lines > limit {
        return Err(Error::TooManyFields);
    }
    for end in ends {
        let end = *end as usize;
        let (line, behind) = (&section[start..end], &section[start..]);
        let length = match early_colon(behind) {
            Some(early) if early < line.len() => early,
            _ => memchr(b':', line).ok_or(Error::BadField)?,
        };
        let text = &line[..length];
        let (name, tag) = Name::tagged(text);
        if name == Name::Other && !is_token(text) {
            return Err(Error::BadField);
        }
        let value = trimmed(line, length + 1);
        if name as u8 > LAST_OF_THE_CONNECTION || seen.keeps(name, line, start, value, side)? {
            into.add_line(Line {
                start: offset(start),
                name_len: offset(length),
                value: offset(start + value.0),
                value_len: offset(value.1),
                end: offset(end + 2),
                name,
                tag,
            });
        }
        start = end + 2;
    }
    Ok(())
}

/// Start and length of the value that begins at `start` of a line, without the spaces and tabs
/// around it.
#[inline]
fn trimmed(line: &[u8], start: usize) -> (usize, usize) {
    match line[start..] {
        [b' ', first, .., last] if first > b' ' && last > b' ' => {
            (start + 1, line.len() - start - 1)
        }
        _ => trimmed_of_more(line, start),
    }
}

#[cold]
fn trimmed_of_more(line: &[u8], mut start: usize) -> (usize, usize) {
    let mut end = line.len();
    while start < end && matches!(line[start], b' ' | b'\t') {
        start += 1;
    }
    while start < end && matches!(line[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    (start, end - start)
}

impl Seen {
    /// Notes what a field says about framing and connection; `false` when it goes no further.
    #[inline(never)]
    fn keeps(
        &mut self,
        name: Name,
        line: &[u8],
        start: usize,
        (at, length): (usize, usize),
        side: Side,
    ) -> Result<bool, Error> {
        let value = &line[at..at + length];
        let version = match side {
            Side::Request(version) | Side::Response { version, .. } => version,
            Side::Trailers => return Ok(false),
        };
        let request = matches!(side, Side::Request(_));
        match name {
            Name::Host if request => {
                if self.host.replace((start + at, length)).is_some() {
                    return Err(Error::SeveralHosts);
                }
                Ok(false)
            }
            Name::ContentLength => {
                if self.length.replace(content_length(value)?).is_some() {
                    return Err(Error::BadContentLength);
                }
                Ok(matches!(
                    side,
                    Side::Response {
                        keep_length: true,
                        ..
                    }
                ))
            }
            Name::TransferEncoding => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Error::BadTransferEncoding);
                }
                if version == Version::Http10 {
                    return Err(Error::TransferEncodingNotAllowed);
                }
                self.chunked = true;
                Ok(false)
            }
            Name::Connection => {
                self.note_connection(value)?;
                // Lines that name other fields are needed once more, in `settle`.
                Ok(self.nominated > 0)
            }
            Name::Upgrade => {
                self.protocol = match protocol(value) {
                    _ if version == Version::Http10 => None,
                    other if self.protocol.is_some_and(|one| other != Some(one)) => {
                        Some(Upgrade::Other)
                    }
                    other => other,
                };
                Ok(false)
            }
            Name::Te if request => {
                let trailers = tokens(value).any(|token| token.eq_ignore_ascii_case(b"trailers"));
                self.connection.te_trailers |= trailers;
                Ok(trailers && value == b"trailers")
            }
            Name::Expect if request && value.eq_ignore_ascii_case(b"100-continue") => {
                self.connection.expect_continue = version == Version::Http11;
                Ok(false)
            }
            Name::KeepAlive | Name::ProxyConnection | Name::Http2Settings | Name::Te => Ok(false),
            _ => Ok(true),
        }
    }

    fn note_connection(&mut self, value: &[u8]) -> Result<(), Error> {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.connection.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.connection.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.nominate(token)?;
            }
        }
        Ok(())
    }

    /// Refuses to let a sender take out what others rely on.
    ///
    /// Source: Envoy `Utility::sanitizeConnectionHeader`.
    fn nominate(&mut self, token: &[u8]) -> Result<(), Error> {
        match Name::of(token) {
            Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::Http2Settings
            | Name::Te => return Ok(()),
            Name::Host
            | Name::ContentLength
            | Name::TransferEncoding
            | Name::Authorization
            | Name::Cookie
            | Name::Forwarded
            | Name::XForwardedClientCert
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedProto => return Err(Error::BadConnection),
            _ => {}
        }
        self.nominated += 1;
        if self.nominated > NOMINATED || token.starts_with(b":") {
            return Err(Error::BadConnection);
        }
        Ok(())
    }

    /// Once all lines are read: takes out what `connection` named, and joins what two fields say.
    #[inline]
    fn settle(&mut self, fields: &mut Fields) {
        if self.upgrade || self.nominated > 0 || self.connection.te_trailers {
            self.settle_more(fields);
        }
    }

    #[cold]
    fn settle_more(&mut self, fields: &mut Fields) {
        if self.upgrade {
            self.connection.upgrade = self.protocol;
        }
        if self.nominated > 0 {
            let named: Vec<Vec<u8>> = fields
                .get_all(Name::Connection)
                .flat_map(tokens)
                .map(<[u8]>::to_vec)
                .collect();
            fields.remove_where(|name, text| {
                name == Name::Connection
                    || name != Name::Te
                        && named.iter().any(|token| token.eq_ignore_ascii_case(text))
            });
        }
        // `te: trailers, deflate` and the like said more than goes on.
        if self.connection.te_trailers && !fields.contains(Name::Te) {
            fields.append(Name::Te, b"trailers");
        }
    }
}

/// The elements of a comma-separated list, without the white space around them, and none empty.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn protocol(value: &[u8]) -> Option<Upgrade> {
    if value.eq_ignore_ascii_case(b"websocket") {
        Some(Upgrade::WebSocket)
    } else if value.is_empty() || tokens(value).any(|token| token.eq_ignore_ascii_case(b"h2c")) {
        None
    } else {
        Some(Upgrade::Other)
    }
}

/// The number of 1*DIGIT, at most 2^63-1.
///
/// Source: RFC 9110 §8.6, without its leave to accept lists.
pub(crate) fn content_length(value: &[u8]) -> Result<u64, Error> {
    // So many digits cannot be too much.
    if let [first, rest @ ..] = value
        && rest.len() < 18
    {
        let mut length = u64::from(first.wrapping_sub(b'0'));
        let mut bad = length > 9;
        for byte in rest {
            let digit = u64::from(byte.wrapping_sub(b'0'));
            bad |= digit > 9;
            // What is no number may overflow; it is not used.
            length = length.wrapping_mul(10).wrapping_add(digit);
        }
        return if bad {
            Err(Error::BadContentLength)
        } else {
            Ok(length)
        };
    }
    long_content_length(value)
}

fn long_content_length(value: &[u8]) -> Result<u64, Error> {
    if value.is_empty() {
        return Err(Error::BadContentLength);
    }
    let mut length = 0u64;
    for byte in value {
        if !byte.is_ascii_digit() {
            return Err(Error::BadContentLength);
        }
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(byte - b'0')))
            .filter(|length| i64::try_from(*length).is_ok())
            .ok_or(Error::BadContentLength)?;
    }
    Ok(length)
}

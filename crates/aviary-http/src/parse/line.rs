//! Field lines, and what the fields of framing and connection say.

use super::marks::{Marks, Structure};
use crate::error::Error;
use crate::fields::{Fields, Line, bit, is_token, offset};
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
}

/// Reads field lines into `into`, up to a blank line or the end of `section`. Gives what was behind
/// the blank line, when there was one.
pub(crate) fn fields<'a>(
    section: &'a [u8],
    side: Side,
    limit: usize,
    into: &mut Fields,
) -> Result<(Seen, Option<&'a [u8]>), Error> {
    into.clear();
    let mut behind = None;
    let mut seen = Seen::default();
    let mut marks = Marks::<Structure>::new(section);
    let mut start = 0;
    let mut count = 0;
    while start < section.len() {
        let colon = marks.next().ok_or(Error::BadField)?;
        if section[colon] != b':' {
            if colon == start && section[colon..].starts_with(b"\r\n") {
                behind = Some(&section[colon + 2..]);
                break;
            }
            return Err(not_in_name(section, colon));
        }
        let end = loop {
            let at = marks.next().ok_or(Error::BadField)?;
            if section[at] != b':' {
                break at;
            }
        };
        let feed = marks.next().ok_or(Error::BadByte)?;
        if section[end] != b'\r' || section[feed] != b'\n' || feed != end + 1 {
            return Err(Error::BadByte);
        }
        count += 1;
        if count > limit {
            return Err(Error::TooManyFields);
        }
        let text = &section[start..colon];
        let name = Name::of(text);
        if name == Name::Other && !is_token(text) {
            return Err(Error::BadField);
        }
        let (value, value_len) = trimmed(section, colon + 1, end);
        if seen.keeps(name, section, value, value_len, side)? {
            into.present |= bit(name);
            into.lines.push(Line {
                start: offset(start),
                name_len: offset(colon - start),
                value: offset(value),
                value_len: offset(value_len),
                end: offset(feed + 1),
                name,
            });
        }
        start = feed + 1;
    }
    into.bytes.extend_from_slice(&section[..start]);
    seen.settle(into);
    Ok((seen, behind))
}

/// What is wrong about a byte that stands where a name or its colon should.
#[cold]
fn not_in_name(section: &[u8], at: usize) -> Error {
    if section[at..].starts_with(b"\r\n") {
        Error::BadField
    } else {
        Error::BadByte
    }
}

/// Start and length of a value without the spaces and tabs around it.
#[inline]
fn trimmed(section: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    if let [b' ', first, .., last] = section[start..end]
        && first > b' '
        && last > b' '
    {
        return (start + 1, end - start - 1);
    }
    while start < end && matches!(section[start], b' ' | b'\t') {
        start += 1;
    }
    while start < end && matches!(section[end - 1], b' ' | b'\t') {
        end -= 1;
    }
    (start, end - start)
}

impl Seen {
    /// Notes what a field says about framing and connection; `false` when it goes no further.
    #[inline]
    fn keeps(
        &mut self,
        name: Name,
        section: &[u8],
        at: usize,
        length: usize,
        side: Side,
    ) -> Result<bool, Error> {
        // The fields of the connection have the lowest numbers.
        if name as u8 > Name::Expect as u8 {
            return Ok(true);
        }
        let value = &section[at..at + length];
        let version = match side {
            Side::Request(version) | Side::Response { version, .. } => version,
            Side::Trailers => return Ok(false),
        };
        let request = matches!(side, Side::Request(_));
        match name {
            Name::Host if request => {
                if self.host.replace((at, length)).is_some() {
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
    fn settle(&mut self, fields: &mut Fields) {
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

//! The head of a request.

use crate::error::Error;
use crate::fields::{Fields, byte_set, is_token, offset};
use crate::message::{Connection, Framing, Scheme, Upgrade, Version};

/// Methods that the proxy treats in their own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// `GET`
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH`
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// Which one `text` is; methods are case-sensitive.
    pub fn of(text: &[u8]) -> Self {
        match text {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// Whether it asks for no change.
    ///
    /// Source: RFC 9110 §9.2.1.
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }
}

/// Part of [`RequestHead::text`].
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    start: u32,
    end: u32,
}

/// The head of a request.
///
/// `host`, `content-length`, `transfer-encoding` and the fields of the connection (`connection`
/// and what it names, `keep-alive`, `proxy-connection`, `upgrade`, `http2-settings`, `te` but
/// `trailers`, `expect: 100-continue`) are not among `fields`: what they said is in
/// [`RequestHead::authority`], `framing` and `connection`.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// Method, authority and path, and what was one of them before a change.
    text: String,
    method: Span,
    authority: Span,
    path: Span,
    /// Bytes of the path before its query.
    path_only: u32,
    /// Those of [`AUTHORITY`] together.
    authority_class: u8,
    known_method: Method,
    scheme: Scheme,
    pub(crate) version: Version,
    /// The fields that belong to the request.
    pub fields: Fields,
    /// Where the body ends.
    pub framing: Framing,
    /// What the sender said about its connection.
    pub connection: Connection,
}

impl RequestHead {
    /// An empty head to parse into, or to build a request from.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.fields.clear();
        (self.method, self.authority, self.path) =
            (Span::default(), Span::default(), Span::default());
        self.path_only = 0;
        self.authority_class = 0;
        self.known_method = Method::default();
        self.scheme = Scheme::default();
        self.version = Version::default();
        self.framing = Framing::default();
        self.connection = Connection::default();
    }

    /// The method as sent.
    pub fn method(&self) -> &str {
        self.part(self.method)
    }

    /// The method, when it is one that the proxy knows.
    pub fn known_method(&self) -> Method {
        self.known_method
    }

    /// Host and port as sent, never empty in a request that was parsed.
    pub fn authority(&self) -> &str {
        self.part(self.authority)
    }

    /// Whether the authority is a name or an address of IPv4 without a port, in lower case.
    pub fn has_plain_authority(&self) -> bool {
        self.authority_class & (UPPER | COLON) == 0
    }

    /// Path and query as sent: begins with `/`, or is `*`, or is empty for `CONNECT`.
    pub fn path(&self) -> &str {
        self.part(self.path)
    }

    /// The path without the query.
    pub fn path_only(&self) -> &str {
        self.path()
            .get(..self.path_only as usize)
            .unwrap_or_default()
    }

    /// The path without the query, and the query with its `?`, if there is one.
    pub fn path_parts(&self) -> (&str, &str) {
        let path = self.path();
        let parts = path.split_at_checked(self.path_only as usize);
        parts.unwrap_or((path, ""))
    }

    /// The query without its `?`; `None` when there is no `?`.
    pub fn query(&self) -> Option<&str> {
        self.path().get(self.path_only as usize + 1..)
    }

    /// The scheme; HTTP/1 parses as `http` until the connection says otherwise.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The version in which it came.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Replaces the method; a text that is no token changes nothing.
    pub fn set_method(&mut self, method: &str) {
        if is_token(method.as_bytes()) {
            self.known_method = Method::of(method.as_bytes());
            self.method = self.add(method);
        }
    }

    /// Replaces host and port; a text with bytes that no host has changes nothing.
    pub fn set_authority(&mut self, authority: &str) {
        if is_authority(authority.as_bytes()) {
            self.authority = self.add(authority);
            self.authority_class = authority_class(authority.as_bytes());
        }
    }

    /// Replaces path and query; a text with bytes that no target has changes nothing.
    pub fn set_path(&mut self, path: &str) {
        if is_target(path.as_bytes()) {
            self.path = self.add(path);
            self.path_only = offset(before_query(path.as_bytes()));
        }
    }

    /// Replaces the scheme.
    pub fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = scheme;
    }

    /// Appends the head for HTTP/1.1, with the blank line.
    ///
    /// `framing` is that of the body that will follow; where a method has one and there is none, that
    /// is said (RFC 9110 §8.6). With `upgrade` the next hop is asked for
    /// what the sender asked for, which is done for WebSocket only.
    pub fn write_http1(&self, out: &mut Vec<u8>, framing: Framing, upgrade: bool) {
        out.reserve(self.text.len() + self.fields.bytes.len() + 128);
        out.extend_from_slice(self.method().as_bytes());
        out.push(b' ');
        let path = self.path();
        if path.is_empty() {
            out.extend_from_slice(self.authority().as_bytes());
        } else {
            out.extend_from_slice(path.as_bytes());
        }
        out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        out.extend_from_slice(self.authority().as_bytes());
        out.extend_from_slice(b"\r\n");
        self.fields.write_runs(out);
        let expects_body = matches!(
            self.known_method,
            Method::Post | Method::Put | Method::Patch
        );
        if framing == Framing::None && expects_body {
            Framing::Length(0).write(out);
        } else {
            framing.write(out);
        }
        if upgrade && self.connection.upgrade == Some(Upgrade::WebSocket) {
            out.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Sets method, authority, and path with its length before the query. The caller has checked
    /// method and path.
    pub(crate) fn set_parts(
        &mut self,
        (method, known): (&[u8], Method),
        authority: &[u8],
        (path, before_query): (&[u8], usize),
    ) -> Result<(), Error> {
        self.authority_class = authority_class(authority);
        if self.authority_class & BAD != 0 {
            return Err(Error::BadHost);
        }
        self.known_method = known;
        let mut text = std::mem::take(&mut self.text).into_bytes();
        let mut add = |part: &[u8]| {
            let start = offset(text.len());
            text.extend_from_slice(part);
            Span {
                start,
                end: offset(text.len()),
            }
        };
        self.method = add(method);
        self.authority = add(authority);
        self.path = add(path);
        self.path_only = offset(before_query);
        self.text = String::from_utf8(text).map_err(|_| Error::BadTarget)?;
        Ok(())
    }

    fn add(&mut self, text: &str) -> Span {
        let start = offset(self.text.len());
        self.text.push_str(text);
        Span {
            start,
            end: offset(self.text.len()),
        }
    }

    fn part(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }
}

/// Where the `?` of a path is, or its end.
pub(crate) fn before_query(path: &[u8]) -> usize {
    memchr::memchr(b'?', path).unwrap_or(path.len())
}

/// Whether all bytes may stand in a target: printable ASCII but `#`.
///
/// Source: RFC 9112 §3.2; like Envoy, bytes that RFC 3986 wants escaped are let through.
pub(crate) fn is_target(target: &[u8]) -> bool {
    !target.iter().fold(false, |bad, byte| {
        bad | !matches!(byte, 0x21..=0x22 | 0x24..=0x7e)
    })
}

/// Whether `authority` is not empty and all its bytes may stand in host and port; there is no user
/// name in it.
///
/// Source: RFC 9110 §4.2.4, RFC 3986 §3.2.
pub(crate) fn is_authority(authority: &[u8]) -> bool {
    !authority.is_empty() && authority_class(authority) & BAD == 0
}

/// The classes of all bytes together.
#[inline]
fn authority_class(authority: &[u8]) -> u8 {
    let of = |all, byte: &u8| all | AUTHORITY[usize::from(*byte)];
    authority.iter().fold(0, of)
}

/// May not stand in an authority.
const BAD: u8 = 1;
/// A letter in upper case.
const UPPER: u8 = 2;
/// A colon.
const COLON: u8 = 4;

/// Classes of bytes; 0 for most that an authority has.
static AUTHORITY: [u8; 256] = {
    let good = byte_set(
        b"-._~%!$&'()*+;=:[]0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    );
    let mut classes = [0; 256];
    let mut at = 0;
    while at < good.len() {
        classes[at] = if !good[at] {
            BAD
        } else if at >= b'A' as usize && at <= b'Z' as usize {
            UPPER
        } else if at == b':' as usize {
            COLON
        } else {
            0
        };
        at += 1;
    }
    classes
};

//! Heads of requests.

use std::ops::Range;

use super::frame::FIELD_OVERHEAD;
use super::trailers::{self, reserve};
use crate::error::Error;
use crate::hpack::{Encoder, Field, Kind};
use crate::message::{Framing, Scheme, Version};
use crate::name::Name;
use crate::parse::{Limits, content_length};
use crate::request::{Method, RequestHead, before_query, is_authority, is_target};

/// Memory in which parts of a head wait for its end.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Values of pseudo fields and of `host`.
    parts: Vec<u8>,
    /// Crumbs of `cookie`, joined.
    cookie: Vec<u8>,
}

/// Reads the head of a request.
pub(super) struct Reader<'a> {
    head: &'a mut RequestHead,
    scratch: &'a mut Scratch,
    limits: Limits,
    method: Option<Range<usize>>,
    scheme: Option<Range<usize>>,
    authority: Option<Range<usize>>,
    path: Option<Range<usize>>,
    host: Option<Range<usize>>,
    length: Option<u64>,
    has_cookie: bool,
    /// A field came, so no pseudo field may follow.
    has_field: bool,
    list_bytes: usize,
    error: Option<Error>,
}

impl<'a> Reader<'a> {
    /// Reads into `head`, which is empty.
    pub(super) fn new(head: &'a mut RequestHead, scratch: &'a mut Scratch, limits: Limits) -> Self {
        scratch.parts.clear();
        scratch.cookie.clear();
        reserve(&mut head.fields, 12, 512);
        Self {
            head,
            scratch,
            limits,
            method: None,
            scheme: None,
            authority: None,
            path: None,
            host: None,
            length: None,
            has_cookie: false,
            has_field: false,
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
        if let Kind::Path = field.kind
            && field.value.len() > self.limits.target_bytes
        {
            return Err(Error::TargetTooLong);
        }
        if self.list_bytes > self.limits.head_bytes {
            return Err(Error::HeadTooLarge);
        }
        if !field.is_clean {
            return Err(Error::BadByte);
        }
        let parts = &mut self.scratch.parts;
        let part = match field.kind {
            Kind::Field(name) => return self.take_field(name, field),
            Kind::Method => &mut self.method,
            Kind::Scheme => &mut self.scheme,
            Kind::Authority => &mut self.authority,
            Kind::Path => &mut self.path,
            Kind::Status | Kind::Bad => return Err(Error::BadName),
        };
        if self.has_field || part.is_some() {
            return Err(Error::BadName);
        }
        *part = Some(add(parts, field.value));
        Ok(())
    }

    fn take_field(&mut self, name: Name, field: &Field<'_>) -> Result<(), Error> {
        self.has_field = true;
        let value = field.value;
        let connection = &mut self.head.connection;
        match name {
            Name::Host => {
                let host = add(&mut self.scratch.parts, value);
                if self.host.replace(host).is_some() {
                    return Err(Error::SeveralHosts);
                }
                return Ok(());
            }
            Name::ContentLength => {
                if self.length.replace(content_length(value)?).is_some() {
                    return Err(Error::BadContentLength);
                }
                return Ok(());
            }
            Name::Te if value != b"trailers" => return Err(Error::ConnectionField),
            Name::Te if connection.te_trailers => return Ok(()),
            Name::Te => connection.te_trailers = true,
            Name::Expect if value.eq_ignore_ascii_case(b"100-continue") => {
                connection.expect_continue = true;
                return Ok(());
            }
            Name::Cookie => {
                let cookie = &mut self.scratch.cookie;
                if self.has_cookie {
                    cookie.extend_from_slice(b"; ");
                }
                self.has_cookie = true;
                cookie.extend_from_slice(value);
                return Ok(());
            }
            name => no_field_of_the_connection(name)?,
        }
        if self.head.fields.len() >= self.limits.fields {
            return Err(Error::TooManyFields);
        }
        let fields = &mut self.head.fields;
        fields.push_clean(name, field.name, value.trim_ascii());
        Ok(())
    }

    /// Ends the head; `end_stream` when no body follows.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn finish(self, end_stream: bool) -> Result<(), Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let parts = &self.scratch.parts;
        let part = |range: &Option<Range<usize>>| range.clone().and_then(|it| parts.get(it));
        let head = self.head;
        let method = part(&self.method).ok_or(Error::BadName)?;
        if !crate::fields::is_token(method) {
            return Err(Error::BadName);
        }
        let path = match (part(&self.scheme), part(&self.path)) {
            // Source: RFC 9113 §8.5.
            (None, None) if method == b"CONNECT" => &[],
            (Some(scheme), Some(path)) if is_scheme(scheme) => {
                if scheme.eq_ignore_ascii_case(b"https") {
                    head.set_scheme(Scheme::Https);
                }
                target(method, path)?
            }
            _ => return Err(Error::BadTarget),
        };
        let authority = authority(part(&self.authority), part(&self.host))?;
        let path = (path, before_query(path));
        head.set_parts((method, Method::of(method)), authority, path)?;
        head.version = Version::Http2;
        if self.has_cookie {
            if head.fields.len() >= self.limits.fields {
                return Err(Error::TooManyFields);
            }
            let cookie = self.scratch.cookie.trim_ascii();
            let name = Name::Cookie;
            head.fields.push_clean(name, name.text().as_bytes(), cookie);
        }
        head.framing = framing(self.length, end_stream)?;
        Ok(())
    }
}

/// Refuses what HTTP/2 does not have.
///
/// Source: RFC 9113 §8.2.2.
pub(super) fn no_field_of_the_connection(name: Name) -> Result<(), Error> {
    match name {
        Name::TransferEncoding => Err(Error::TransferEncodingNotAllowed),
        Name::Connection
        | Name::KeepAlive
        | Name::ProxyConnection
        | Name::Upgrade
        | Name::Http2Settings => Err(Error::ConnectionField),
        _ => Ok(()),
    }
}

/// Where a body ends whose length was told, or not.
pub(super) fn framing(length: Option<u64>, end_stream: bool) -> Result<Framing, Error> {
    match (length, end_stream) {
        (Some(0), _) => Ok(Framing::Length(0)),
        (Some(_), true) => Err(Error::LengthMismatch),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::None),
        (None, false) => Ok(Framing::Chunked),
    }
}

fn add(parts: &mut Vec<u8>, value: &[u8]) -> Range<usize> {
    let start = parts.len();
    parts.extend_from_slice(value);
    start..parts.len()
}

/// Source: RFC 3986 §3.1.
fn is_scheme(scheme: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(is_part)
}

/// Path and query without a fragment, which is nobody's business but the client's.
fn target<'p>(method: &[u8], path: &'p [u8]) -> Result<&'p [u8], Error> {
    let path = match memchr::memchr(b'#', path) {
        Some(at) => &path[..at],
        None => path,
    };
    let is_formed = match path {
        b"*" => method == b"OPTIONS",
        _ => path.starts_with(b"/") && method != b"CONNECT",
    };
    if is_formed && is_target(path) {
        Ok(path)
    } else {
        Err(Error::BadTarget)
    }
}

/// The host of `:authority` or `host`, which must agree.
fn authority<'p>(named: Option<&'p [u8]>, host: Option<&'p [u8]>) -> Result<&'p [u8], Error> {
    let authority = match (named.filter(|named| !named.is_empty()), host) {
        (Some(named), Some(host)) if !named.eq_ignore_ascii_case(host) => {
            return Err(Error::HostMismatch);
        }
        (Some(one), _) | (None, Some(one)) if !one.is_empty() => one,
        _ => return Err(Error::MissingHost),
    };
    if is_authority(authority) {
        Ok(authority)
    } else {
        Err(Error::BadHost)
    }
}

/// Appends the block of a request.
pub(super) fn write(head: &RequestHead, encoder: &mut Encoder, out: &mut Vec<u8>) {
    encoder.begin(out);
    encoder.field(Kind::Method, b":method", head.method().as_bytes(), out);
    if head.known_method() != Method::Connect || !head.path().is_empty() {
        let scheme = head.scheme().text().as_bytes();
        encoder.field(Kind::Scheme, b":scheme", scheme, out);
        encoder.field(Kind::Path, b":path", head.path().as_bytes(), out);
    }
    let authority = head.authority().as_bytes();
    encoder.field(Kind::Authority, b":authority", authority, out);
    trailers::write(&head.fields, head.framing, encoder, out);
}

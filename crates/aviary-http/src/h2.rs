//! Heads from and to the types of the HTTP/2 codec.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Uri};

use crate::error::Error;
use crate::fields::Fields;
use crate::message::{Framing, Scheme, Version};
use crate::name::Name;
use crate::parse::{Limits, content_length};
use crate::request::{RequestHead, is_authority, is_target};
use crate::response::{ResponseHead, is_bodiless};

impl RequestHead {
    /// A request that came in HTTP/2; `end_stream` when no DATA follows.
    ///
    /// # Errors
    /// When it has a field of the connection, several hosts or lengths, or bytes that HTTP/1
    /// could not carry; or when it is larger than `limits`.
    pub fn from_h2(
        parts: &http::request::Parts,
        end_stream: bool,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let mut head = Self::new();
        head.version = Version::Http2;
        if parts.uri.scheme_str() == Some("https") {
            head.set_scheme(Scheme::Https);
        }
        let mut seen = Seen::default();
        seen.read(&parts.headers, true, false, &mut head.fields)?;
        if seen.list_bytes > limits.head_bytes {
            return Err(Error::HeadTooLarge);
        }
        if head.fields.len() > limits.fields {
            return Err(Error::TooManyFields);
        }
        let authority = authority(&parts.uri, seen.host)?;
        let path = match parts.uri.path_and_query() {
            Some(path) => path.as_str(),
            // `https://a` means its root; what has no scheme is an authority, and for CONNECT only.
            None if parts.uri.scheme().is_some() => "/",
            None => "",
        };
        let well_formed = match path {
            "" => parts.method == http::Method::CONNECT,
            "*" => parts.method == http::Method::OPTIONS,
            _ => path.starts_with('/') && parts.method != http::Method::CONNECT,
        };
        if path.len() > limits.target_bytes {
            return Err(Error::TargetTooLong);
        }
        if !well_formed || !is_target(path.as_bytes()) {
            return Err(Error::BadTarget);
        }
        head.set_parts(parts.method.as_str().as_bytes(), authority, path.as_bytes())?;
        head.connection.te_trailers = seen.te_trailers;
        head.connection.expect_continue = seen.expect_continue;
        head.framing = framing(seen.length, end_stream)?;
        Ok(head)
    }

    /// The request for HTTP/2. The caller ends the stream at once when the body that it will send
    /// is empty.
    ///
    /// # Errors
    /// When the target has bytes that the codec refuses.
    pub fn to_h2(&self) -> Result<http::Request<()>, Error> {
        let refused = |_| Error::NotForHttp2;
        let mut parts = http::uri::Parts::default();
        let authority = Bytes::copy_from_slice(self.authority().as_bytes());
        parts.authority = Some(Authority::from_maybe_shared(authority).map_err(refused)?);
        if !self.path().is_empty() {
            let path = Bytes::copy_from_slice(self.path().as_bytes());
            parts.path_and_query = Some(PathAndQuery::from_maybe_shared(path).map_err(refused)?);
            parts.scheme = Some(match self.scheme() {
                Scheme::Http => http::uri::Scheme::HTTP,
                Scheme::Https => http::uri::Scheme::HTTPS,
            });
        }
        let mut request = http::Request::new(());
        *request.version_mut() = http::Version::HTTP_2;
        *request.method_mut() =
            http::Method::from_bytes(self.method().as_bytes()).map_err(|_| Error::NotForHttp2)?;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| Error::NotForHttp2)?;
        *request.headers_mut() = self.fields.to_h2(self.framing)?;
        Ok(request)
    }
}

impl ResponseHead {
    /// A response that came in HTTP/2; `end_stream` when no DATA follows.
    ///
    /// # Errors
    /// When it has a field of the connection, several lengths, or bytes that HTTP/1 could not
    /// carry.
    pub fn from_h2(
        parts: &http::response::Parts,
        request_was_head: bool,
        end_stream: bool,
    ) -> Result<Self, Error> {
        let status = parts.status.as_u16();
        let mut head = Self::new(status);
        head.version = Version::Http2;
        let untold = request_was_head || status == 304;
        let mut seen = Seen::default();
        seen.read(&parts.headers, false, untold, &mut head.fields)?;
        head.framing = if untold || is_bodiless(status) {
            Framing::None
        } else {
            framing(seen.length, end_stream)?
        };
        Ok(head)
    }

    /// The response for HTTP/2.
    ///
    /// # Errors
    /// When its status is none of HTTP/2's.
    pub fn to_h2(&self) -> Result<http::Response<()>, Error> {
        let mut response = http::Response::new(());
        *response.version_mut() = http::Version::HTTP_2;
        *response.status_mut() =
            http::StatusCode::from_u16(self.status()).map_err(|_| Error::NotForHttp2)?;
        *response.headers_mut() = self.fields.to_h2(self.framing)?;
        Ok(response)
    }
}

impl Fields {
    /// Trailers that came in HTTP/2; those that may not stand there are left out.
    ///
    /// # Errors
    /// When a value has bytes that HTTP/1 could not carry.
    pub fn from_h2_trailers(map: &HeaderMap) -> Result<Self, Error> {
        let mut fields = Self::new();
        for (name, value) in map {
            let known = Name::of(name.as_str().as_bytes());
            if known as u8 > Name::Expect as u8 {
                fields.take(known, name, value)?;
            }
        }
        Ok(fields)
    }

    /// Trailers for HTTP/2.
    ///
    /// # Errors
    /// None in practice: fields hold what the codec takes.
    pub fn to_h2_trailers(&self) -> Result<HeaderMap, Error> {
        self.to_h2(Framing::None)
    }

    /// All fields as a map whose values share one copy of the bytes.
    fn to_h2(&self, framing: Framing) -> Result<HeaderMap, Error> {
        let shared = Bytes::copy_from_slice(&self.bytes);
        let mut map = HeaderMap::with_capacity(self.lines.len() + 1);
        for line in &self.lines {
            let name = match line.name.header_name() {
                Some(known) => known.clone(),
                None => HeaderName::from_bytes(self.name(line)).map_err(|_| Error::NotForHttp2)?,
            };
            let start = line.value as usize;
            let value = shared.slice(start..start + line.value_len as usize);
            let mut value =
                HeaderValue::from_maybe_shared(value).map_err(|_| Error::NotForHttp2)?;
            // To keep what never comes again would only drive out of the table what does.
            value.set_sensitive(line.name.is_unique());
            map.append(name, value);
        }
        if let Framing::Length(length) = framing {
            map.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        Ok(map)
    }

    /// Adds one field of the codec's.
    fn take(&mut self, known: Name, name: &HeaderName, value: &HeaderValue) -> Result<(), Error> {
        if !crate::fields::is_clean(value.as_bytes()) {
            return Err(Error::BadByte);
        }
        self.push_clean(
            known,
            name.as_str().as_bytes(),
            value.as_bytes().trim_ascii(),
        );
        Ok(())
    }
}

/// What the fields that are taken out of an HTTP/2 head said.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    te_trailers: bool,
    expect_continue: bool,
    /// Size of all fields. Source: RFC 9113 §6.5.2, `SETTINGS_MAX_HEADER_LIST_SIZE`.
    list_bytes: usize,
}

impl<'a> Seen<'a> {
    fn read(
        &mut self,
        map: &'a HeaderMap,
        request: bool,
        keep_length: bool,
        into: &mut Fields,
    ) -> Result<(), Error> {
        for (name, value) in map {
            let known = Name::of(name.as_str().as_bytes());
            let bytes = value.as_bytes();
            self.list_bytes += name.as_str().len() + bytes.len() + 32;
            match known {
                Name::Host if request => {
                    if self.host.replace(bytes).is_some() {
                        return Err(Error::SeveralHosts);
                    }
                }
                Name::ContentLength => {
                    if self.length.replace(content_length(bytes)?).is_some() {
                        return Err(Error::BadContentLength);
                    }
                    if keep_length {
                        into.take(known, name, value)?;
                    }
                }
                Name::TransferEncoding => return Err(Error::TransferEncodingNotAllowed),
                Name::Connection
                | Name::KeepAlive
                | Name::ProxyConnection
                | Name::Upgrade
                | Name::Http2Settings => return Err(Error::ConnectionField),
                Name::Te if bytes != b"trailers" => return Err(Error::ConnectionField),
                Name::Te => {
                    if !self.te_trailers {
                        into.take(known, name, value)?;
                    }
                    self.te_trailers = true;
                }
                Name::Expect if request && bytes.eq_ignore_ascii_case(b"100-continue") => {
                    self.expect_continue = true;
                }
                Name::Cookie => {}
                _ => into.take(known, name, value)?,
            }
        }
        cookies(map, into)
    }
}

/// Crumbs of `cookie` become one field again.
///
/// Source: RFC 9113 §8.2.3.
fn cookies(map: &HeaderMap, into: &mut Fields) -> Result<(), Error> {
    let mut crumbs = map.get_all(http::header::COOKIE).iter();
    let Some(first) = crumbs.next() else {
        return Ok(());
    };
    let Some(second) = crumbs.next() else {
        return into.take(Name::Cookie, &http::header::COOKIE, first);
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    let joined = HeaderValue::from_maybe_shared(Bytes::from(joined)).map_err(|_| Error::BadByte)?;
    into.take(Name::Cookie, &http::header::COOKIE, &joined)
}

/// The host of `:authority` or `host`, which must agree.
fn authority<'a>(uri: &'a Uri, host: Option<&'a [u8]>) -> Result<&'a [u8], Error> {
    let named = uri
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    let authority = match (named, host) {
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

fn framing(length: Option<u64>, end_stream: bool) -> Result<Framing, Error> {
    match (length, end_stream) {
        (Some(0), _) => Ok(Framing::Length(0)),
        (Some(_), true) => Err(Error::LengthMismatch),
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::None),
        (None, false) => Ok(Framing::Chunked),
    }
}

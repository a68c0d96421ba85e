//! The first line of a head.

use memchr::{memchr, memchr2};

use super::marks::{Marks, TargetEnds};
use super::{Limits, version};
use crate::error::Error;
use crate::fields::{is_clean, is_token, token_len};
use crate::message::Version;
use crate::request::{Method, is_authority, is_target};

/// A request line.
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) known_method: Method,
    pub(super) target: &'a [u8],
    /// Bytes of the target before its first question mark.
    pub(super) before_query: usize,
    pub(super) version: Version,
    /// Where its CRLF ends.
    pub(super) end: usize,
}

/// A status line.
pub(super) struct StatusLine<'a> {
    pub(super) status: u16,
    pub(super) version: Version,
    pub(super) reason: &'a [u8],
}

/// Reads the request line at the start of `input`, when it is one of HTTP/1.1 and nothing is wrong
/// with it; `None` means that [`request`] has to look.
pub(super) fn request_at_once<'a>(input: &'a [u8], limits: &Limits) -> Option<RequestLine<'a>> {
    const VERSION: &[u8] = b" HTTP/1.1\r\n";
    let mut marks = Marks::<TargetEnds>::new(input);
    let (first, ends) = (marks.next()?, marks.next()?);
    let mut second = ends;
    while input[second] == b'?' {
        second = marks.next()?;
    }
    let target = input.get(first + 1..second)?;
    let behind = input.get(second..second + VERSION.len())?;
    if input[first] != b' '
        || behind != VERSION
        || target.is_empty()
        || target.len() > limits.target_bytes
    {
        return None;
    }
    let method = &input[..first];
    let known_method = Method::of(method);
    if known_method == Method::Other && !is_token(method) {
        return None;
    }
    Some(RequestLine {
        method,
        known_method,
        target,
        before_query: ends - first - 1,
        version: Version::Http11,
        end: second + VERSION.len(),
    })
}

/// Splits a request line whose CRLF ends at `end`: one space each side of the target, nothing
/// before or after.
pub(super) fn request<'a>(
    line: &'a [u8],
    end: usize,
    limits: &Limits,
) -> Result<RequestLine<'a>, Error> {
    let (method, rest) = line.split_at(token_len(line));
    let rest = rest.strip_prefix(b" ").ok_or(Error::BadStartLine)?;
    if method.is_empty() {
        return Err(Error::BadStartLine);
    }
    let space = memchr(b' ', rest).ok_or(Error::BadStartLine)?;
    let (target, rest) = (&rest[..space], &rest[space + 1..]);
    if target.len() > limits.target_bytes {
        return Err(Error::TargetTooLong);
    }
    if target.is_empty() {
        return Err(Error::BadStartLine);
    }
    if !is_target(target) {
        return Err(Error::BadTarget);
    }
    Ok(RequestLine {
        method,
        known_method: Method::of(method),
        target,
        before_query: memchr(b'?', target).unwrap_or(target.len()),
        version: version(rest)?,
        end,
    })
}

/// Authority and path of a request, from its target and its `host` field, and the bytes of the path
/// before its query. Whether the authority is one is seen by who takes it.
///
/// The absolute form must agree with `host`: RFC 9112 §3.2.2 lets a proxy prefer the target, but
/// then two readers of one message see two hosts.
pub(super) fn target<'a>(
    line: &RequestLine<'a>,
    host: Option<&'a [u8]>,
) -> Result<(&'a [u8], &'a [u8], usize), Error> {
    let host = host
        .filter(|host| !host.is_empty())
        .ok_or(Error::MissingHost)?;
    let target = line.target;
    if line.known_method != Method::Connect && target.starts_with(b"/") {
        return Ok((host, target, line.before_query));
    }
    if !is_authority(host) {
        return Err(Error::BadHost);
    }
    let agreed = |authority: &'a [u8]| {
        if !is_authority(authority) {
            Err(Error::BadHost)
        } else if authority.eq_ignore_ascii_case(host) {
            Ok(authority)
        } else {
            Err(Error::HostMismatch)
        }
    };
    if line.known_method == Method::Connect {
        return Ok((agreed(target)?, b"", 0));
    }
    if target == b"*" && line.known_method == Method::Options {
        return Ok((host, target, 1));
    }
    let rest = absolute(target).ok_or(Error::BadTarget)?;
    let before_query = |path: &[u8]| line.before_query - (target.len() - path.len());
    match memchr2(b'/', b'?', rest) {
        None => Ok((agreed(rest)?, b"/", 1)),
        Some(at) if rest[at] == b'/' => {
            let path = &rest[at..];
            Ok((agreed(&rest[..at])?, path, before_query(path)))
        }
        // A query right after the authority has no `/` to borrow.
        Some(_) => Err(Error::BadTarget),
    }
}

/// What follows `http://` or `https://`.
fn absolute(target: &[u8]) -> Option<&[u8]> {
    for scheme in [&b"http://"[..], b"https://"] {
        if let Some((start, rest)) = target.split_at_checked(scheme.len())
            && start.eq_ignore_ascii_case(scheme)
        {
            return Some(rest);
        }
    }
    None
}

/// Splits a status line; the reason may be missing, with or without the space before it.
pub(super) fn response(line: &[u8]) -> Result<StatusLine<'_>, Error> {
    let (start, rest) = line.split_at_checked(8).ok_or(Error::BadStartLine)?;
    let version = version(start)?;
    let (code, reason) = match rest {
        [b' ', a, b, c] => ([a, b, c], &[][..]),
        [b' ', a, b, c, b' ', reason @ ..] => ([a, b, c], reason),
        _ => return Err(Error::BadStartLine),
    };
    let mut status = 0;
    for digit in code {
        if !digit.is_ascii_digit() {
            return Err(Error::BadStartLine);
        }
        status = status * 10 + u16::from(digit - b'0');
    }
    if status < 100 {
        return Err(Error::BadStartLine);
    }
    if !is_clean(reason) {
        return Err(Error::BadByte);
    }
    Ok(StatusLine {
        status,
        version,
        reason,
    })
}

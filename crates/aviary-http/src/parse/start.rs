//! The first line of a head.

use memchr::{memchr, memchr2};

use super::{Limits, version};
use crate::error::Error;
use crate::fields::{is_clean, token_len};
use crate::message::Version;
use crate::request::{Method, is_authority, is_target};

/// A request line.
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) version: Version,
}

/// A status line.
pub(super) struct StatusLine<'a> {
    pub(super) status: u16,
    pub(super) version: Version,
    pub(super) reason: &'a [u8],
}

/// Splits a request line: one space each side of the target, nothing before or after.
pub(super) fn request<'a>(line: &'a [u8], limits: &Limits) -> Result<RequestLine<'a>, Error> {
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
        target,
        version: version(rest)?,
    })
}

/// Authority and path of a request, from its target and its `host` field.
///
/// The absolute form must agree with `host`: RFC 9112 §3.2.2 lets a proxy prefer the target, but
/// then two readers of one message see two hosts.
pub(super) fn target<'a>(
    line: &RequestLine<'a>,
    host: Option<&'a [u8]>,
) -> Result<(&'a [u8], &'a [u8]), Error> {
    let host = host
        .filter(|host| !host.is_empty())
        .ok_or(Error::MissingHost)?;
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
    let target = line.target;
    if Method::of(line.method) == Method::Connect {
        return Ok((agreed(target)?, b""));
    }
    if target.starts_with(b"/") {
        return Ok((host, target));
    }
    if target == b"*" && Method::of(line.method) == Method::Options {
        return Ok((host, target));
    }
    let rest = absolute(target).ok_or(Error::BadTarget)?;
    match memchr2(b'/', b'?', rest) {
        None => Ok((agreed(rest)?, b"/")),
        Some(at) if rest[at] == b'/' => Ok((agreed(&rest[..at])?, &rest[at..])),
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

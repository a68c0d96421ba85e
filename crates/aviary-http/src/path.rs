//! The normal form of a path: one text for matching, authorisation, the log and the next hop.
//!
//! Source: Envoy 1.40 `normalize_path`, `merge_slashes` and `path_with_escaped_slashes_action`, in
//! that order of effect: escaped slashes, dot segments, slashes. The tables in the tests are what
//! that version answered. On purpose different: the normal form of a normal form is itself. Envoy
//! makes `/a/..;/b` of `/a/%2e%2e;/b` and `/b` of that at the next hop; here it is `/b` at once.

#[cfg(test)]
mod tests;

use crate::error::Error;

/// What to do about `%2F` and `%5C` in a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EscapedSlashes {
    /// They are bytes like others.
    #[default]
    Keep,
    /// The request is refused.
    Reject,
    /// They become slashes, and the client is told to ask for that.
    UnescapeAndRedirect,
    /// They become slashes.
    UnescapeAndForward,
}

/// Which parts of the normal form are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Normalize {
    /// `.` and `..` are resolved, with parameters (`..;x`) or escaped; `\` becomes `/`; letters,
    /// digits, `-`, `.`, `_` and `~` are unescaped; `"<>^{|}` and the back tick are escaped; `%00`
    /// is refused.
    pub dots: bool,
    /// Slashes in a row become one. As in Envoy, a path of nothing but slashes becomes `//`.
    pub merge_slashes: bool,
    /// What is done before about escaped slashes.
    pub escaped_slashes: EscapedSlashes,
}

/// The normal form of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Normal {
    /// The path has it.
    Same,
    /// The path to use instead.
    Changed(String),
    /// The path to which the client is sent, with 307.
    Redirect(String),
}

/// The normal form of `path`, a path with or without a query, which is left alone. Only a path
/// that begins with `/` has one; others (`*`) stay as they are.
///
/// # Errors
/// [`Error::PathRefused`] when it has an escaped NUL, a segment that is nothing but parameters
/// (`/;x/`, which Envoy leaves), or an escaped slash where these are refused.
pub fn normalize(path: &str, wanted: Normalize) -> Result<Normal, Error> {
    if is_plain(path.as_bytes(), wanted) {
        return Ok(Normal::Same);
    }
    let (path_only, query) = match memchr::memchr(b'?', path.as_bytes()) {
        Some(at) => path.split_at(at),
        None => (path, ""),
    };
    let mut bytes = path_only.as_bytes().to_vec();
    let mut redirect = false;
    if wanted.escaped_slashes != EscapedSlashes::Keep && unescape_slashes(&mut bytes) {
        match wanted.escaped_slashes {
            EscapedSlashes::Reject => return Err(Error::PathRefused),
            EscapedSlashes::UnescapeAndRedirect => redirect = true,
            EscapedSlashes::Keep | EscapedSlashes::UnescapeAndForward => {}
        }
    }
    if wanted.dots {
        bytes = resolve_dots(&rewrite_bytes(&bytes)?)?;
    }
    if wanted.merge_slashes {
        merge_slashes(&mut bytes);
    }
    let mut text = String::from_utf8(bytes).map_err(|_| Error::PathRefused)?;
    text.push_str(query);
    if redirect {
        Ok(Normal::Redirect(text))
    } else if text == path {
        Ok(Normal::Same)
    } else {
        Ok(Normal::Changed(text))
    }
}

/// Whether nothing in the path can need a change; `false` does not mean that something does.
fn is_plain(path: &[u8], wanted: Normalize) -> bool {
    if !path.starts_with(b"/") {
        return true;
    }
    let mut before = 0;
    for byte in path {
        if SUSPECT[usize::from(*byte)] {
            match *byte {
                b'?' => return true,
                b'/' if before == b'/' && wanted.merge_slashes => return false,
                b'.' | b';' if before == b'/' && wanted.dots => return false,
                b'/' | b'.' | b';' => {}
                _ => return false,
            }
        }
        before = *byte;
    }
    true
}

/// Bytes at which a plain path must be looked at more closely.
static SUSPECT: [bool; 256] = crate::fields::byte_set(b"/.;?%\\\"<>^`{|}");

/// Replaces `%2F` by `/` and `%5C` by `\`; whether there was one.
fn unescape_slashes(path: &mut Vec<u8>) -> bool {
    let before = path.len();
    let mut out = 0;
    let mut at = 0;
    while at < path.len() {
        let byte = match escaped(&path[at..]) {
            Some(slash @ (b'/' | b'\\')) => {
                at += 2;
                slash
            }
            _ => path[at],
        };
        path[out] = byte;
        out += 1;
        at += 1;
    }
    path.truncate(out);
    out < before
}

/// The byte that a text beginning with an escape stands for.
fn escaped(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else {
        return None;
    };
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// Unescapes what needs no escape, and escapes what does.
///
/// Source: Chromium `url/url_canon_path.cc`, which Envoy uses.
fn rewrite_bytes(path: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len() + 16);
    let mut at = 0;
    while at < path.len() {
        let byte = path[at];
        match escaped(&path[at..]) {
            Some(0) => return Err(Error::PathRefused),
            Some(plain) if is_unreserved(plain) && !completes_escape(&out, plain) => {
                out.push(plain);
                at += 3;
                continue;
            }
            Some(_) => {
                out.extend_from_slice(&path[at..at + 3]);
                at += 3;
                continue;
            }
            None => {}
        }
        match byte {
            b'\\' => out.push(b'/'),
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                out.push(b'%');
                out.push(b"0123456789ABCDEF"[usize::from(byte >> 4)]);
                out.push(b"0123456789ABCDEF"[usize::from(byte & 0xf)]);
            }
            _ => out.push(byte),
        }
        at += 1;
    }
    Ok(out)
}

/// Source: RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether `byte` behind `out` could make an escape out of a lone `%`, which then had another
/// normal form: `%2%65` stays what it is.
fn completes_escape(out: &[u8], byte: u8) -> bool {
    byte.is_ascii_hexdigit()
        && match out {
            [.., b'%'] => true,
            [.., b'%', first] => first.is_ascii_hexdigit(),
            _ => false,
        }
}

/// Resolves dot segments; `path` begins with `/`.
///
/// A `..` takes away the segment before it, also an empty one, and nothing at the start.
///
/// # Errors
/// When a segment is nothing but parameters.
fn resolve_dots(path: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let name = segment.split(|byte| *byte == b';').next();
        match name.unwrap_or_default() {
            // Who ignores parameters sees no segment here, and another path than the rules do.
            b"" if !segment.is_empty() => return Err(Error::PathRefused),
            b"." => {}
            b".." => out.truncate(memchr::memrchr(b'/', &out).unwrap_or(0)),
            _ => {
                out.push(b'/');
                out.extend_from_slice(segment);
                continue;
            }
        }
        if last {
            out.push(b'/');
        }
    }
    Ok(out)
}

/// Makes one slash of several.
fn merge_slashes(path: &mut Vec<u8>) {
    if path.len() > 1 && path.iter().all(|byte| *byte == b'/') {
        path.truncate(2);
    } else {
        path.dedup_by(|byte, before| *byte == b'/' && *before == b'/');
    }
}

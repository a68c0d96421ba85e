//! Finding operators in a format.

use super::format::Error;

/// A piece of a format, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written<'a> {
    Text(&'a str),
    Operator(Call<'a>),
}

/// `%NAME(ARGUMENT):LIMIT%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    pub(super) argument: Option<&'a str>,
    /// Longest value, in bytes.
    pub(super) limit: Option<usize>,
}

/// The pieces of a format in order. `%%` is a per cent sign.
///
/// Source: Envoy `SubstitutionFormatParser::parse`.
pub(super) fn pieces(format: &str) -> Result<Vec<Written<'_>>, Error> {
    let mut pieces = Vec::new();
    let mut rest = format;
    while let Some((text, after)) = rest.split_once('%') {
        if !text.is_empty() {
            pieces.push(Written::Text(text));
        }
        if let Some(after) = after.strip_prefix('%') {
            pieces.push(Written::Text("%"));
            rest = after;
            continue;
        }
        let (call, after) = call(after).ok_or_else(|| Error::Malformed {
            at: format.len() - after.len() - 1,
        })?;
        pieces.push(Written::Operator(call));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Written::Text(rest));
    }
    Ok(pieces)
}

/// An operator after its first per cent sign, and what follows it.
fn call(text: &str) -> Option<(Call<'_>, &str)> {
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let end = text.bytes().position(|byte| !is_name(byte))?;
    let (name, mut rest) = text.split_at_checked(end)?;
    let mut argument = None;
    if let Some(after) = rest.strip_prefix('(') {
        let (inside, after) = after.split_once(')')?;
        argument = Some(inside);
        rest = after;
    }
    let mut limit = None;
    if let Some(after) = rest.strip_prefix(':') {
        let (number, _) = after.split_once('%')?;
        limit = Some(number.parse().ok()?);
        rest = after.get(number.len()..)?;
    }
    let rest = rest.strip_prefix('%')?;
    let call = Call {
        name,
        argument,
        limit,
    };
    (!name.is_empty()).then_some((call, rest))
}

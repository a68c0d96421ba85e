//! Conditions on requests.

use aviary_api::virtual_service::{HttpMatch, StringMatch as Wanted};
use aviary_mesh::{
    matcher::{FullRegex, HeaderMatch, QueryMatch, StringMatch, Text},
    route::{PathMatch, RouteMatch},
};

/// One block of `match`.
///
/// # Errors
/// When an expression cannot be compiled.
pub(crate) fn route_match(block: &HttpMatch) -> Result<RouteMatch, String> {
    let path = match block.uri.as_ref().map(string).transpose()?.flatten() {
        None => PathMatch::Prefix("/".to_owned()),
        Some(StringMatch::Exact(path)) => PathMatch::Exact(path),
        Some(StringMatch::Regex(regex)) => PathMatch::Regex(regex),
        Some(StringMatch::Prefix(prefix)) => PathMatch::Prefix(prefix),
        Some(StringMatch::Suffix(_) | StringMatch::Contains(_)) => {
            return Err(
                "paths are matched by prefix, exactly or by a regular expression".to_owned(),
            );
        }
    };
    let mut headers = Vec::new();
    let pseudo = [
        (":method", &block.method),
        (":authority", &block.authority),
        (":scheme", &block.scheme),
    ];
    for (name, wanted) in pseudo {
        if let Some(wanted) = wanted {
            headers.push(header(name, wanted, false)?);
        }
    }
    for (name, wanted) in &block.headers {
        headers.push(header(name, wanted, false)?);
    }
    for (name, wanted) in &block.without_headers {
        headers.push(header(name, wanted, true)?);
    }
    let query = block.query_params.iter().map(|(name, wanted)| {
        Ok(QueryMatch {
            name: name.clone(),
            value: string(wanted)?,
            ignore_case: false,
        })
    });
    Ok(RouteMatch {
        path,
        ignore_case: block.ignore_uri_case,
        headers,
        query: query.collect::<Result<_, String>>()?,
        ..RouteMatch::default()
    })
}

/// Source: Istio `translateHeaderMatch`: an inverted condition on a value takes a missing header
/// as empty.
fn header(name: &str, wanted: &Wanted, invert: bool) -> Result<HeaderMatch, String> {
    let value = string(wanted)?;
    Ok(HeaderMatch {
        name: name.to_ascii_lowercase(),
        missing_as_empty: invert && value.is_some(),
        value,
        invert,
        ignore_case: false,
    })
}

/// Origins that may call, or `Err` when an expression cannot be compiled.
pub(super) fn origins(wanted: &[Wanted]) -> Result<Vec<Text>, String> {
    let texts = wanted.iter().map(string);
    let texts = texts.filter_map(Result::transpose);
    texts.map(|text| text.map(Text::from)).collect()
}

/// A comparison; `None` asks for presence only.
pub(crate) fn string(wanted: &Wanted) -> Result<Option<StringMatch>, String> {
    if let Some(exact) = &wanted.exact {
        return Ok(Some(StringMatch::Exact(exact.clone())));
    }
    if let Some(prefix) = &wanted.prefix {
        return Ok(Some(StringMatch::Prefix(prefix.clone())));
    }
    match wanted.regex.as_deref() {
        None | Some("*") => Ok(None),
        Some(regex) => FullRegex::new(regex).map(|regex| Some(StringMatch::Regex(regex))),
    }
}

//! Routes for requests that meet the user's condition and another one.

use aviary_api::virtual_service::HttpMatch;
use aviary_mesh::{
    Route,
    matcher::{FullRegex, HeaderMatch, StringMatch},
    route::{PathMatch, PathRewrite, RouteAction, RouteMatch},
};

use crate::virtual_service::route_match;

/// A condition that both hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Both {
    /// No value meets both.
    Never,
    /// This one says it.
    One(StringMatch),
    /// It needs both.
    Two,
}

/// The one condition that says what two say of the same value.
pub(crate) fn strings(a: &StringMatch, b: &StringMatch) -> Both {
    use StringMatch::{Exact, Prefix};
    match (a, b) {
        _ if a == b => Both::One(a.clone()),
        (Exact(value), other) | (other, Exact(value)) => {
            if other.matches(value, false) {
                Both::One(Exact(value.clone()))
            } else {
                Both::Never
            }
        }
        (Prefix(short), Prefix(long)) | (Prefix(long), Prefix(short))
            if long.starts_with(short.as_str()) =>
        {
            Both::One(Prefix(long.clone()))
        }
        (Prefix(_), Prefix(_)) => Both::Never,
        _ => Both::Two,
    }
}

/// `route` for those of its requests that meet `block` as well; `None` when there are none.
///
/// Conditions on headers and queries stand side by side. A route has one condition on the path,
/// which its rewrite refers to, so the other one is put into it or becomes one on `:path`, where
/// the query follows.
///
/// # Errors
/// When it cannot be said with one route: two different regular expressions on the path.
pub(super) fn both(route: &Route, block: &HttpMatch) -> Result<Option<Route>, String> {
    let block = route_match(block)?;
    let mut route = route.clone();
    if !narrow_path(&mut route, &block)? {
        return Ok(None);
    }
    for header in block.headers {
        if !route.matches.headers.contains(&header) {
            route.matches.headers.push(header);
        }
    }
    for query in block.query {
        if !route.matches.query.contains(&query) {
            route.matches.query.push(query);
        }
    }
    Ok(Some(route))
}

/// Tells whether a path can meet both.
fn narrow_path(route: &mut Route, block: &RouteMatch) -> Result<bool, String> {
    if block.path == PathMatch::Prefix("/".to_owned()) {
        return Ok(true);
    }
    if !route.matches.ignore_case && !block.ignore_case {
        match strings(&text(&route.matches.path), &text(&block.path)) {
            Both::Never => return Ok(false),
            Both::One(path) => {
                put_path(route, path);
                return Ok(true);
            }
            Both::Two => {}
        }
    }
    match (&route.matches.path, &block.path) {
        (_, PathMatch::Prefix(prefix)) => {
            let prefix = StringMatch::Prefix(prefix.clone());
            let header = on_path(prefix, block.ignore_case);
            route.matches.headers.push(header);
        }
        (_, PathMatch::Exact(path)) => {
            let fold = if block.ignore_case { "(?i)" } else { "" };
            let regex = FullRegex::new(&format!("{fold}{}(?:[?#].*)?", regex::escape(path)))?;
            let header = on_path(StringMatch::Regex(regex), false);
            route.matches.headers.push(header);
        }
        (PathMatch::Prefix(prefix), PathMatch::Regex(regex)) => {
            let (prefix, regex) = (prefix.clone(), regex.clone());
            let fold = route.matches.ignore_case;
            rewrite_by_expression(route, &prefix, fold);
            if prefix != "/" {
                let header = on_path(StringMatch::Prefix(prefix), fold);
                route.matches.headers.push(header);
            }
            route.matches.path = PathMatch::Regex(regex);
        }
        _ => {
            return Err(
                "both have a regular expression on the path; write one of them as `prefix` or `exact`"
                    .to_owned(),
            );
        }
    }
    Ok(true)
}

/// The path's condition as one on text.
fn text(path: &PathMatch) -> StringMatch {
    match path {
        PathMatch::Prefix(prefix) | PathMatch::SegmentPrefix(prefix) => {
            StringMatch::Prefix(prefix.clone())
        }
        PathMatch::Exact(path) => StringMatch::Exact(path.clone()),
        PathMatch::Regex(regex) => StringMatch::Regex(regex.clone()),
    }
}

/// Replaces the route's condition by a narrower one; what a rewrite does to a path stays.
fn put_path(route: &mut Route, path: StringMatch) {
    let path = match path {
        StringMatch::Exact(path) => PathMatch::Exact(path),
        StringMatch::Regex(regex) => PathMatch::Regex(regex),
        StringMatch::Prefix(prefix)
        | StringMatch::Suffix(prefix)
        | StringMatch::Contains(prefix) => PathMatch::Prefix(prefix),
    };
    if let (PathMatch::Prefix(old), PathMatch::Prefix(new) | PathMatch::Exact(new)) =
        (&route.matches.path, &path)
        && let RouteAction::Forward(forward) = &mut route.action
        && let Some(PathRewrite::Prefix(rewrite)) = &mut forward.rewrite
    {
        // The part that is matched now is longer: so is what takes its place.
        rewrite.push_str(new.get(old.len()..).unwrap_or_default());
    }
    route.matches.path = path;
}

/// A rewrite of the matched prefix as one by expression, for a route that no longer matches it.
fn rewrite_by_expression(route: &mut Route, prefix: &str, fold: bool) {
    if let RouteAction::Forward(forward) = &mut route.action
        && let Some(PathRewrite::Prefix(new)) = &forward.rewrite
    {
        let fold = if fold { "(?i)" } else { "" };
        forward.rewrite = Some(PathRewrite::Regex {
            pattern: format!("{fold}^{}", regex::escape(prefix)),
            substitution: new.replace('\\', r"\\"),
        });
    }
}

fn on_path(value: StringMatch, ignore_case: bool) -> HeaderMatch {
    HeaderMatch {
        name: ":path".to_owned(),
        value: Some(value),
        invert: false,
        missing_as_empty: false,
        ignore_case,
    }
}

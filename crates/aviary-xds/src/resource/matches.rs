//! Conditions on texts, paths, headers and query parameters.
#![expect(
    deprecated,
    reason = "older forms that Envoy still reads, or only they exist"
)]

use aviary_mesh::matcher::{FullRegex, HeaderMatch, QueryMatch, StringMatch, Text};
use aviary_mesh::route::{PathMatch, RouteMatch};
use envoy_types::pb::envoy::config::route::v3::{
    HeaderMatcher, QueryParameterMatcher, RouteMatch as ProtoMatch,
    header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier,
    route_match::{GrpcRouteMatchOptions, PathSpecifier},
};
use envoy_types::pb::envoy::r#type::matcher::v3::{
    PathMatcher, RegexMatchAndSubstitute, RegexMatcher, StringMatcher, path_matcher, string_matcher,
};

use super::value::{boolean, runtime_fraction, runtime_percent_of};
use super::{Fault, Within, each, nothing_left};

pub(super) fn regex(source: &str) -> RegexMatcher {
    RegexMatcher {
        regex: source.to_owned(),
        engine_type: None,
    }
}

/// The only engine there is, RE2, may be named.
pub(super) fn regex_of(value: &RegexMatcher) -> Result<FullRegex, Fault> {
    FullRegex::new(&value.regex).map_err(Fault::new)
}

pub(super) fn substitution(pattern: &str, substitution: &str) -> RegexMatchAndSubstitute {
    RegexMatchAndSubstitute {
        pattern: Some(regex(pattern)),
        substitution: substitution.to_owned(),
    }
}

/// A pattern and what takes the place of its matches.
pub(super) fn substitution_of(value: RegexMatchAndSubstitute) -> Result<(String, String), Fault> {
    let pattern = value.pattern.map(|it| it.regex).unwrap_or_default();
    aviary_mesh::compiled::check_rewrite(&pattern, &value.substitution).map_err(Fault::new)?;
    Ok((pattern, value.substitution))
}

pub(super) fn string_matcher(value: &StringMatch, ignore_case: bool) -> StringMatcher {
    use string_matcher::MatchPattern;
    StringMatcher {
        ignore_case,
        match_pattern: Some(match value {
            StringMatch::Exact(value) => MatchPattern::Exact(value.clone()),
            StringMatch::Prefix(value) => MatchPattern::Prefix(value.clone()),
            StringMatch::Suffix(value) => MatchPattern::Suffix(value.clone()),
            StringMatch::Contains(value) => MatchPattern::Contains(value.clone()),
            StringMatch::Regex(value) => MatchPattern::SafeRegex(regex(value.source())),
        }),
    }
}

pub(super) fn text(value: &Text) -> StringMatcher {
    string_matcher(&value.is, value.ignore_case)
}

pub(super) fn text_of(value: StringMatcher) -> Result<Text, Fault> {
    use string_matcher::MatchPattern;
    let is = match value.match_pattern {
        Some(MatchPattern::Exact(value)) => StringMatch::Exact(value),
        Some(MatchPattern::Prefix(value)) => StringMatch::Prefix(value),
        Some(MatchPattern::Suffix(value)) => StringMatch::Suffix(value),
        Some(MatchPattern::Contains(value)) => StringMatch::Contains(value),
        Some(MatchPattern::SafeRegex(value)) => {
            StringMatch::Regex(regex_of(&value).within("safe_regex")?)
        }
        _ => return Err(Fault::new("a kind of string match that is not supported")),
    };
    Ok(Text {
        is,
        ignore_case: value.ignore_case,
    })
}

pub(super) fn path(value: &Text) -> PathMatcher {
    PathMatcher {
        rule: Some(path_matcher::Rule::Path(text(value))),
    }
}

pub(super) fn path_of(value: PathMatcher) -> Result<Text, Fault> {
    let Some(path_matcher::Rule::Path(value)) = value.rule else {
        return Err(Fault::new("a condition is missing").at("path"));
    };
    text_of(value).within("path")
}

pub(super) fn to_proto(matches: &RouteMatch) -> ProtoMatch {
    ProtoMatch {
        path_specifier: Some(match &matches.path {
            PathMatch::Prefix(path) => PathSpecifier::Prefix(path.clone()),
            PathMatch::SegmentPrefix(path) => PathSpecifier::PathSeparatedPrefix(path.clone()),
            PathMatch::Exact(path) => PathSpecifier::Path(path.clone()),
            PathMatch::Regex(path) => PathSpecifier::SafeRegex(regex(path.source())),
        }),
        case_sensitive: boolean(!matches.ignore_case),
        headers: matches.headers.iter().map(header).collect(),
        query_parameters: matches.query.iter().map(query).collect(),
        grpc: matches.grpc.then_some(GrpcRouteMatchOptions {}),
        runtime_fraction: matches.share_percent.map(runtime_fraction),
        ..ProtoMatch::default()
    }
}

pub(super) fn from_proto(mut proto: ProtoMatch) -> Result<RouteMatch, Fault> {
    let path = match proto.path_specifier.take() {
        Some(PathSpecifier::Prefix(path)) => PathMatch::Prefix(path),
        Some(PathSpecifier::PathSeparatedPrefix(path)) => PathMatch::SegmentPrefix(path),
        Some(PathSpecifier::Path(path)) => PathMatch::Exact(path),
        Some(PathSpecifier::SafeRegex(path)) => {
            PathMatch::Regex(regex_of(&path).within("safe_regex")?)
        }
        _ => return Err(Fault::new("a path condition that is not supported")),
    };
    let matches = RouteMatch {
        path,
        ignore_case: proto.case_sensitive.take().is_some_and(|it| !it.value),
        headers: each("headers", std::mem::take(&mut proto.headers), header_of)?,
        query: each(
            "query_parameters",
            std::mem::take(&mut proto.query_parameters),
            query_of,
        )?,
        grpc: proto.grpc.take().is_some(),
        share_percent: runtime_percent_of(proto.runtime_fraction.take())
            .within("runtime_fraction")?,
    };
    nothing_left(&proto)?;
    Ok(matches)
}

/// A presence condition has no case to fold and no empty value, so Envoy has no place for either
/// beside it; they are dropped.
pub(super) fn header(header: &HeaderMatch) -> HeaderMatcher {
    HeaderMatcher {
        name: header.name.clone(),
        invert_match: header.invert,
        treat_missing_header_as_empty: header.missing_as_empty,
        header_match_specifier: Some(match &header.value {
            None => HeaderMatchSpecifier::PresentMatch(true),
            Some(value) => {
                HeaderMatchSpecifier::StringMatch(string_matcher(value, header.ignore_case))
            }
        }),
    }
}

pub(super) fn header_of(proto: HeaderMatcher) -> Result<HeaderMatch, Fault> {
    use HeaderMatchSpecifier as Specifier;
    let mut invert = proto.invert_match;
    let value = match proto.header_match_specifier {
        None => None,
        Some(Specifier::PresentMatch(present)) => {
            invert ^= !present;
            None
        }
        Some(Specifier::StringMatch(value)) => Some(text_of(value).within("string_match")?),
        // The older forms, which Envoy still reads.
        Some(Specifier::ExactMatch(value)) => Some(StringMatch::Exact(value).into()),
        Some(Specifier::PrefixMatch(value)) => Some(StringMatch::Prefix(value).into()),
        Some(Specifier::SuffixMatch(value)) => Some(StringMatch::Suffix(value).into()),
        Some(Specifier::ContainsMatch(value)) => Some(StringMatch::Contains(value).into()),
        Some(Specifier::SafeRegexMatch(value)) => {
            Some(StringMatch::Regex(regex_of(&value).within("safe_regex_match")?).into())
        }
        Some(Specifier::RangeMatch(_)) => {
            return Err(Fault::new("is not supported").at("range_match"));
        }
    };
    let ignore_case = value.as_ref().is_some_and(|it: &Text| it.ignore_case);
    Ok(HeaderMatch {
        name: proto.name.to_ascii_lowercase(),
        value: value.map(|it| it.is),
        invert,
        missing_as_empty: proto.treat_missing_header_as_empty,
        ignore_case,
    })
}

fn query(query: &QueryMatch) -> QueryParameterMatcher {
    QueryParameterMatcher {
        name: query.name.clone(),
        query_parameter_match_specifier: Some(match &query.value {
            None => QueryParameterMatchSpecifier::PresentMatch(true),
            Some(value) => {
                QueryParameterMatchSpecifier::StringMatch(string_matcher(value, query.ignore_case))
            }
        }),
    }
}

fn query_of(proto: QueryParameterMatcher) -> Result<QueryMatch, Fault> {
    let value = match proto.query_parameter_match_specifier {
        None | Some(QueryParameterMatchSpecifier::PresentMatch(true)) => None,
        Some(QueryParameterMatchSpecifier::PresentMatch(false)) => {
            return Err(Fault::new("a parameter cannot be asked to be absent").at("present_match"));
        }
        Some(QueryParameterMatchSpecifier::StringMatch(value)) => {
            Some(text_of(value).within("string_match")?)
        }
    };
    Ok(QueryMatch {
        name: proto.name,
        ignore_case: value.as_ref().is_some_and(|it| it.ignore_case),
        value: value.map(|it| it.is),
    })
}

//! Route tables as Envoy's `RouteConfiguration`.

use std::collections::HashMap;

use aviary_mesh::matcher::{HeaderMatch, QueryMatch};
use aviary_mesh::route::{
    Fault as Injected, FaultAbort, FaultDelay, HeaderEdits, PathMatch, Route, RouteMatch,
    RouteTable, VirtualHost,
};
use envoy_types::pb::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, header_value_option::HeaderAppendAction,
};
use envoy_types::pb::envoy::config::route::v3::{
    Decorator, HeaderMatcher, QueryParameterMatcher, Route as ProtoRoute, RouteConfiguration,
    RouteMatch as ProtoMatch, VirtualHost as ProtoHost, header_matcher::HeaderMatchSpecifier,
    query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::common::fault::v3::{
    FaultDelay as ProtoDelay, fault_delay::FaultDelaySecifier,
};
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::{
    FaultAbort as ProtoAbort, HttpFault, fault_abort::ErrorType,
};
use envoy_types::pb::google::protobuf::Any;
use serde::{Deserialize, Serialize};

use super::extra::{extra_of, istio_text_of, metadata};
use super::value::{
    any, boolean, duration, duration_of, fraction, number, percent_of, regex, regex_of,
    string_match_of, string_matcher, unpack,
};
use super::{Fault, action, each, same};

const FAULT_FILTER: &str = "envoy.filters.http.fault";

/// Bodies of direct responses, as Istio allows them.
const MAX_DIRECT_BODY_BYTES: u32 = 1 << 20;

/// What Envoy's route has no field for.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Extra {
    /// [`aviary_mesh::route::Retry::guarded`].
    pub(super) guarded_retry: bool,
}

pub(super) fn to_proto(table: &RouteTable) -> RouteConfiguration {
    RouteConfiguration {
        name: table.name.clone(),
        virtual_hosts: table.virtual_hosts.iter().map(host_to_proto).collect(),
        validate_clusters: boolean(false),
        max_direct_response_body_size_bytes: number(MAX_DIRECT_BODY_BYTES),
        ignore_port_in_host_matching: table.ignore_port_in_host,
        ..RouteConfiguration::default()
    }
}

pub(super) fn from_proto(proto: &RouteConfiguration) -> Result<RouteTable, Fault> {
    Ok(RouteTable {
        name: proto.name.clone(),
        virtual_hosts: each("virtual_hosts", &proto.virtual_hosts, host_of)?,
        ignore_port_in_host: proto.ignore_port_in_host_matching,
    })
}

fn host_to_proto(host: &VirtualHost) -> ProtoHost {
    ProtoHost {
        name: host.name.clone(),
        domains: host.domains.clone(),
        routes: host.routes.iter().map(route_to_proto).collect(),
        include_request_attempt_count: host.include_attempt_count,
        ..ProtoHost::default()
    }
}

fn host_of(proto: &ProtoHost) -> Result<VirtualHost, Fault> {
    Ok(VirtualHost {
        name: proto.name.clone(),
        domains: proto.domains.clone(),
        routes: each("routes", &proto.routes, route_of)?,
        include_attempt_count: proto.include_request_attempt_count,
    })
}

fn route_to_proto(route: &Route) -> ProtoRoute {
    let extra = Extra {
        guarded_retry: action::is_guarded(&route.action),
    };
    let origin = (!route.origin.is_empty()).then(|| ("config", route.origin.clone()));
    ProtoRoute {
        name: route.name.clone(),
        r#match: Some(match_to_proto(&route.matches)),
        action: Some(action::to_proto(&route.action)),
        metadata: metadata(&extra, origin),
        decorator: (!route.operation.is_empty()).then(|| Decorator {
            operation: route.operation.clone(),
            propagate: None,
        }),
        typed_per_filter_config: route.fault.as_ref().map(fault_to_proto).unwrap_or_default(),
        request_headers_to_add: added(&route.request_headers),
        request_headers_to_remove: route.request_headers.remove.clone(),
        response_headers_to_add: added(&route.response_headers),
        response_headers_to_remove: route.response_headers.remove.clone(),
        ..ProtoRoute::default()
    }
}

fn route_of(proto: &ProtoRoute) -> Result<Route, Fault> {
    let extra: Extra = extra_of(proto.metadata.as_ref()).map_err(|fault| fault.at("metadata"))?;
    let matches = proto
        .r#match
        .as_ref()
        .ok_or_else(|| Fault::new("is missing").at("match"))?;
    Ok(Route {
        name: proto.name.clone(),
        matches: match_of(matches).map_err(|fault| fault.at("match"))?,
        action: action::from_proto(proto.action.as_ref(), extra.guarded_retry)?,
        request_headers: edits_of(
            &proto.request_headers_to_add,
            &proto.request_headers_to_remove,
        ),
        response_headers: edits_of(
            &proto.response_headers_to_add,
            &proto.response_headers_to_remove,
        ),
        fault: proto
            .typed_per_filter_config
            .get(FAULT_FILTER)
            .map(fault_of)
            .transpose()
            .map_err(|fault| fault.at("typed_per_filter_config"))?,
        origin: istio_text_of(proto.metadata.as_ref(), "config"),
        operation: proto
            .decorator
            .as_ref()
            .map(|it| it.operation.clone())
            .unwrap_or_default(),
    })
}

fn match_to_proto(matches: &RouteMatch) -> ProtoMatch {
    ProtoMatch {
        path_specifier: Some(match &matches.path {
            PathMatch::Prefix(path) => PathSpecifier::Prefix(path.clone()),
            PathMatch::SegmentPrefix(path) => PathSpecifier::PathSeparatedPrefix(path.clone()),
            PathMatch::Exact(path) => PathSpecifier::Path(path.clone()),
            PathMatch::Regex(path) => PathSpecifier::SafeRegex(regex(path.source())),
        }),
        case_sensitive: boolean(!matches.ignore_case),
        headers: matches.headers.iter().map(header_to_proto).collect(),
        query_parameters: matches.query.iter().map(query_to_proto).collect(),
        ..ProtoMatch::default()
    }
}

fn match_of(proto: &ProtoMatch) -> Result<RouteMatch, Fault> {
    Ok(RouteMatch {
        path: match &proto.path_specifier {
            Some(PathSpecifier::Prefix(path)) => PathMatch::Prefix(path.clone()),
            Some(PathSpecifier::PathSeparatedPrefix(path)) => {
                PathMatch::SegmentPrefix(path.clone())
            }
            Some(PathSpecifier::Path(path)) => PathMatch::Exact(path.clone()),
            Some(PathSpecifier::SafeRegex(path)) => regex_of(path)
                .map(PathMatch::Regex)
                .map_err(|fault| fault.at("safe_regex"))?,
            _ => return Err(Fault::new("a path condition that is not supported")),
        },
        ignore_case: proto.case_sensitive.is_some_and(|value| !value.value),
        headers: each("headers", &proto.headers, header_of)?,
        query: each("query_parameters", &proto.query_parameters, query_of)?,
    })
}

/// A presence condition has no case to fold and no empty value, so Envoy has no place for either
/// beside it; they are dropped.
fn header_to_proto(header: &HeaderMatch) -> HeaderMatcher {
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

fn header_of(proto: &HeaderMatcher) -> Result<HeaderMatch, Fault> {
    let (value, ignore_case) = match &proto.header_match_specifier {
        None | Some(HeaderMatchSpecifier::PresentMatch(true)) => (None, false),
        Some(HeaderMatchSpecifier::StringMatch(value)) => {
            (Some(string_match_of(value)?), value.ignore_case)
        }
        Some(_) => return Err(Fault::new("a header condition that is not supported")),
    };
    Ok(HeaderMatch {
        name: proto.name.clone(),
        value,
        invert: proto.invert_match,
        missing_as_empty: proto.treat_missing_header_as_empty,
        ignore_case,
    })
}

fn query_to_proto(query: &QueryMatch) -> QueryParameterMatcher {
    QueryParameterMatcher {
        name: query.name.clone(),
        query_parameter_match_specifier: Some(match &query.value {
            None => QueryParameterMatchSpecifier::PresentMatch(true),
            Some(value) => QueryParameterMatchSpecifier::StringMatch(string_matcher(value, false)),
        }),
    }
}

fn query_of(proto: &QueryParameterMatcher) -> Result<QueryMatch, Fault> {
    let value = match &proto.query_parameter_match_specifier {
        None | Some(QueryParameterMatchSpecifier::PresentMatch(_)) => None,
        Some(QueryParameterMatchSpecifier::StringMatch(value)) => Some(string_match_of(value)?),
    };
    Ok(QueryMatch {
        name: proto.name.clone(),
        value,
    })
}

/// Values are literal: `%` would start a command of Envoy's formatter.
pub(super) fn added(edits: &HeaderEdits) -> Vec<HeaderValueOption> {
    let option = |(key, value): &(String, String), action: HeaderAppendAction| HeaderValueOption {
        header: Some(HeaderValue {
            key: key.clone(),
            value: value.replace('%', "%%"),
            ..HeaderValue::default()
        }),
        append_action: action.into(),
        ..HeaderValueOption::default()
    };
    let set = edits
        .set
        .iter()
        .map(|it| option(it, HeaderAppendAction::OverwriteIfExistsOrAdd));
    let add = edits
        .add
        .iter()
        .map(|it| option(it, HeaderAppendAction::AppendIfExistsOrAdd));
    set.chain(add).collect()
}

pub(super) fn edits_of(added: &[HeaderValueOption], removed: &[String]) -> HeaderEdits {
    let mut edits = HeaderEdits {
        remove: removed.to_vec(),
        ..HeaderEdits::default()
    };
    for option in added {
        let header = option.header.clone().unwrap_or_default();
        let pair = (header.key, header.value.replace("%%", "%"));
        let set: i32 = HeaderAppendAction::OverwriteIfExistsOrAdd.into();
        if option.append_action == set {
            edits.set.push(pair);
        } else {
            edits.add.push(pair);
        }
    }
    edits
}

fn fault_message(fault: &Injected) -> HttpFault {
    HttpFault {
        delay: fault.delay.as_ref().map(|delay| ProtoDelay {
            percentage: Some(fraction(delay.percent)),
            fault_delay_secifier: duration(delay.duration).map(FaultDelaySecifier::FixedDelay),
        }),
        abort: fault.abort.as_ref().map(|abort| ProtoAbort {
            percentage: Some(fraction(abort.percent)),
            error_type: Some(ErrorType::HttpStatus(u32::from(abort.status))),
            ..ProtoAbort::default()
        }),
        ..HttpFault::default()
    }
}

fn fault_to_proto(fault: &Injected) -> HashMap<String, Any> {
    HashMap::from([(FAULT_FILTER.to_owned(), any(&fault_message(fault)))])
}

fn fault_of(config: &Any) -> Result<Injected, Fault> {
    let proto: HttpFault = unpack(config)?;
    let delay = proto.delay.as_ref().map(|delay| {
        let Some(FaultDelaySecifier::FixedDelay(duration)) = &delay.fault_delay_secifier else {
            return Err(Fault::new("a fixed delay is needed").at("delay"));
        };
        Ok(FaultDelay {
            duration: duration_of(Some(duration))?.unwrap_or_default(),
            percent: percent_of(delay.percentage.as_ref()),
        })
    });
    let abort = proto.abort.as_ref().map(|abort| {
        let status = match abort.error_type {
            Some(ErrorType::HttpStatus(status)) => u16::try_from(status).ok(),
            _ => None,
        };
        Ok(FaultAbort {
            status: status.ok_or_else(|| Fault::new("a status is needed").at("abort"))?,
            percent: percent_of(abort.percentage.as_ref()),
        })
    });
    let fault = Injected {
        delay: delay.transpose()?,
        abort: abort.transpose()?,
    };
    same(&proto, &fault_message(&fault))?;
    Ok(fault)
}

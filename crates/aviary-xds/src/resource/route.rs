//! Route tables as Envoy's `RouteConfiguration`.

use std::mem::take;

use aviary_mesh::route::{Affinity, Retry, Route, RouteAction, RouteTable, VirtualHost};
use envoy_types::pb::envoy::config::route::v3::{
    Decorator, Route as ProtoRoute, RouteConfiguration, VirtualHost as ProtoHost,
    virtual_host::TlsRequirementType,
};
use serde::{Deserialize, Serialize};

use super::edits::{added, edits_of};
use super::extra::{istio_text_of, metadata, take_extra};
use super::value::{boolean, number};
use super::{Fault, Within, action, each, filter, matches, nothing_left, retry};

/// Bodies of direct responses, as Istio allows them.
const MAX_DIRECT_BODY_BYTES: u32 = 1 << 20;

/// What Envoy's route and virtual host have no field for.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Extra {
    /// [`Retry::guarded`].
    guarded_retry: bool,
    /// [`aviary_mesh::route::Forward::affinity`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    affinity: Vec<Affinity>,
    /// [`aviary_mesh::route::Mirror::only_from`] by mirror; empty when all are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mirrors_only_from: Vec<Vec<String>>,
}

impl Extra {
    fn of(retry: Option<&Retry>) -> Self {
        Self {
            guarded_retry: retry.is_some_and(|retry| retry.guarded),
            ..Self::default()
        }
    }

    fn of_action(action: &RouteAction) -> Self {
        let mut extra = Self::of(action::retry_of(action));
        if let RouteAction::Forward(forward) = action {
            extra.affinity.clone_from(&forward.affinity);
            let mirrors = &forward.mirrors;
            if mirrors.iter().any(|mirror| !mirror.only_from.is_empty()) {
                let only_from = mirrors.iter().map(|mirror| mirror.only_from.clone());
                extra.mirrors_only_from = only_from.collect();
            }
        }
        extra
    }

    /// Gives an action what its message has no field for.
    fn put_into(self, action: &mut RouteAction) {
        if let RouteAction::Forward(forward) = action {
            forward.affinity = self.affinity;
            for (mirror, only_from) in forward.mirrors.iter_mut().zip(self.mirrors_only_from) {
                mirror.only_from = only_from;
            }
        }
    }
}

pub(super) fn to_proto(table: &RouteTable) -> RouteConfiguration {
    RouteConfiguration {
        name: table.name.clone(),
        virtual_hosts: table.virtual_hosts.iter().map(host_to_proto).collect(),
        validate_clusters: boolean(false),
        max_direct_response_body_size_bytes: number(MAX_DIRECT_BODY_BYTES),
        ignore_port_in_host_matching: table.ignore_port_in_host,
        request_headers_to_add: added(&table.request_headers),
        request_headers_to_remove: table.request_headers.remove.clone(),
        response_headers_to_add: added(&table.response_headers),
        response_headers_to_remove: table.response_headers.remove.clone(),
        most_specific_header_mutations_wins: table.most_specific_edits_win,
        ..RouteConfiguration::default()
    }
}

pub(super) fn from_proto(mut proto: RouteConfiguration) -> Result<RouteTable, Fault> {
    // Clusters need not exist, whatever is said: such a request answers 503 (NC).
    proto.validate_clusters = None;
    proto.max_direct_response_body_size_bytes = None;
    proto.metadata = None;
    let table = RouteTable {
        name: take(&mut proto.name),
        virtual_hosts: each("virtual_hosts", take(&mut proto.virtual_hosts), host_of)?,
        ignore_port_in_host: take(&mut proto.ignore_port_in_host_matching),
        request_headers: edits_of(
            "request",
            &mut proto.request_headers_to_add,
            &mut proto.request_headers_to_remove,
        )?,
        response_headers: edits_of(
            "response",
            &mut proto.response_headers_to_add,
            &mut proto.response_headers_to_remove,
        )?,
        most_specific_edits_win: take(&mut proto.most_specific_header_mutations_wins),
    };
    nothing_left(&proto)?;
    Ok(table)
}

fn host_to_proto(host: &VirtualHost) -> ProtoHost {
    let tls = if host.require_tls {
        TlsRequirementType::All
    } else {
        TlsRequirementType::None
    };
    ProtoHost {
        name: host.name.clone(),
        domains: host.domains.clone(),
        routes: host.routes.iter().map(route_to_proto).collect(),
        require_tls: tls.into(),
        request_headers_to_add: added(&host.request_headers),
        request_headers_to_remove: host.request_headers.remove.clone(),
        response_headers_to_add: added(&host.response_headers),
        response_headers_to_remove: host.response_headers.remove.clone(),
        typed_per_filter_config: filter::settings(&host.filters, None),
        include_request_attempt_count: host.include_attempt_count,
        include_attempt_count_in_response: host.attempt_count_in_response,
        retry_policy: host.retry.as_ref().map(retry::to_proto),
        metadata: metadata(&Extra::of(host.retry.as_ref()), None),
        ..ProtoHost::default()
    }
}

fn host_of(mut proto: ProtoHost) -> Result<VirtualHost, Fault> {
    let extra: Extra = take_extra(&mut proto.metadata).within("metadata")?;
    let retry = proto.retry_policy.take();
    let retry = retry.map(|retry| retry::from_proto(retry, extra.guarded_retry));
    let (filters, fault) = filter::settings_of(take(&mut proto.typed_per_filter_config))?;
    if fault.is_some() {
        let fault = Fault::new("a fault is supported in a route and in the chain's filter only");
        return Err(fault.at("typed_per_filter_config"));
    }
    let host = VirtualHost {
        name: take(&mut proto.name),
        domains: take(&mut proto.domains)
            .into_iter()
            .map(|domain| domain.to_ascii_lowercase())
            .collect(),
        routes: each("routes", take(&mut proto.routes), route_of)?,
        include_attempt_count: take(&mut proto.include_request_attempt_count),
        attempt_count_in_response: take(&mut proto.include_attempt_count_in_response),
        require_tls: tls_of(take(&mut proto.require_tls)).within("require_tls")?,
        request_headers: edits_of(
            "request",
            &mut proto.request_headers_to_add,
            &mut proto.request_headers_to_remove,
        )?,
        response_headers: edits_of(
            "response",
            &mut proto.response_headers_to_add,
            &mut proto.response_headers_to_remove,
        )?,
        retry: retry.transpose().within("retry_policy")?,
        filters,
    };
    nothing_left(&proto)?;
    Ok(host)
}

fn tls_of(value: i32) -> Result<bool, Fault> {
    match TlsRequirementType::try_from(value) {
        Ok(TlsRequirementType::None) => Ok(false),
        Ok(TlsRequirementType::All) => Ok(true),
        _ => Err(Fault::new("only NONE and ALL are supported")),
    }
}

fn route_to_proto(route: &Route) -> ProtoRoute {
    let extra = Extra::of_action(&route.action);
    let origin = (!route.origin.is_empty()).then(|| ("config", route.origin.clone()));
    ProtoRoute {
        name: route.name.clone(),
        r#match: Some(matches::to_proto(&route.matches)),
        action: Some(action::to_proto(&route.action)),
        metadata: metadata(&extra, origin),
        decorator: (!route.operation.is_empty()).then(|| Decorator {
            operation: route.operation.clone(),
            propagate: None,
        }),
        typed_per_filter_config: filter::settings(&route.filters, route.fault.as_ref()),
        request_headers_to_add: added(&route.request_headers),
        request_headers_to_remove: route.request_headers.remove.clone(),
        response_headers_to_add: added(&route.response_headers),
        response_headers_to_remove: route.response_headers.remove.clone(),
        ..ProtoRoute::default()
    }
}

fn route_of(mut proto: ProtoRoute) -> Result<Route, Fault> {
    let origin = istio_text_of(proto.metadata.as_ref(), "config");
    let extra: Extra = take_extra(&mut proto.metadata).within("metadata")?;
    let missing = || Fault::new("is missing");
    let matches = proto.r#match.take().ok_or_else(missing);
    let (filters, fault) = filter::settings_of(take(&mut proto.typed_per_filter_config))?;
    let operation = proto.decorator.take().map(operation_of).transpose();
    let mut action = action::from_proto(proto.action.take(), extra.guarded_retry)?;
    extra.put_into(&mut action);
    let route = Route {
        name: take(&mut proto.name),
        matches: matches.and_then(matches::from_proto).within("match")?,
        action,
        request_headers: edits_of(
            "request",
            &mut proto.request_headers_to_add,
            &mut proto.request_headers_to_remove,
        )?,
        response_headers: edits_of(
            "response",
            &mut proto.response_headers_to_add,
            &mut proto.response_headers_to_remove,
        )?,
        fault,
        origin,
        operation: operation.within("decorator")?.unwrap_or_default(),
        filters,
    };
    nothing_left(&proto)?;
    Ok(route)
}

fn operation_of(mut proto: Decorator) -> Result<String, Fault> {
    let operation = take(&mut proto.operation);
    nothing_left(&proto)?;
    Ok(operation)
}

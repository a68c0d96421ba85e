//! HTTP filters: in a chain, and what routes and virtual hosts say to them.

use std::collections::HashMap;
use std::sync::Arc;

use aviary_mesh::cors::Cors;
use aviary_mesh::listener::HttpFilter;
use aviary_mesh::rbac::RbacFilter;
use aviary_mesh::route::{Fault as Injected, FaultAbort, FaultDelay, FilterSettings};
use envoy_types::pb::envoy::config::route::v3::FilterConfig;
use envoy_types::pb::envoy::extensions::filters::common::fault::v3::{
    FaultDelay as ProtoDelay, fault_delay::FaultDelaySecifier,
};
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::{Cors as CorsFilter, CorsPolicy};
use envoy_types::pb::envoy::extensions::filters::http::fault::v3::{
    FaultAbort as ProtoAbort, HttpFault, fault_abort::ErrorType,
};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::{Rbac, RbacPerRoute};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpFilter as ProtoFilter, http_filter,
};
use envoy_types::pb::google::protobuf::Any;

use super::matches::{header, header_of, text, text_of};
use super::value::{
    any, boolean, duration, duration_of, fraction, percent_of, runtime_fraction,
    runtime_percent_of, status_of, unpack,
};
use super::{Fault, Within, each, nothing_left, rbac};

const FAULT: &str = "envoy.filters.http.fault";
const CORS: &str = "envoy.filters.http.cors";
const RBAC: &str = "envoy.filters.http.rbac";
const ROUTER: &str = "envoy.filters.http.router";

/// The filters of a chain with the router at their end.
pub(super) fn chain(filters: &[HttpFilter], suppress_envoy_headers: bool) -> Vec<ProtoFilter> {
    let filter = |name: &str, config: Any| ProtoFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..ProtoFilter::default()
    };
    let router = Router {
        suppress_envoy_headers,
        ..Router::default()
    };
    let before = filters.iter().map(|it| match it {
        HttpFilter::Cors => filter(CORS, any(&CorsFilter {})),
        HttpFilter::Fault(None) => filter(FAULT, any(&HttpFault::default())),
        HttpFilter::Fault(Some(fault)) => filter(FAULT, any(&fault_message(fault))),
        HttpFilter::Rbac(it) => filter(RBAC, any(&rbac::http(it))),
    });
    before.chain([filter(ROUTER, any(&router))]).collect()
}

/// The filters before the router, and what the router says of `x-envoy-*` headers.
pub(super) fn chain_of(filters: Vec<ProtoFilter>) -> Result<(Vec<HttpFilter>, bool), Fault> {
    let last = filters.len().checked_sub(1);
    let mut suppress = None;
    let mut index = 0;
    let found = each("", filters, |proto| {
        index += 1;
        filter_of(proto, last == Some(index - 1), &mut suppress)
    })?;
    let suppress = suppress.ok_or_else(|| Fault::new("the last filter must be the router"))?;
    Ok((found.into_iter().flatten().collect(), suppress))
}

/// A filter; `None` for the router and for what may be left out.
fn filter_of(
    proto: ProtoFilter,
    is_last: bool,
    suppress: &mut Option<bool>,
) -> Result<Option<HttpFilter>, Fault> {
    let Some(http_filter::ConfigType::TypedConfig(config)) = proto.config_type else {
        return Err(Fault::new("a configuration in place is missing").at("typed_config"));
    };
    if proto.disabled {
        return Err(Fault::new("is not supported").at("disabled"));
    }
    let kind = config.type_url.rsplit('/').next().unwrap_or_default();
    let (name, filter) = match kind {
        "envoy.extensions.filters.http.router.v3.Router" if is_last => {
            *suppress = Some(router_of(&config).within("typed_config")?);
            return Ok(None);
        }
        "envoy.extensions.filters.http.cors.v3.Cors" => {
            unpack::<CorsFilter>(&config).within("typed_config")?;
            (CORS, HttpFilter::Cors)
        }
        "envoy.extensions.filters.http.fault.v3.HTTPFault" => {
            let fault = fault_of(&config).within("typed_config")?;
            let fault = Some(fault).filter(|fault| *fault != Injected::default());
            (FAULT, HttpFilter::Fault(fault))
        }
        "envoy.extensions.filters.http.rbac.v3.RBAC" => {
            let filter = unpack::<Rbac>(&config).and_then(rbac::http_of);
            (RBAC, HttpFilter::Rbac(filter.within("typed_config")?))
        }
        // Envoy leaves out what it does not know and may do without.
        _ if proto.is_optional && !is_last => return Ok(None),
        _ => {
            let reason = format!(
                "filter `{}` ({kind}) is not supported; use {RBAC}, {CORS}, {FAULT}, and {ROUTER} at the end",
                proto.name
            );
            return Err(Fault::new(reason).at("name"));
        }
    };
    if proto.name != name {
        let reason = format!("must be `{name}`, the name by which routes speak to it");
        return Err(Fault::new(reason).at("name"));
    }
    Ok(Some(filter))
}

fn router_of(config: &Any) -> Result<bool, Fault> {
    let mut proto: Router = unpack(config)?;
    // The statistics that it turns off are not kept.
    proto.dynamic_stats = None;
    let suppress = std::mem::take(&mut proto.suppress_envoy_headers);
    nothing_left(&proto)?;
    Ok(suppress)
}

/// What a route or virtual host says to the filters.
pub(super) fn settings(
    settings: &FilterSettings,
    fault: Option<&Injected>,
) -> HashMap<String, Any> {
    let per_route = |it: &RbacFilter| RbacPerRoute {
        rbac: (*it != RbacFilter::default()).then(|| rbac::http(it)),
    };
    let cors = settings.cors.iter().map(|it| (CORS, any(&cors(it))));
    let rbac = settings.rbac.iter().map(|it| (RBAC, any(&per_route(it))));
    let fault = fault
        .iter()
        .map(|it| (FAULT, any(&fault_message(it))))
        .collect::<Vec<_>>();
    let all = cors.chain(rbac).chain(fault);
    all.map(|(name, config)| (name.to_owned(), config))
        .collect()
}

/// What a route or virtual host says to the filters, and the fault of a route.
pub(super) fn settings_of(
    configs: HashMap<String, Any>,
) -> Result<(FilterSettings, Option<Injected>), Fault> {
    let mut settings = FilterSettings::default();
    let mut fault = None;
    for (name, config) in configs {
        let field = format!("typed_per_filter_config[{name}]");
        let (config, off) = wrapped(config).within(&field)?;
        match name.as_str() {
            FAULT if off => fault = Some(Injected::default()),
            FAULT => fault = Some(fault_of(&config).within(&field)?),
            CORS if off => settings.cors = Some(Arc::new(no_cors())),
            CORS => settings.cors = Some(Arc::new(cors_of(&config).within(&field)?)),
            RBAC if off => settings.rbac = Some(Arc::default()),
            RBAC => {
                let per_route: RbacPerRoute = unpack(&config).within(&field)?;
                let rbac = per_route.rbac.map(rbac::http_of).transpose();
                settings.rbac = Some(rbac.within(&field)?.unwrap_or_default());
            }
            _ => return Err(Fault::new("is not supported").at(&field)),
        }
    }
    Ok((settings, fault))
}

fn no_cors() -> Cors {
    Cors {
        enabled_percent: 0.0,
        ..Cors::default()
    }
}

/// The configuration in a `FilterConfig`, and whether it turns the filter off.
fn wrapped(config: Any) -> Result<(Any, bool), Fault> {
    if !config
        .type_url
        .ends_with("/envoy.config.route.v3.FilterConfig")
    {
        return Ok((config, false));
    }
    let proto: FilterConfig = unpack(&config)?;
    match proto.config {
        _ if proto.disabled => Ok((Any::default(), true)),
        Some(config) => Ok((config, false)),
        None => Err(Fault::new("is missing").at("config")),
    }
}

fn cors(cors: &Cors) -> CorsPolicy {
    CorsPolicy {
        allow_origin_string_match: cors.allow_origins.iter().map(text).collect(),
        allow_methods: cors.allow_methods.clone(),
        allow_headers: cors.allow_headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        max_age: cors.max_age.clone(),
        allow_credentials: boolean(cors.allow_credentials),
        filter_enabled: Some(runtime_fraction(cors.enabled_percent)),
        allow_private_network_access: boolean(cors.allow_private_network),
        forward_not_matching_preflights: boolean(cors.forward_unmatched_preflights),
        ..CorsPolicy::default()
    }
}

fn cors_of(config: &Any) -> Result<Cors, Fault> {
    use std::mem::take;
    let mut proto: CorsPolicy = unpack(config)?;
    let cors = Cors {
        allow_origins: each(
            "allow_origin_string_match",
            take(&mut proto.allow_origin_string_match),
            text_of,
        )?,
        allow_methods: take(&mut proto.allow_methods),
        allow_headers: take(&mut proto.allow_headers),
        expose_headers: take(&mut proto.expose_headers),
        max_age: take(&mut proto.max_age),
        allow_credentials: proto.allow_credentials.take().is_some_and(|it| it.value),
        allow_private_network: proto
            .allow_private_network_access
            .take()
            .is_some_and(|it| it.value),
        enabled_percent: runtime_percent_of(proto.filter_enabled.take())
            .within("filter_enabled")?
            .unwrap_or(100.0),
        forward_unmatched_preflights: proto
            .forward_not_matching_preflights
            .take()
            .is_none_or(|it| it.value),
    };
    // Shadow decisions are only counted, and the counters are not kept.
    let shadow = runtime_percent_of(proto.shadow_enabled.take()).within("shadow_enabled")?;
    if shadow.is_some_and(|percent| percent > 0.0) {
        return Err(Fault::new("is not supported").at("shadow_enabled"));
    }
    nothing_left(&proto)?;
    Ok(cors)
}

fn fault_message(fault: &Injected) -> HttpFault {
    HttpFault {
        delay: fault.delay.as_ref().map(|delay| ProtoDelay {
            percentage: Some(fraction(delay.percent)),
            fault_delay_secifier: duration(delay.duration).map(FaultDelaySecifier::FixedDelay),
        }),
        abort: fault.abort.as_ref().map(|abort| ProtoAbort {
            percentage: Some(fraction(abort.percent)),
            error_type: Some(match abort.grpc_status {
                Some(status) => ErrorType::GrpcStatus(status),
                None => ErrorType::HttpStatus(u32::from(abort.status)),
            }),
            ..ProtoAbort::default()
        }),
        headers: fault.headers.iter().map(header).collect(),
        upstream_cluster: fault.upstream_cluster.clone(),
        ..HttpFault::default()
    }
}

fn fault_of(config: &Any) -> Result<Injected, Fault> {
    let mut proto: HttpFault = unpack(config)?;
    let fault = Injected {
        delay: proto
            .delay
            .take()
            .map(delay_of)
            .transpose()
            .within("delay")?,
        abort: proto
            .abort
            .take()
            .map(abort_of)
            .transpose()
            .within("abort")?,
        headers: each("headers", std::mem::take(&mut proto.headers), header_of)?,
        upstream_cluster: std::mem::take(&mut proto.upstream_cluster),
    };
    nothing_left(&proto)?;
    Ok(fault)
}

fn delay_of(delay: ProtoDelay) -> Result<FaultDelay, Fault> {
    let Some(FaultDelaySecifier::FixedDelay(duration)) = delay.fault_delay_secifier else {
        return Err(Fault::new("a fixed delay is needed"));
    };
    Ok(FaultDelay {
        duration: duration_of(Some(duration))
            .within("fixed_delay")?
            .unwrap_or_default(),
        percent: percent_of(delay.percentage).within("percentage")?,
    })
}

fn abort_of(mut abort: ProtoAbort) -> Result<FaultAbort, Fault> {
    let percent = percent_of(abort.percentage.take()).within("percentage")?;
    let (status, grpc_status) = match abort.error_type.take() {
        Some(ErrorType::HttpStatus(status)) => (status_of(status).within("http_status")?, None),
        Some(ErrorType::GrpcStatus(status)) => (200, Some(status)),
        _ => return Err(Fault::new("a status is needed")),
    };
    nothing_left(&abort)?;
    Ok(FaultAbort {
        status,
        grpc_status,
        percent,
    })
}

//! What a filter chain does, as Envoy's HTTP connection manager or TCP proxy.

use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::listener::{ChainAction, Direction, HttpChain, RouteSource, TcpChain};
use envoy_types::pb::envoy::config::accesslog::v3::{AccessLog, access_log};
use envoy_types::pb::envoy::config::core::v3::{
    SubstitutionFormatString, substitution_format_string::Format,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, filter};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::{
    FileAccessLog, file_access_log::AccessLogFormat,
};
use envoy_types::pb::envoy::extensions::filters::http::{
    cors::v3::Cors, fault::v3::HttpFault, router::v3::Router,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager::RouteSpecifier,
    http_connection_manager::Tracing, http_filter,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, tcp_proxy::ClusterSpecifier,
};
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::Any;
use serde::{Deserialize, Serialize};

use super::value::{any, bool_of, boolean, duration, duration_of, inline_string, unpack};
use super::{Fault, ads_source, route, same};

const MANAGER: &str = "envoy.filters.network.http_connection_manager";
const TCP_PROXY: &str = "envoy.filters.network.tcp_proxy";
const FILE_LOG: &str = "envoy.access_loggers.file";

/// Istio's default text format. Source: Istio `pilot/pkg/model/telemetry_logging.go`.
const LOG_FORMAT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% ",
    "%CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" ",
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ",
    "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" ",
    "\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
);

/// What Envoy's filter chain has no field for.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Extra {
    /// When it is not the listener's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) direction: Option<Direction>,
}

pub(super) fn direction_of(action: &ChainAction) -> Direction {
    match action {
        ChainAction::Http(http) => http.direction,
        ChainAction::Tcp(tcp) => tcp.direction,
    }
}

pub(super) fn to_proto(action: &ChainAction) -> Filter {
    let (name, config) = match action {
        ChainAction::Http(http) => (MANAGER, any(&manager(http))),
        ChainAction::Tcp(tcp) => (TCP_PROXY, any(&tcp_proxy(tcp))),
    };
    Filter {
        name: name.to_owned(),
        config_type: Some(filter::ConfigType::TypedConfig(config)),
    }
}

pub(super) fn from_proto(proto: &Filter, direction: Direction) -> Result<ChainAction, Fault> {
    let Some(filter::ConfigType::TypedConfig(config)) = &proto.config_type else {
        return Err(Fault::new("a configuration in place is missing").at("typed_config"));
    };
    match proto.name.as_str() {
        MANAGER => manager_of(config, direction).map(ChainAction::Http),
        TCP_PROXY => tcp_proxy_of(config, direction).map(ChainAction::Tcp),
        other => Err(Fault::new(format!("filter `{other}` is not supported")).at("name")),
    }
}

fn access_log(wanted: bool) -> Vec<AccessLog> {
    let log = FileAccessLog {
        path: "/dev/stdout".to_owned(),
        access_log_format: Some(AccessLogFormat::LogFormat(SubstitutionFormatString {
            format: Some(Format::TextFormatSource(
                inline_string(LOG_FORMAT).unwrap_or_default(),
            )),
            ..SubstitutionFormatString::default()
        })),
    };
    let log = AccessLog {
        name: FILE_LOG.to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(any(&log))),
        ..AccessLog::default()
    };
    if wanted { vec![log] } else { Vec::new() }
}

fn manager(http: &HttpChain) -> HttpConnectionManager {
    let filter = |name: &str, config: Any| HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..HttpFilter::default()
    };
    let percent = |value| Some(Percent { value });
    HttpConnectionManager {
        stat_prefix: http.stat_prefix.clone(),
        route_specifier: Some(match &http.routes {
            RouteSource::Named(name) => RouteSpecifier::Rds(Rds {
                config_source: Some(ads_source()),
                route_config_name: name.clone(),
            }),
            RouteSource::Inline(table) => RouteSpecifier::RouteConfig(route::to_proto(table)),
        }),
        http_filters: vec![
            filter("envoy.filters.http.fault", any(&HttpFault::default())),
            filter("envoy.filters.http.cors", any(&Cors {})),
            filter("envoy.filters.http.router", any(&Router::default())),
        ],
        tracing: Some(Tracing {
            client_sampling: percent(100.0),
            random_sampling: percent(http.trace_sampling_percent),
            overall_sampling: percent(100.0),
            ..Tracing::default()
        }),
        use_remote_address: boolean(http.use_remote_address),
        access_log: access_log(http.access_log),
        server_name: http.server_name.clone(),
        stream_idle_timeout: duration(Duration::ZERO),
        ..HttpConnectionManager::default()
    }
}

fn manager_of(config: &Any, direction: Direction) -> Result<HttpChain, Fault> {
    let proto: HttpConnectionManager = unpack(config)?;
    let routes = match &proto.route_specifier {
        Some(RouteSpecifier::Rds(rds)) => RouteSource::Named(rds.route_config_name.clone()),
        Some(RouteSpecifier::RouteConfig(table)) => route::from_proto(table)
            .map(|table| RouteSource::Inline(Arc::new(table)))
            .map_err(|fault| fault.at("route_config"))?,
        _ => return Err(Fault::new("routes are missing").at("route_specifier")),
    };
    let sampling = proto
        .tracing
        .as_ref()
        .and_then(|tracing| tracing.random_sampling);
    let http = HttpChain {
        stat_prefix: proto.stat_prefix.clone(),
        direction,
        routes,
        use_remote_address: bool_of(proto.use_remote_address),
        access_log: !proto.access_log.is_empty(),
        server_name: proto.server_name.clone(),
        trace_sampling_percent: sampling.map_or(0.0, |percent| percent.value),
    };
    same(&proto, &manager(&http)).map_err(|fault| fault.at("typed_config"))?;
    Ok(http)
}

fn tcp_proxy(tcp: &TcpChain) -> TcpProxy {
    TcpProxy {
        stat_prefix: tcp.stat_prefix.clone(),
        cluster_specifier: Some(ClusterSpecifier::Cluster(tcp.cluster.clone())),
        // Absent means an hour to Envoy, nothing means never.
        idle_timeout: duration(tcp.idle_timeout.unwrap_or_default()),
        access_log: access_log(tcp.access_log),
        ..TcpProxy::default()
    }
}

fn tcp_proxy_of(config: &Any, direction: Direction) -> Result<TcpChain, Fault> {
    let proto: TcpProxy = unpack(config)?;
    let Some(ClusterSpecifier::Cluster(cluster)) = &proto.cluster_specifier else {
        return Err(Fault::new("a single cluster is needed").at("cluster"));
    };
    let tcp = TcpChain {
        stat_prefix: proto.stat_prefix.clone(),
        direction,
        cluster: cluster.clone(),
        access_log: !proto.access_log.is_empty(),
        idle_timeout: duration_of(proto.idle_timeout.as_ref())
            .map_err(|fault| fault.at("idle_timeout"))?
            .filter(|timeout| !timeout.is_zero()),
    };
    same(&proto, &tcp_proxy(&tcp)).map_err(|fault| fault.at("typed_config"))?;
    Ok(tcp)
}

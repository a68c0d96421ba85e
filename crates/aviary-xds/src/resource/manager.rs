//! Treating a connection as HTTP, as Envoy's connection manager.

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::listener::{
    Codec, Direction, EscapedSlashes, HttpChain, PathForm, RequestIds, RouteSource, ServerHeader,
    StripPort, TraceSink, Tracing,
};
use envoy_types::pb::envoy::config::core::v3::{
    GrpcService, HttpProtocolOptions as CommonOptions,
    grpc_service::{EnvoyGrpc, TargetSpecifier},
};
use envoy_types::pb::envoy::config::trace::v3::{OpenTelemetryConfig, tracing as provider};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager as Proto, Rds,
    http_connection_manager::{
        CodecType, PathWithEscapedSlashesAction, RouteSpecifier, ServerHeaderTransformation,
        StripPortMode, Tracing as ProtoTracing, UpgradeConfig,
    },
};
use envoy_types::pb::google::protobuf::Any;

use envoy_types::pb::envoy::r#type::v3::Percent;

use super::value::{
    any, bool_of, boolean, duration, duration_of, never_is_zero, number, number_of, share_of,
    unpack,
};
use super::{Fault, Within, ads_source, client, each, filter, log, nothing_left, protocol, route};

const OPENTELEMETRY: &str = "envoy.tracers.opentelemetry";
/// What Envoy calls itself.
const SERVER_NAME: &str = "envoy";
const MAX_HEAD_KIB: u32 = 64;
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_mins(5);

pub(super) fn to_proto(http: &HttpChain) -> Proto {
    let common = CommonOptions {
        idle_timeout: http.idle_timeout.and_then(duration),
        max_connection_duration: http.max_connection_duration.and_then(duration),
        max_stream_duration: http.max_stream_duration.and_then(duration),
        max_headers_count: http.max_fields.and_then(number),
        max_requests_per_connection: http.max_requests_per_connection.and_then(number),
        ..CommonOptions::default()
    };
    let upgrade = UpgradeConfig {
        upgrade_type: "websocket".to_owned(),
        ..UpgradeConfig::default()
    };
    Proto {
        codec_type: codec(http.codec).into(),
        stat_prefix: http.stat_prefix.clone(),
        route_specifier: Some(match &http.routes {
            RouteSource::Named(name) => RouteSpecifier::Rds(Rds {
                config_source: Some(ads_source()),
                route_config_name: name.clone(),
            }),
            RouteSource::Inline(table) => RouteSpecifier::RouteConfig(route::to_proto(table)),
        }),
        http_filters: filter::chain(&http.filters, http.suppress_envoy_headers),
        tracing: http.tracing.as_ref().map(tracing),
        common_http_protocol_options: (common != CommonOptions::default()).then_some(common),
        http2_protocol_options: protocol::http2(&http.http2),
        use_remote_address: boolean(http.use_remote_address),
        xff_num_trusted_hops: http.trusted_hops,
        skip_xff_append: http.keep_forwarded_for,
        access_log: http.access_log.iter().map(log::to_proto).collect(),
        server_name: http.server_name.clone(),
        server_header_transformation: server_header(http.server_header).into(),
        max_request_headers_kb: http.max_head_kib.and_then(number),
        // Absent means five minutes to Envoy, nothing means never.
        stream_idle_timeout: duration(http.stream_idle_timeout.unwrap_or_default()),
        request_timeout: http.request_timeout.and_then(duration),
        request_headers_timeout: http.request_headers_timeout.and_then(duration),
        generate_request_id: boolean(http.request_ids.generate),
        preserve_external_request_id: http.request_ids.keep_external,
        always_set_request_id_in_response: http.request_ids.in_response,
        upgrade_configs: if http.websocket {
            vec![upgrade]
        } else {
            Vec::new()
        },
        normalize_path: boolean(http.path.normalize),
        merge_slashes: http.path.merge_slashes,
        path_with_escaped_slashes_action: escaped_slashes(http.path.escaped_slashes).into(),
        internal_address_config: client::internal(&http.internal),
        via: http.via.clone(),
        forward_client_cert_details: client::forward(http.client_cert.forward).into(),
        set_current_client_cert_details: client::details(http.client_cert),
        strip_matching_host_port: http.strip_port == StripPort::Matching,
        strip_port_mode: (http.strip_port == StripPort::Any)
            .then_some(StripPortMode::StripAnyHostPort(true)),
        ..Proto::default()
    }
}

pub(super) fn from_proto(config: &Any, direction: Direction) -> Result<HttpChain, Fault> {
    let mut proto: Proto = unpack(config)?;
    let (filters, suppress_envoy_headers) =
        filter::chain_of(take(&mut proto.http_filters)).within("http_filters")?;
    let common = proto
        .common_http_protocol_options
        .take()
        .unwrap_or_default();
    let mut http = HttpChain {
        stat_prefix: take(&mut proto.stat_prefix),
        direction,
        codec: codec_of(take(&mut proto.codec_type)).within("codec_type")?,
        routes: routes_of(proto.route_specifier.take())?,
        use_remote_address: bool_of(proto.use_remote_address.take()),
        access_log: each("access_log", take(&mut proto.access_log), log::from_proto)?,
        server_name: Some(take(&mut proto.server_name))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| SERVER_NAME.to_owned()),
        tracing: proto
            .tracing
            .take()
            .map(tracing_of)
            .transpose()
            .within("tracing")?,
        path: path_of(&mut proto)?,
        request_ids: RequestIds {
            generate: proto.generate_request_id.take().is_none_or(|it| it.value),
            keep_external: take(&mut proto.preserve_external_request_id),
            in_response: take(&mut proto.always_set_request_id_in_response),
        },
        server_header: server_header_of(take(&mut proto.server_header_transformation))
            .within("server_header_transformation")?,
        trusted_hops: take(&mut proto.xff_num_trusted_hops),
        keep_forwarded_for: take(&mut proto.skip_xff_append),
        strip_port: strip_port_of(&mut proto),
        websocket: upgrades_of(take(&mut proto.upgrade_configs)).within("upgrade_configs")?,
        suppress_envoy_headers,
        internal: client::internal_of(proto.internal_address_config.take())
            .within("internal_address_config")?,
        via: take(&mut proto.via),
        client_cert: client::cert_of(
            take(&mut proto.forward_client_cert_details),
            proto.set_current_client_cert_details.take(),
        )?,
        http2: protocol::http2_of(proto.http2_protocol_options.take())
            .within("http2_protocol_options")?,
        max_head_kib: head_kib_of(number_of(proto.max_request_headers_kb.take()))
            .within("max_request_headers_kb")?,
        filters,
        ..HttpChain::default()
    };
    timeouts(&mut proto, &mut http)?;
    common_of(common, &mut http).within("common_http_protocol_options")?;
    protocol::http1_of(proto.http_protocol_options.take()).within("http_protocol_options")?;
    nothing_left(&proto)?;
    Ok(http)
}

fn routes_of(specifier: Option<RouteSpecifier>) -> Result<RouteSource, Fault> {
    match specifier {
        Some(RouteSpecifier::Rds(rds)) => Ok(RouteSource::Named(rds.route_config_name)),
        Some(RouteSpecifier::RouteConfig(table)) => route::from_proto(table)
            .map(|table| RouteSource::Inline(Arc::new(table)))
            .within("route_config"),
        _ => Err(Fault::new("routes are missing").at("route_specifier")),
    }
}

fn timeouts(proto: &mut Proto, http: &mut HttpChain) -> Result<(), Fault> {
    let idle = duration_of(proto.stream_idle_timeout.take()).within("stream_idle_timeout")?;
    http.stream_idle_timeout = Some(idle.unwrap_or(STREAM_IDLE_TIMEOUT)).filter(|it| !it.is_zero());
    http.request_timeout = never_is_zero(proto.request_timeout.take()).within("request_timeout")?;
    http.request_headers_timeout =
        never_is_zero(proto.request_headers_timeout.take()).within("request_headers_timeout")?;
    Ok(())
}

fn common_of(mut common: CommonOptions, http: &mut HttpChain) -> Result<(), Fault> {
    http.idle_timeout = duration_of(common.idle_timeout.take()).within("idle_timeout")?;
    http.max_connection_duration =
        never_is_zero(common.max_connection_duration.take()).within("max_connection_duration")?;
    http.max_stream_duration =
        never_is_zero(common.max_stream_duration.take()).within("max_stream_duration")?;
    http.max_fields = number_of(common.max_headers_count.take());
    http.max_requests_per_connection =
        number_of(common.max_requests_per_connection.take()).filter(|it| *it > 0);
    nothing_left(&common)
}

/// A head must fit into one buffer of the proxy.
fn head_kib_of(kib: Option<u32>) -> Result<Option<u32>, Fault> {
    match kib {
        Some(kib) if kib > MAX_HEAD_KIB => Err(Fault::new("more than 64 is not supported")),
        kib => Ok(kib),
    }
}

fn codec(codec: Codec) -> CodecType {
    match codec {
        Codec::Auto => CodecType::Auto,
        Codec::Http1 => CodecType::Http1,
        Codec::Http2 => CodecType::Http2,
    }
}

fn codec_of(value: i32) -> Result<Codec, Fault> {
    match CodecType::try_from(value) {
        Ok(CodecType::Auto) => Ok(Codec::Auto),
        Ok(CodecType::Http1) => Ok(Codec::Http1),
        Ok(CodecType::Http2) => Ok(Codec::Http2),
        _ => Err(Fault::new("only AUTO, HTTP1 and HTTP2 are supported")),
    }
}

fn path_of(proto: &mut Proto) -> Result<PathForm, Fault> {
    use PathWithEscapedSlashesAction as Action;
    let action = take(&mut proto.path_with_escaped_slashes_action);
    Ok(PathForm {
        normalize: bool_of(proto.normalize_path.take()),
        merge_slashes: take(&mut proto.merge_slashes),
        escaped_slashes: match Action::try_from(action) {
            Ok(Action::ImplementationSpecificDefault | Action::KeepUnchanged) => {
                EscapedSlashes::Keep
            }
            Ok(Action::RejectRequest) => EscapedSlashes::Reject,
            Ok(Action::UnescapeAndRedirect) => EscapedSlashes::Redirect,
            Ok(Action::UnescapeAndForward) => EscapedSlashes::Decode,
            Err(_) => {
                let fault = Fault::new("is not known");
                return Err(fault.at("path_with_escaped_slashes_action"));
            }
        },
    })
}

fn escaped_slashes(action: EscapedSlashes) -> PathWithEscapedSlashesAction {
    match action {
        EscapedSlashes::Keep => PathWithEscapedSlashesAction::KeepUnchanged,
        EscapedSlashes::Reject => PathWithEscapedSlashesAction::RejectRequest,
        EscapedSlashes::Redirect => PathWithEscapedSlashesAction::UnescapeAndRedirect,
        EscapedSlashes::Decode => PathWithEscapedSlashesAction::UnescapeAndForward,
    }
}

fn server_header(header: ServerHeader) -> ServerHeaderTransformation {
    match header {
        ServerHeader::Overwrite => ServerHeaderTransformation::Overwrite,
        ServerHeader::AppendIfAbsent => ServerHeaderTransformation::AppendIfAbsent,
        ServerHeader::PassThrough => ServerHeaderTransformation::PassThrough,
    }
}

fn server_header_of(value: i32) -> Result<ServerHeader, Fault> {
    match ServerHeaderTransformation::try_from(value) {
        Ok(ServerHeaderTransformation::Overwrite) => Ok(ServerHeader::Overwrite),
        Ok(ServerHeaderTransformation::AppendIfAbsent) => Ok(ServerHeader::AppendIfAbsent),
        Ok(ServerHeaderTransformation::PassThrough) => Ok(ServerHeader::PassThrough),
        Err(_) => Err(Fault::new("is not known")),
    }
}

fn strip_port_of(proto: &mut Proto) -> StripPort {
    let matching = take(&mut proto.strip_matching_host_port);
    match proto.strip_port_mode.take() {
        Some(StripPortMode::StripAnyHostPort(true)) => StripPort::Any,
        _ if matching => StripPort::Matching,
        _ => StripPort::Keep,
    }
}

fn upgrades_of(upgrades: Vec<UpgradeConfig>) -> Result<bool, Fault> {
    let mut websocket = false;
    each("", upgrades, |mut upgrade| {
        let kind = take(&mut upgrade.upgrade_type);
        let enabled = upgrade.enabled.take().is_none_or(|it| it.value);
        if !kind.eq_ignore_ascii_case("websocket") {
            let reason = format!("`{kind}` is not supported; only websocket is");
            return Err(Fault::new(reason).at("upgrade_type"));
        }
        websocket |= enabled;
        nothing_left(&upgrade)
    })?;
    Ok(websocket)
}

fn tracing(tracing: &Tracing) -> ProtoTracing {
    ProtoTracing {
        client_sampling: Some(Percent {
            value: tracing.client_percent,
        }),
        random_sampling: Some(Percent {
            value: tracing.random_percent,
        }),
        overall_sampling: Some(Percent {
            value: tracing.overall_percent,
        }),
        provider: tracing.sink.as_ref().map(sink),
        ..ProtoTracing::default()
    }
}

fn tracing_of(mut proto: ProtoTracing) -> Result<Tracing, Fault> {
    let tracing = Tracing {
        client_percent: share_of(proto.client_sampling.take(), 100.0).within("client_sampling")?,
        random_percent: share_of(proto.random_sampling.take(), 100.0).within("random_sampling")?,
        overall_percent: share_of(proto.overall_sampling.take(), 100.0)
            .within("overall_sampling")?,
        sink: proto
            .provider
            .take()
            .map(sink_of)
            .transpose()
            .within("provider")?,
    };
    nothing_left(&proto)?;
    Ok(tracing)
}

fn sink(sink: &TraceSink) -> provider::Http {
    let grpc = GrpcService {
        timeout: sink.timeout.and_then(duration),
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc {
            cluster_name: sink.cluster.clone(),
            ..EnvoyGrpc::default()
        })),
        ..GrpcService::default()
    };
    let config = OpenTelemetryConfig {
        grpc_service: Some(grpc),
        service_name: sink.service_name.clone(),
        ..OpenTelemetryConfig::default()
    };
    provider::Http {
        name: OPENTELEMETRY.to_owned(),
        config_type: Some(provider::http::ConfigType::TypedConfig(any(&config))),
    }
}

fn sink_of(proto: provider::Http) -> Result<TraceSink, Fault> {
    let Some(provider::http::ConfigType::TypedConfig(config)) = proto.config_type else {
        return Err(Fault::new("a configuration in place is missing").at("typed_config"));
    };
    opentelemetry_of(&config).within("typed_config")
}

fn opentelemetry_of(config: &Any) -> Result<TraceSink, Fault> {
    let mut proto: OpenTelemetryConfig = unpack(config)?;
    let missing = || Fault::new("a collector that speaks gRPC is needed").at("grpc_service");
    let mut grpc = proto.grpc_service.take().ok_or_else(missing)?;
    let timeout = never_is_zero(grpc.timeout.take()).within("grpc_service.timeout")?;
    let Some(TargetSpecifier::EnvoyGrpc(mut target)) = grpc.target_specifier.take() else {
        return Err(Fault::new("`envoy_grpc` is needed").at("grpc_service"));
    };
    let sink = TraceSink {
        cluster: take(&mut target.cluster_name),
        service_name: take(&mut proto.service_name),
        timeout,
    };
    nothing_left(&target).within("grpc_service.envoy_grpc")?;
    nothing_left(&grpc).within("grpc_service")?;
    nothing_left(&proto)?;
    Ok(sink)
}

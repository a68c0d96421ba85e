//! Listeners as Envoy's `Listener`.
#![expect(
    deprecated,
    reason = "older forms that Envoy still reads, or only they exist"
)]

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::listener::{ChainMatch, Direction, FilterChain, Listener};
use envoy_types::pb::envoy::config::core::v3::TrafficDirection;
use envoy_types::pb::envoy::config::listener::v3::{
    FilterChain as ProtoChain, FilterChainMatch, Listener as ProtoListener, ListenerFilter,
    listener_filter,
};
use envoy_types::pb::envoy::extensions::filters::listener::{
    http_inspector::v3::HttpInspector, original_dst::v3::OriginalDst,
    tls_inspector::v3::TlsInspector,
};

use super::chain::{self, Extra};
use super::extra::{metadata, take_extra};
use super::value::{
    address, address_of, any, bool_of, boolean, duration, duration_of, number, number_of, port_of,
    range, range_of, some, unpack,
};
use super::{Fault, Within, each, nothing_left, protocol, transport};

const HTTP_INSPECTOR: &str = "envoy.filters.listener.http_inspector";
const TLS_INSPECTOR: &str = "envoy.filters.listener.tls_inspector";
const ORIGINAL_DST: &str = "envoy.filters.listener.original_dst";

pub(super) fn to_proto(listener: &Listener) -> ProtoListener {
    let direction = listener.direction;
    ProtoListener {
        name: listener.name.clone(),
        address: address(listener.address),
        bind_to_port: boolean(listener.bind_to_port),
        use_original_dst: listener
            .use_original_dst
            .then_some(())
            .and_then(|()| boolean(true)),
        traffic_direction: match direction {
            Direction::Inbound => TrafficDirection::Inbound,
            Direction::Outbound => TrafficDirection::Outbound,
        }
        .into(),
        listener_filters: listener_filters(listener),
        listener_filters_timeout: duration(listener.inspect_timeout),
        continue_on_listener_filters_timeout: true,
        filter_chains: listener
            .chains
            .iter()
            .map(|chain| chain_to_proto(chain, direction))
            .collect(),
        default_filter_chain: listener
            .default_chain
            .as_ref()
            .map(|chain| chain_to_proto(chain, direction)),
        tcp_keepalive: listener.keepalive.as_ref().map(protocol::tcp_keepalive),
        ..ProtoListener::default()
    }
}

/// `use_original_dst` looks the destination up by itself; a bound inbound listener needs it for
/// the matches of its chains.
fn listener_filters(listener: &Listener) -> Vec<ListenerFilter> {
    let filter = |name: &str, config| ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(config)),
        ..ListenerFilter::default()
    };
    let mut filters = Vec::new();
    if listener.bind_to_port
        && !listener.use_original_dst
        && listener.direction == Direction::Inbound
    {
        filters.push(filter(ORIGINAL_DST, any(&OriginalDst {})));
    }
    if listener.tls_inspector {
        filters.push(filter(TLS_INSPECTOR, any(&TlsInspector::default())));
    }
    if listener.http_inspector {
        filters.push(filter(HTTP_INSPECTOR, any(&HttpInspector {})));
    }
    filters
}

fn chain_to_proto(chain: &FilterChain, direction: Direction) -> ProtoChain {
    let own = chain::direction_of(&chain.action);
    let extra = Extra {
        direction: (own != direction).then_some(own),
    };
    let matches = match_to_proto(&chain.matches);
    ProtoChain {
        name: chain.name.clone(),
        filter_chain_match: (matches != FilterChainMatch::default()).then_some(matches),
        filters: chain::to_proto(&chain.rbac, &chain.action),
        transport_socket: chain.tls.as_deref().map(transport::downstream),
        metadata: metadata(&extra, None),
        ..ProtoChain::default()
    }
}

fn match_to_proto(matches: &ChainMatch) -> FilterChainMatch {
    FilterChainMatch {
        destination_port: matches
            .destination_port
            .and_then(|port| number(u32::from(port))),
        prefix_ranges: matches.destination_ranges.iter().map(range).collect(),
        source_prefix_ranges: matches.source_ranges.iter().map(range).collect(),
        source_ports: matches
            .source_ports
            .iter()
            .copied()
            .map(u32::from)
            .collect(),
        server_names: matches.server_names.clone(),
        transport_protocol: matches.transport_protocol.clone().unwrap_or_default(),
        application_protocols: matches.application_protocols.clone(),
        ..FilterChainMatch::default()
    }
}

pub(super) fn from_proto(mut proto: ProtoListener) -> Result<Listener, Fault> {
    let direction = match TrafficDirection::try_from(take(&mut proto.traffic_direction)) {
        Ok(TrafficDirection::Inbound) => Direction::Inbound,
        _ => Direction::Outbound,
    };
    let chain = |proto: ProtoChain| chain_of(proto, direction);
    let filters = take(&mut proto.listener_filters);
    let inspectors = each("listener_filters", filters, inspector_of)?;
    let inspect_timeout =
        duration_of(proto.listener_filters_timeout.take()).within("listener_filters_timeout")?;
    let listener = Listener {
        name: take(&mut proto.name),
        address: address_of(proto.address.take()).within("address")?,
        bind_to_port: proto.bind_to_port.take().is_none_or(|it| it.value),
        use_original_dst: bool_of(proto.use_original_dst.take()),
        direction,
        http_inspector: inspectors.contains(&Inspector::Http),
        tls_inspector: inspectors.contains(&Inspector::Tls),
        inspect_timeout: inspect_timeout.unwrap_or(Duration::from_secs(15)),
        chains: each("filter_chains", take(&mut proto.filter_chains), chain)?,
        default_chain: (proto.default_filter_chain.take().map(chain).transpose())
            .within("default_filter_chain")?,
        keepalive: proto.tcp_keepalive.take().map(protocol::tcp_keepalive_of),
    };
    ignored(&mut proto);
    nothing_left(&proto)?;
    Ok(listener)
}

/// What changes nothing here: the name of statistics that are not kept; sockets of workers of
/// their own, which there always are; buffers, which have limits of their own; and going on when
/// an inspector found nothing, which is always done.
fn ignored(proto: &mut ProtoListener) {
    proto.stat_prefix.clear();
    proto.enable_reuse_port = None;
    proto.reuse_port = false;
    proto.per_connection_buffer_limit_bytes = None;
    proto.continue_on_listener_filters_timeout = false;
}

#[derive(PartialEq)]
enum Inspector {
    Http,
    Tls,
    OriginalDestination,
}

fn inspector_of(mut proto: ListenerFilter) -> Result<Inspector, Fault> {
    proto.name.clear();
    let Some(listener_filter::ConfigType::TypedConfig(config)) = proto.config_type.take() else {
        return Err(Fault::new("a configuration in place is missing").at("typed_config"));
    };
    nothing_left(&proto)?;
    if config.type_url.ends_with(".HttpInspector") {
        unpack::<HttpInspector>(&config).within("typed_config")?;
        return Ok(Inspector::Http);
    }
    if config.type_url.ends_with(".TlsInspector") {
        let mut tls: TlsInspector = unpack(&config).within("typed_config")?;
        // Fingerprints are not taken, and the first read is as large as the hello.
        tls.enable_ja3_fingerprinting = None;
        tls.initial_read_buffer_size = None;
        nothing_left(&tls).within("typed_config")?;
        return Ok(Inspector::Tls);
    }
    if config.type_url.ends_with(".OriginalDst") {
        unpack::<OriginalDst>(&config).within("typed_config")?;
        return Ok(Inspector::OriginalDestination);
    }
    let reason = format!("listener filter `{}` is not supported", config.type_url);
    Err(Fault::new(reason).at("typed_config"))
}

fn chain_of(mut proto: ProtoChain, direction: Direction) -> Result<FilterChain, Fault> {
    let extra: Extra = take_extra(&mut proto.metadata).within("metadata")?;
    let direction = extra.direction.unwrap_or(direction);
    let matches = proto.filter_chain_match.take().unwrap_or_default();
    let matches = match_of(matches).within("filter_chain_match")?;
    let (rbac, action) = chain::from_proto(take(&mut proto.filters), direction)?;
    let tls = proto.transport_socket.take();
    let tls = tls.as_ref().map(transport::downstream_of).transpose();
    let chain = FilterChain {
        tls: tls.within("transport_socket")?.flatten().map(Arc::new),
        name: take(&mut proto.name),
        matches,
        rbac,
        action,
    };
    nothing_left(&proto)?;
    Ok(chain)
}

fn match_of(mut proto: FilterChainMatch) -> Result<ChainMatch, Fault> {
    let port = number_of(proto.destination_port.take()).map(port_of);
    let matches = ChainMatch {
        destination_port: port.transpose().within("destination_port")?,
        destination_ranges: each("prefix_ranges", take(&mut proto.prefix_ranges), |it| {
            range_of(&it)
        })?,
        server_names: take(&mut proto.server_names),
        transport_protocol: some(take(&mut proto.transport_protocol)),
        application_protocols: take(&mut proto.application_protocols),
        source_ranges: each(
            "source_prefix_ranges",
            take(&mut proto.source_prefix_ranges),
            |it| range_of(&it),
        )?,
        source_ports: each("source_ports", take(&mut proto.source_ports), port_of)?,
    };
    nothing_left(&proto)?;
    Ok(matches)
}

//! Listeners as Envoy's `Listener`.

use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::listener::{ChainMatch, Direction, FilterChain, Listener};
use envoy_types::pb::envoy::config::core::v3::{CidrRange, TrafficDirection};
use envoy_types::pb::envoy::config::listener::v3::{
    FilterChain as ProtoChain, FilterChainMatch, Listener as ProtoListener, ListenerFilter,
    listener_filter,
};
use envoy_types::pb::envoy::extensions::filters::listener::{
    http_inspector::v3::HttpInspector, original_dst::v3::OriginalDst,
    tls_inspector::v3::TlsInspector,
};

use super::chain::{self, Extra};
use super::extra::{extra_of, metadata};
use super::value::{address, address_of, any, bool_of, boolean, duration, duration_of, number};
use super::{Fault, each, transport};

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
        filters: vec![chain::to_proto(&chain.action)],
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
        prefix_ranges: matches
            .destination_ranges
            .iter()
            .map(|range| CidrRange {
                address_prefix: range.addr().to_string(),
                prefix_len: number(u32::from(range.prefix_len())),
            })
            .collect(),
        server_names: matches.server_names.clone(),
        transport_protocol: matches.transport_protocol.clone().unwrap_or_default(),
        application_protocols: matches.application_protocols.clone(),
        ..FilterChainMatch::default()
    }
}

/// Takes over the TLS of `understood`: [`from_proto`] has judged it by itself.
pub(super) fn settle_tls(got: &mut ProtoListener, understood: &ProtoListener) {
    let chains = got
        .filter_chains
        .iter_mut()
        .chain(&mut got.default_filter_chain);
    let known = understood
        .filter_chains
        .iter()
        .chain(&understood.default_filter_chain);
    for (chain, known) in chains.zip(known) {
        chain.transport_socket.clone_from(&known.transport_socket);
    }
}

pub(super) fn from_proto(proto: &ProtoListener) -> Result<Listener, Fault> {
    let direction = match TrafficDirection::try_from(proto.traffic_direction) {
        Ok(TrafficDirection::Inbound) => Direction::Inbound,
        _ => Direction::Outbound,
    };
    let chain = |proto: &ProtoChain| chain_of(proto, direction);
    Ok(Listener {
        name: proto.name.clone(),
        address: address_of(proto.address.as_ref()).map_err(|fault| fault.at("address"))?,
        bind_to_port: proto.bind_to_port.is_none_or(|value| value.value),
        use_original_dst: bool_of(proto.use_original_dst),
        direction,
        http_inspector: proto
            .listener_filters
            .iter()
            .any(|filter| filter.name == HTTP_INSPECTOR),
        tls_inspector: proto
            .listener_filters
            .iter()
            .any(|filter| filter.name == TLS_INSPECTOR),
        inspect_timeout: duration_of(proto.listener_filters_timeout.as_ref())
            .map_err(|fault| fault.at("listener_filters_timeout"))?
            .unwrap_or(Duration::from_secs(15)),
        chains: each("filter_chains", &proto.filter_chains, chain)?,
        default_chain: proto
            .default_filter_chain
            .as_ref()
            .map(chain)
            .transpose()
            .map_err(|fault| fault.at("default_filter_chain"))?,
    })
}

fn chain_of(proto: &ProtoChain, direction: Direction) -> Result<FilterChain, Fault> {
    let extra: Extra = extra_of(proto.metadata.as_ref()).map_err(|fault| fault.at("metadata"))?;
    let [filter] = proto.filters.as_slice() else {
        return Err(Fault::new("exactly one filter is supported").at("filters"));
    };
    let matches = proto
        .filter_chain_match
        .as_ref()
        .map_or_else(|| Ok(ChainMatch::default()), match_of);
    Ok(FilterChain {
        tls: proto
            .transport_socket
            .as_ref()
            .map(transport::downstream_of)
            .transpose()
            .map_err(|fault| fault.at("transport_socket"))?
            .flatten()
            .map(Arc::new),
        name: proto.name.clone(),
        matches: matches.map_err(|fault| fault.at("filter_chain_match"))?,
        action: chain::from_proto(filter, extra.direction.unwrap_or(direction))
            .map_err(|fault| fault.at("filters[0]"))?,
    })
}

fn match_of(proto: &FilterChainMatch) -> Result<ChainMatch, Fault> {
    let range = |range: &CidrRange| {
        let length = range.prefix_len.map_or(0, |length| length.value);
        format!("{}/{length}", range.address_prefix)
            .parse()
            .map_err(|_| Fault::new(format!("`{}/{length}` is no range", range.address_prefix)))
    };
    let port = proto
        .destination_port
        .map(|port| u16::try_from(port.value))
        .transpose();
    Ok(ChainMatch {
        destination_port: port.map_err(|_| Fault::new("is not a port").at("destination_port"))?,
        destination_ranges: each("prefix_ranges", &proto.prefix_ranges, range)?,
        server_names: proto.server_names.clone(),
        transport_protocol: Some(proto.transport_protocol.clone()).filter(|name| !name.is_empty()),
        application_protocols: proto.application_protocols.clone(),
    })
}

//! The listener and filter chain of a connection.

use std::net::IpAddr;

use ipnet::IpNet;

use super::trace::Trace;
use super::{ChainChoice, Connection};
use crate::compiled::Config;
use crate::listener::{ChainMatch, FilterChain, Listener};

pub(super) fn choose<'a>(
    config: &'a Config,
    bound: &'a Listener,
    connection: &Connection<'_>,
    trace: &mut impl Trace,
) -> Option<ChainChoice<'a>> {
    let listener = hand_over(config, bound, connection, trace);
    let chain = matching_chain(listener, connection);
    match (chain, &listener.default_chain) {
        (Some(chain), _) => {
            trace.note(|| format!("filter chain `{}` of {} matches", chain.name, listener.name));
            Some(ChainChoice { listener, chain })
        }
        (None, Some(chain)) => {
            trace.note(|| format!("default filter chain `{}` of {}", chain.name, listener.name));
            Some(ChainChoice { listener, chain })
        }
        (None, None) => {
            trace.note(|| format!("no filter chain of {} matches: closed", listener.name));
            None
        }
    }
}

fn hand_over<'a>(
    config: &'a Config,
    bound: &'a Listener,
    connection: &Connection<'_>,
    trace: &mut impl Trace,
) -> &'a Listener {
    if !bound.use_original_dst {
        trace.note(|| format!("listener {} accepts", bound.name));
        return bound;
    }
    let Some(destination) = connection.destination else {
        trace.note(|| format!("listener {} accepts; destination unknown", bound.name));
        return bound;
    };
    let Some(listener) = config.unbound_listener(destination) else {
        trace.note(|| format!("no listener for {destination}: stays with {}", bound.name));
        return bound;
    };
    trace.note(|| {
        format!(
            "{} hands over to {} for {destination}",
            bound.name, listener.name
        )
    });
    listener
}

/// Narrows the chains criterion by criterion, keeping the most specific ones each time, without
/// going back: what Envoy's nested maps amount to.
fn matching_chain<'a>(
    listener: &'a Listener,
    connection: &Connection<'_>,
) -> Option<&'a FilterChain> {
    let port = connection.destination.map(|address| address.port());
    let address = connection.destination.map(|address| address.ip());
    let name = connection.server_name.map(str::to_ascii_lowercase);
    let matches = || listener.chains.iter().map(|chain| &chain.matches);

    let by_port = matches().any(|m| m.destination_port.is_some() && m.destination_port == port);
    let port_fits = |m: &ChainMatch| {
        m.destination_port.is_some() == by_port && (!by_port || m.destination_port == port)
    };

    let prefix = matches()
        .filter(|m| port_fits(m))
        .filter_map(|m| range_rank(&m.destination_ranges, address))
        .max()?;
    let address_fits =
        |m: &ChainMatch| port_fits(m) && range_rank(&m.destination_ranges, address) == Some(prefix);

    let sni = matches()
        .filter(|m| address_fits(m))
        .filter_map(|m| server_name_rank(m, name.as_deref()))
        .max()?;
    let name_fits =
        |m: &ChainMatch| address_fits(m) && server_name_rank(m, name.as_deref()) == Some(sni);

    let transport = matches()
        .filter(|m| name_fits(m))
        .filter_map(|m| {
            exact_rank(
                m.transport_protocol.as_slice(),
                &[connection.transport_protocol],
            )
        })
        .max()?;
    let transport_fits = |m: &ChainMatch| {
        name_fits(m)
            && exact_rank(
                m.transport_protocol.as_slice(),
                &[connection.transport_protocol],
            ) == Some(transport)
    };

    by_source(listener, connection, transport_fits)
}

/// The best of the chains that `fits` by what is known of the peer.
fn by_source<'a>(
    listener: &'a Listener,
    connection: &Connection<'_>,
    fits: impl Fn(&ChainMatch) -> bool,
) -> Option<&'a FilterChain> {
    let matches = || listener.chains.iter().map(|chain| &chain.matches);
    let application = connection.application_protocols;
    let application_rank = |m: &ChainMatch| exact_rank(&m.application_protocols, application);
    let best = matches()
        .filter(|m| fits(m))
        .filter_map(application_rank)
        .max()?;
    let application_fits = |m: &ChainMatch| fits(m) && application_rank(m) == Some(best);

    let source = connection.source;
    let source_rank = |m: &ChainMatch| range_rank(&m.source_ranges, source.map(|it| it.ip()));
    let nearest = matches()
        .filter(|m| application_fits(m))
        .filter_map(source_rank)
        .max()?;
    let source_fits = |m: &ChainMatch| application_fits(m) && source_rank(m) == Some(nearest);

    let port_rank = |m: &ChainMatch| match (m.source_ports.as_slice(), source) {
        ([], _) => Some(false),
        (ports, Some(source)) => ports.contains(&source.port()).then_some(true),
        (_, None) => None,
    };
    let port = matches()
        .filter(|m| source_fits(m))
        .filter_map(port_rank)
        .max()?;
    listener
        .chains
        .iter()
        .find(|chain| source_fits(&chain.matches) && port_rank(&chain.matches) == Some(port))
}

/// Length of the longest prefix that holds `address`; 0 without a condition.
fn range_rank(ranges: &[IpNet], address: Option<IpAddr>) -> Option<u8> {
    if ranges.is_empty() {
        return Some(0);
    }
    let address = address?.to_canonical();
    ranges
        .iter()
        .filter(|range| range.contains(&address))
        .map(IpNet::prefix_len)
        .max()
}

/// An exact name is above every suffix, a longer suffix above a shorter one, no condition is 0.
fn server_name_rank(matches: &ChainMatch, name: Option<&str>) -> Option<usize> {
    if matches.server_names.is_empty() {
        return Some(0);
    }
    let name = name?;
    matches
        .server_names
        .iter()
        .filter_map(|want| match want.strip_prefix('*') {
            Some(suffix) => {
                (name.len() > suffix.len() && name.ends_with(suffix)).then_some(suffix.len())
            }
            None => (want == name).then_some(usize::MAX),
        })
        .max()
}

/// 1 when one of `values` is one of `wanted`, 0 without a condition.
fn exact_rank(wanted: &[String], values: &[impl AsRef<str>]) -> Option<u8> {
    if wanted.is_empty() {
        return Some(0);
    }
    let has = |want: &String| values.iter().any(|value| value.as_ref() == want);
    wanted.iter().any(has).then_some(1)
}

//! Service addresses as nftables rules: what kube-proxy does, with a random ready endpoint per connection.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::{DNS_ADDRESS, SERVICE_RANGE};

/// Transport protocols that a Service port may name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

/// One port of a Service address with the endpoints that share its connections.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ServicePort {
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    /// Ready endpoints, sorted, without doubles.
    pub(crate) endpoints: Vec<(Ipv4Addr, u16)>,
}

/// All Service ports in a fixed order. Services without an address of the range, or of another protocol, are left out.
pub(crate) fn ports<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    slices: &[&EndpointSlice],
) -> Vec<ServicePort> {
    let mut all: Vec<ServicePort> = services
        .into_iter()
        .flat_map(|service| ports_of(service, slices))
        .collect();
    all.sort();
    all
}

fn ports_of(service: &Service, slices: &[&EndpointSlice]) -> Vec<ServicePort> {
    let Some(spec) = &service.spec else {
        return Vec::new();
    };
    let Some(address) = spec
        .cluster_ip
        .as_deref()
        .and_then(|text| text.parse().ok())
    else {
        return Vec::new();
    };
    let own: Vec<&EndpointSlice> = slices
        .iter()
        .copied()
        .filter(|slice| belongs(slice, service))
        .collect();
    let mut result = Vec::new();
    for port in spec.ports.iter().flatten() {
        let protocol = match port.protocol.as_deref() {
            None | Some("TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            Some(_) => continue,
        };
        let Ok(number) = u16::try_from(port.port) else {
            continue;
        };
        let endpoints = endpoints_of(&own, port.name.as_deref().unwrap_or_default());
        result.push(ServicePort {
            address,
            port: number,
            protocol,
            endpoints,
        });
    }
    result
}

/// True if `slice` holds endpoints of `service`.
pub(crate) fn belongs(slice: &EndpointSlice, service: &Service) -> bool {
    let label = slice
        .metadata
        .labels
        .as_ref()
        .and_then(|l| l.get("kubernetes.io/service-name"));
    label.is_some()
        && label == service.metadata.name.as_ref()
        && slice.metadata.namespace == service.metadata.namespace
}

fn endpoints_of(slices: &[&EndpointSlice], port_name: &str) -> Vec<(Ipv4Addr, u16)> {
    let mut found = BTreeSet::new();
    for slice in slices {
        let Some(port) = slice
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref().unwrap_or_default() == port_name)
            .and_then(|port| port.port)
            .and_then(|port| u16::try_from(port).ok())
        else {
            continue;
        };
        found.extend(ready_addresses(slice).map(|address| (address, port)));
    }
    found.into_iter().collect()
}

/// Addresses of the ready endpoints of a slice.
pub(crate) fn ready_addresses(slice: &EndpointSlice) -> impl Iterator<Item = Ipv4Addr> + '_ {
    slice
        .endpoints
        .iter()
        .flatten()
        .filter(|endpoint| {
            // No condition means ready. Source: EndpointConditions of discovery.k8s.io/v1.
            endpoint
                .conditions
                .as_ref()
                .and_then(|c| c.ready)
                .unwrap_or(true)
        })
        .flat_map(|endpoint| endpoint.addresses.iter())
        .filter_map(|address| address.parse().ok())
}

/// The whole rule set of the node; replaces the one before in one transaction.
pub(crate) fn rules(ports: &[ServicePort]) -> String {
    let mut translate = String::new();
    let mut pairs = BTreeSet::new();
    for port in ports {
        if port.endpoints.is_empty() {
            continue;
        }
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        let choices: Vec<String> = port
            .endpoints
            .iter()
            .enumerate()
            .map(|(index, (address, number))| format!("{index} : {address} . {number}"))
            .collect();
        let _ = writeln!(
            translate,
            "    ip daddr {} {protocol} dport {} dnat ip addr . port to numgen random mod {} map {{ {} }}",
            port.address,
            port.port,
            choices.len(),
            choices.join(", ")
        );
        pairs.extend(port.endpoints.iter().map(|(address, _)| *address));
    }
    // A pod that was given itself must see the node as its peer, or the answer would not pass the node.
    let elements: Vec<String> = pairs.iter().map(|a| format!("{a} . {a}")).collect();
    let hairpin = if elements.is_empty() {
        String::new()
    } else {
        format!(
            "    ip saddr . ip daddr {{ {} }} masquerade\n",
            elements.join(", ")
        )
    };
    format!(
        "add table ip aviary
delete table ip aviary
table ip aviary {{
  chain services {{
{translate}  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    ip daddr {SERVICE_RANGE}/16 jump services
  }}
  chain output {{
    type nat hook output priority -100; policy accept;
    ip daddr {SERVICE_RANGE}/16 jump services
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
{hairpin}  }}
  chain refuse {{
    ip daddr {DNS_ADDRESS} return
    ip daddr {SERVICE_RANGE}/16 meta l4proto tcp reject with tcp reset
    ip daddr {SERVICE_RANGE}/16 reject
  }}
  chain forward {{
    type filter hook forward priority 0; policy accept;
    jump refuse
  }}
  chain local {{
    type filter hook output priority 0; policy accept;
    jump refuse
  }}
}}
"
    )
}

#[cfg(test)]
mod tests;

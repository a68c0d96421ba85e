//! The names of the cluster's Services.
//!
//! Source: Kubernetes DNS-Based Service Discovery, version 1.1.0.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde::{Deserialize, Serialize};

use crate::network::service::{belongs, ready_addresses};

/// Suffix of every name that is answered.
const ZONE: &str = "svc.cluster.local";

/// All answers. Names are in lower case, without the final dot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    /// Addresses by name; a Service without endpoints has none but exists.
    pub(crate) addresses: BTreeMap<String, BTreeSet<Ipv4Addr>>,
    /// Ports and target by name (`_http._tcp.web.default.svc.cluster.local`).
    pub(crate) services: BTreeMap<String, BTreeSet<(u16, String)>>,
    /// Other name by name, from Services of type `ExternalName`.
    pub(crate) aliases: BTreeMap<String, String>,
}

/// Makes the table of all Services.
pub(crate) fn table<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    slices: &[&EndpointSlice],
) -> Table {
    let mut table = Table::default();
    for service in services {
        add(&mut table, service, slices);
    }
    table
}

fn add(table: &mut Table, service: &Service, slices: &[&EndpointSlice]) {
    let (Some(name), Some(namespace), Some(spec)) = (
        &service.metadata.name,
        &service.metadata.namespace,
        &service.spec,
    ) else {
        return;
    };
    let fqdn = format!("{name}.{namespace}.{ZONE}").to_lowercase();
    if spec.type_.as_deref() == Some("ExternalName") {
        if let Some(target) = &spec.external_name {
            let target = target.trim_end_matches('.').to_lowercase();
            table.aliases.insert(fqdn, target);
        }
        return;
    }
    let own = || {
        slices
            .iter()
            .copied()
            .filter(|slice| belongs(slice, service))
    };
    let addresses: BTreeSet<Ipv4Addr> = match spec.cluster_ip.as_deref() {
        Some("None") => own().flat_map(ready_addresses).collect(),
        Some(address) => address.parse().into_iter().collect(),
        None => BTreeSet::new(),
    };
    for endpoint in own().flat_map(|slice| slice.endpoints.iter().flatten()) {
        if let Some(host) = &endpoint.hostname {
            let own = endpoint
                .addresses
                .iter()
                .filter_map(|text| text.parse::<Ipv4Addr>().ok());
            table
                .addresses
                .entry(format!("{host}.{fqdn}").to_lowercase())
                .or_default()
                .extend(own);
        }
    }
    for port in spec.ports.iter().flatten() {
        let (Some(port_name), Ok(number)) = (&port.name, u16::try_from(port.port)) else {
            continue;
        };
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let name = format!("_{port_name}._{protocol}.{fqdn}").to_lowercase();
        table
            .services
            .entry(name)
            .or_default()
            .insert((number, fqdn.clone()));
    }
    table.addresses.insert(fqdn, addresses);
}

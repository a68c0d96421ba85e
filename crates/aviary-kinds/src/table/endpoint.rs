//! Cells of services and their endpoints.

use serde_json::Value;

use super::{
    cells::{list, text},
    pod::or_none,
};

/// At most three items are shown.
const SHOWN: usize = 3;

fn joined(items: &[String], nothing: &str) -> String {
    match items.len() {
        0 => nothing.to_owned(),
        n if n > SHOWN => format!("{} + {} more...", items[..SHOWN].join(","), n - SHOWN),
        _ => items.join(","),
    }
}

pub(super) fn slice_ports(slice: &Value) -> String {
    let ports: Vec<String> = list(&slice["ports"])
        .iter()
        .map(|port| {
            port["port"]
                .as_i64()
                .map_or_else(|| "*".to_owned(), |port| port.to_string())
        })
        .collect();
    joined(&ports, "<unset>")
}

pub(super) fn slice_addresses(slice: &Value) -> String {
    let addresses: Vec<String> = list(&slice["endpoints"])
        .iter()
        .flat_map(|endpoint| list(&endpoint["addresses"]))
        .map(|address| text(address).to_owned())
        .collect();
    joined(&addresses, "<unset>")
}

pub(super) fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in list(&object["subsets"]) {
        let ports = list(&subset["ports"]);
        let addresses = list(&subset["addresses"]);
        if ports.is_empty() {
            all.extend(
                addresses
                    .iter()
                    .map(|address| text(&address["ip"]).to_owned()),
            );
        }
        for port in ports {
            let port = port["port"].as_i64().unwrap_or(0);
            all.extend(addresses.iter().map(|address| {
                let ip = text(&address["ip"]);
                if ip.contains(':') {
                    format!("[{ip}]:{port}")
                } else {
                    format!("{ip}:{port}")
                }
            }));
        }
    }
    joined(&all, "<none>")
}

pub(super) fn cluster_ip(service: &Value) -> String {
    let first = list(&service["spec"]["clusterIPs"]).first().map(text);
    or_none(first.unwrap_or_else(|| text(&service["spec"]["clusterIP"]))).to_owned()
}

pub(super) fn external_ip(service: &Value) -> String {
    let spec = &service["spec"];
    let mut addresses: Vec<&str> = Vec::new();
    let kind = text(&spec["type"]);
    if kind == "ExternalName" {
        return or_none(text(&spec["externalName"])).to_owned();
    }
    if kind == "LoadBalancer" {
        for ingress in list(&service["status"]["loadBalancer"]["ingress"]) {
            let ip = text(&ingress["ip"]);
            addresses.push(if ip.is_empty() {
                text(&ingress["hostname"])
            } else {
                ip
            });
        }
    }
    addresses.extend(list(&spec["externalIPs"]).iter().map(text));
    match (addresses.is_empty(), kind) {
        (true, "LoadBalancer") => "<pending>".to_owned(),
        (true, _) => "<none>".to_owned(),
        (false, _) => addresses.join(","),
    }
}

pub(super) fn service_ports(service: &Value) -> String {
    let ports: Vec<String> = list(&service["spec"]["ports"])
        .iter()
        .map(|port| {
            let number = port["port"].as_i64().unwrap_or(0);
            let protocol = text(&port["protocol"]);
            match port["nodePort"].as_i64() {
                Some(node) if node > 0 => format!("{number}:{node}/{protocol}"),
                _ => format!("{number}/{protocol}"),
            }
        })
        .collect();
    if ports.is_empty() {
        "<none>".to_owned()
    } else {
        ports.join(",")
    }
}

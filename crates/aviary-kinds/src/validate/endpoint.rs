//! Rules of endpoints and their slices.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};

use super::{Report, list, name, text};
use crate::status::Cause;

/// Most endpoints of one slice.
const ENDPOINTS: usize = 1000;
/// Most addresses of one endpoint, and most ports of one slice.
const MANY: usize = 100;

pub(super) fn slice(report: &mut Report, new: &Value, old: Option<&Value>) {
    let kinds = ["FQDN", "IPv4", "IPv6"];
    report.one_of("addressType".to_owned(), new.get("addressType"), &kinds);
    let kind = text(new, "addressType");
    if let Some(old) = old
        && text(old, "addressType") != kind
    {
        report.invalid("addressType", &json!(kind), "field is immutable");
    }
    let endpoints = list(new, "endpoints");
    if endpoints.len() > ENDPOINTS {
        too_many(report, "endpoints", endpoints.len(), ENDPOINTS);
        return;
    }
    for (index, endpoint) in endpoints.iter().enumerate() {
        let field = format!("endpoints[{index}].addresses");
        let addresses = list(endpoint, "addresses");
        if addresses.is_empty() {
            report
                .0
                .push(Cause::required(field, "must contain at least 1 address"));
            continue;
        }
        if addresses.len() > MANY {
            too_many(report, &field, addresses.len(), MANY);
        }
        for (at, address) in addresses.iter().enumerate() {
            slice_address(report, &format!("{field}[{at}]"), kind, address);
        }
    }
    ports(report, list(new, "ports"));
}

fn too_many(report: &mut Report, field: &str, count: usize, most: usize) {
    report.0.push(Cause {
        reason: "FieldValueTooMany",
        message: format!("Too many: {count}: must have at most {most} items"),
        field: field.to_owned(),
    });
}

fn slice_address(report: &mut Report, field: &str, kind: &str, value: &Value) {
    let given = value.as_str().unwrap_or_default();
    match (kind, given.parse::<IpAddr>()) {
        ("FQDN", _) => {
            for detail in name::subdomain(given) {
                report.invalid(field, value, detail);
            }
        }
        ("IPv4", Ok(IpAddr::V6(_))) => report.invalid(field, value, "must be an IPv4 address"),
        ("IPv6", Ok(IpAddr::V4(_))) => report.invalid(field, value, "must be an IPv6 address"),
        _ => usable_address(report, field, value),
    }
}

/// An address that traffic can be sent to from elsewhere.
pub(super) fn usable_address(report: &mut Report, field: &str, value: &Value) {
    let Ok(address) = value.as_str().unwrap_or_default().parse::<IpAddr>() else {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        report.invalid(field, value, detail);
        return;
    };
    let (link_local, link_multicast) = match address {
        IpAddr::V4(v4) => {
            let octets = v4.octets();
            (v4.is_link_local(), octets.starts_with(&[224, 0, 0]))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments().first().copied().unwrap_or(0);
            (first & 0xffc0 == 0xfe80, first & 0xff0f == 0xff02)
        }
    };
    for (wrong, detail) in [
        (
            address.is_unspecified(),
            format!("may not be unspecified ({address})"),
        ),
        (
            address.is_loopback(),
            "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        ),
        (
            link_local,
            "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        ),
        (
            link_multicast,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned(),
        ),
    ] {
        if wrong {
            report.invalid(field, value, &detail);
        }
    }
}

fn ports(report: &mut Report, ports: &[Value]) {
    if ports.len() > MANY {
        too_many(report, "ports", ports.len(), MANY);
        return;
    }
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let field = format!("ports[{index}]");
        let given = text(port, "name");
        if !given.is_empty() {
            report.name(format!("{field}.name"), port.get("name"), name::label);
        }
        if !names.insert(given) {
            report.duplicate(format!("{field}.name"), &json!(given));
        }
        report.one_of(
            format!("{field}.protocol"),
            port.get("protocol"),
            &["SCTP", "TCP", "UDP"],
        );
        if let Some(number) = port.get("port") {
            report.port(format!("{field}.port"), number);
        }
    }
}

pub(super) fn endpoints(report: &mut Report, new: &Value) {
    for (index, subset) in list(new, "subsets").iter().enumerate() {
        let field = format!("subsets[{index}]");
        let sides = ["addresses", "notReadyAddresses"];
        if sides.iter().all(|side| list(subset, side).is_empty()) {
            let detail = "must specify `addresses` or `notReadyAddresses`";
            report.0.push(Cause::required(field.clone(), detail));
        }
        for side in sides {
            for (at, address) in list(subset, side).iter().enumerate() {
                usable_address(report, &format!("{field}.{side}[{at}].ip"), &address["ip"]);
            }
        }
        let many = list(subset, "ports").len() > 1;
        for (at, port) in list(subset, "ports").iter().enumerate() {
            let field = format!("{field}.ports[{at}]");
            if many || !text(port, "name").is_empty() {
                report.name(format!("{field}.name"), port.get("name"), name::label);
            }
            report.port(format!("{field}.port"), &port["port"]);
        }
    }
}

//! Rules of services. Whether an address is free is for the allocator to tell.

use std::{collections::BTreeSet, net::IpAddr};

use serde_json::{Value, json};

use super::{Report, list, metadata, name, text};

pub(super) fn check(report: &mut Report, new: &Value, old: Option<&Value>) {
    let spec = &new["spec"];
    let kinds = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    report.one_of("spec.type".to_owned(), spec.get("type"), &kinds);
    report.one_of(
        "spec.sessionAffinity".to_owned(),
        spec.get("sessionAffinity"),
        &["ClientIP", "None"],
    );
    let policies = ["Cluster", "Local"];
    for name in ["internalTrafficPolicy", "externalTrafficPolicy"] {
        report.maybe_one_of(format!("spec.{name}"), spec.get(name), &policies);
    }
    metadata::label_map(report, "spec.selector", spec, "selector");
    if text(spec, "type") == "ExternalName" {
        let target = text(spec, "externalName").trim_end_matches('.');
        report.name(
            "spec.externalName".to_owned(),
            Some(&json!(target)),
            name::subdomain,
        );
    }
    if text(spec, "type") == "LoadBalancer" && text(spec, "clusterIP") == "None" {
        let detail = "may not be set to 'None' for LoadBalancer services";
        report.invalid("spec.clusterIPs[0]", &json!("None"), detail);
    }
    ports(report, spec);
    addresses(report, spec);
    if let Some(old) = old {
        unchanged_address(report, spec, &old["spec"]);
    }
}

fn ports(report: &mut Report, spec: &Value) {
    let ports = list(spec, "ports");
    let kind = text(spec, "type");
    if ports.is_empty() && text(spec, "clusterIP") != "None" && kind != "ExternalName" {
        report.required("spec.ports");
    }
    let (mut names, mut numbers, mut node_ports) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let field = format!("spec.ports[{index}]");
        let port_name = text(port, "name");
        if port_name.is_empty() && ports.len() > 1 {
            report.required(format!("{field}.name"));
        } else if !port_name.is_empty() {
            report.name(format!("{field}.name"), port.get("name"), name::label);
            if !names.insert(port_name) {
                report.duplicate(format!("{field}.name"), &json!(port_name));
            }
        }
        let protocol = text(port, "protocol");
        report.port(format!("{field}.port"), &port["port"]);
        report.one_of(
            format!("{field}.protocol"),
            port.get("protocol"),
            &["SCTP", "TCP", "UDP"],
        );
        report.port_or_name(format!("{field}.targetPort"), &port["targetPort"]);
        if !numbers.insert((protocol, port["port"].as_i64())) {
            report.duplicate(
                field.clone(),
                &json!({"port": port["port"], "protocol": protocol}),
            );
        }
        let Some(node) = port["nodePort"].as_i64().filter(|number| *number != 0) else {
            continue;
        };
        if matches!(kind, "ClusterIP" | "ExternalName") {
            let detail = format!("may not be used when `type` is '{kind}'");
            report.forbidden(format!("{field}.nodePort"), &detail);
        }
        if !node_ports.insert((protocol, node)) {
            report.duplicate(format!("{field}.nodePort"), &json!(node));
        }
    }
}

fn addresses(report: &mut Report, spec: &Value) {
    let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    for (index, address) in list(spec, "clusterIPs").iter().enumerate() {
        let given = address.as_str().unwrap_or_default();
        if given != "None" && given.parse::<IpAddr>().is_err() {
            report.invalid(format!("spec.clusterIPs[{index}]"), address, detail);
        }
    }
    let first = list(spec, "clusterIPs")
        .first()
        .and_then(Value::as_str)
        .unwrap_or_default();
    if text(spec, "clusterIP") != first {
        let detail = "first value must match `clusterIP`";
        report.invalid("spec.clusterIPs", &spec["clusterIPs"], detail);
    }
    for (index, address) in list(spec, "externalIPs").iter().enumerate() {
        super::endpoint::usable_address(report, &format!("spec.externalIPs[{index}]"), address);
    }
}

/// An address that was given stays, unless the service turns to or from `ExternalName`.
fn unchanged_address(report: &mut Report, new: &Value, old: &Value) {
    let external = |spec: &Value| text(spec, "type") == "ExternalName";
    let was = text(old, "clusterIP");
    if external(new) || external(old) || was.is_empty() || was == text(new, "clusterIP") {
        return;
    }
    report.invalid(
        "spec.clusterIPs[0]",
        &new["clusterIPs"],
        "may not change once set",
    );
}

//! Rules of `Gateway`.

use super::Findings;
use crate::gateway::{Gateway, Server};

/// Adds what is wrong with the specification.
pub(super) fn check(object: &Gateway, found: &mut Findings) {
    let spec = &object.spec;
    if spec.servers.is_empty() {
        found.add("spec.servers", "is empty; add at least one server");
    }
    if spec.selector.is_empty() {
        found.add(
            "spec.selector",
            "is empty; use `istio: ingressgateway` for the built-in gateway",
        );
    }
    for (i, server) in spec.servers.iter().enumerate() {
        check_server(&format!("spec.servers[{i}]"), server, found);
    }
}

fn check_server(path: &str, server: &Server, found: &mut Findings) {
    found.port(&format!("{path}.port.number"), server.port.number);
    let protocol = server.port.protocol.to_ascii_uppercase();
    match protocol.as_str() {
        "HTTP" | "HTTP2" => {}
        "HTTPS" | "TLS" | "TCP" | "GRPC" | "GRPC-WEB" | "MONGO" | "REDIS" | "MYSQL" => found.add(
            format!("{path}.port.protocol"),
            format!(
                "`{}` is not honoured yet by Aviary; use `HTTP`",
                server.port.protocol
            ),
        ),
        "" => found.add(format!("{path}.port.protocol"), "is missing; use `HTTP`"),
        _ => found.add(
            format!("{path}.port.protocol"),
            format!("`{}` is not a protocol; use `HTTP`", server.port.protocol),
        ),
    }
    if server.hosts.is_empty() {
        found.add(
            format!("{path}.hosts"),
            "is empty; name at least one host, or `*`",
        );
    }
    for (i, host) in server.hosts.iter().enumerate() {
        let path = format!("{path}.hosts[{i}]");
        let name = match host.split_once('/') {
            Some((namespace, name)) => {
                if !matches!(namespace, "*" | ".") && !super::is_label(namespace) {
                    found.add(&path, format!("`{namespace}` is not a namespace"));
                }
                name
            }
            None => host,
        };
        found.host(&path, name);
    }
}

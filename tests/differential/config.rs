//! The one configuration that both proxies get, but for the addresses that they listen on.

mod clusters;
mod ways;

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::client::Speech;
use crate::server::Servers;

pub(crate) use clusters::SERVERS;
pub(crate) use ways::WAYS;

/// What is compared of a request's log lines: the name of each part, and how it is asked for.
pub(crate) const LOG: [(&str, &str); 13] = [
    ("method", "%REQ(:METHOD)%"),
    ("path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"),
    ("protocol", "%PROTOCOL%"),
    ("status", "%RESPONSE_CODE%"),
    ("flags", "%RESPONSE_FLAGS%"),
    ("details", "%RESPONSE_CODE_DETAILS%"),
    ("cluster", "%UPSTREAM_CLUSTER%"),
    ("route", "%ROUTE_NAME%"),
    ("received", "%BYTES_RECEIVED%"),
    ("sent", "%BYTES_SENT%"),
    ("client", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("peer", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"),
    ("tries", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
];

/// How many addresses a proxy listens on: one for each way in, and one more, within.
pub(crate) fn listeners() -> usize {
    WAYS.len() + 1
}

/// The file of a proxy that listens on these addresses and speaks `up` to the servers.
pub(crate) fn bootstrap(
    listen: &[SocketAddr],
    servers: &Servers,
    hosts: &[Value],
    up: Speech,
) -> Value {
    let mut listeners: Vec<_> = WAYS
        .iter()
        .zip(listen)
        .map(|(way, address)| {
            let manager = (way.manager)();
            if way.encrypted {
                let all = json!([{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "encrypted"}}],
                }]);
                listener(way.name, *address, &manager, &json!({"virtual_hosts": all}))
            } else {
                listener(way.name, *address, &manager, &(way.table)(hosts))
            }
        })
        .collect();
    let mut clusters = clusters::all(servers, up);
    if let Some(within) = listen.get(WAYS.len()) {
        let (inside, outside) = ways::encryption(up);
        let manager = json!({
            "forward_client_cert_details": "SANITIZE_SET",
            "set_current_client_cert_details": {"subject": true, "uri": true, "dns": true},
        });
        let table = json!({"virtual_hosts": hosts});
        let mut encrypted = listener("within", *within, &manager, &table);
        encrypted["filter_chains"][0]["transport_socket"] = inside;
        // Without it Envoy does not tell the filters the name that was asked for.
        encrypted["listener_filters"] = json!([{
            "name": "envoy.filters.listener.tls_inspector",
            "typed_config": typed("extensions.filters.listener.tls_inspector.v3.TlsInspector", json!({})),
        }]);
        listeners.push(encrypted);
        let mut cluster = clusters::cluster("encrypted", &[*within], up);
        cluster["transport_socket"] = outside;
        clusters.push(cluster);
    }
    json!({"static_resources": {"listeners": listeners, "clusters": clusters}})
}

pub(crate) fn typed(kind: &str, mut rest: Value) -> Value {
    rest["@type"] = json!(format!("type.googleapis.com/envoy.{kind}"));
    rest
}

fn socket(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

fn listener(name: &str, address: SocketAddr, way: &Value, table: &Value) -> Value {
    let mut routes = table.clone();
    routes["name"] = json!("routes");
    let parts: Vec<_> = LOG.iter().map(|(_, asked)| *asked).collect();
    let line = format!("%REQ(X-TEST-ID)%\t{}\n", parts.join("\t"));
    let mut manager = json!({
        "stat_prefix": name,
        "route_config": routes,
        "access_log": [{
            "name": "envoy.access_loggers.file",
            "typed_config": typed("extensions.access_loggers.file.v3.FileAccessLog", json!({
                "path": "/dev/stdout",
                "log_format": {"text_format_source": {"inline_string": line}},
            })),
        }],
        "http_filters": [
            {"name": "envoy.filters.http.cors",
             "typed_config": typed("extensions.filters.http.cors.v3.Cors", json!({}))},
            {"name": "envoy.filters.http.fault",
             "typed_config": typed("extensions.filters.http.fault.v3.HTTPFault", json!({}))},
            {"name": "envoy.filters.http.rbac",
             "typed_config": typed("extensions.filters.http.rbac.v3.RBAC", json!({}))},
            {"name": "envoy.filters.http.router",
             "typed_config": typed("extensions.filters.http.router.v3.Router", json!({}))},
        ],
    });
    merge(&mut manager, way);
    json!({
        "name": name,
        "address": socket(address),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": typed(
                "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                manager,
            ),
        }]}],
    })
}

/// Puts the members of one object into another.
pub(crate) fn merge(into: &mut Value, from: &Value) {
    for (field, value) in from.as_object().into_iter().flatten() {
        into[field] = value.clone();
    }
}

/// A per-route setting of a filter.
pub(crate) fn per_filter(filter: &str, kind: &str, value: Value) -> Value {
    json!({filter: typed(kind, value)})
}

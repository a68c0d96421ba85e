//! Listeners that differ in how they take requests; all have the same virtual hosts.

use std::sync::OnceLock;

use aviary_tests::certificates::Authority;
use serde_json::{Value, json};

use super::typed;
use crate::client::Speech;

/// A way in.
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// Fields of the connection manager.
    pub(super) manager: fn() -> Value,
    /// The route table of these virtual hosts.
    pub(super) table: fn(&[Value]) -> Value,
    /// Requests go on by mutual TLS to a second listener, which has the routes.
    pub(super) encrypted: bool,
}

const fn way(name: &'static str, manager: fn() -> Value) -> Way {
    Way {
        name,
        manager,
        table: |hosts| json!({"virtual_hosts": hosts}),
        encrypted: false,
    }
}

/// All of them.
pub(crate) const WAYS: [Way; 9] = [
    way("plain", || json!({})),
    way(
        "edge",
        || json!({"use_remote_address": true, "normalize_path": true, "merge_slashes": true}),
    ),
    way(
        "behind-one",
        || json!({"use_remote_address": true, "xff_num_trusted_hops": 1, "normalize_path": true}),
    ),
    way("no-escaped-slash", || {
        json!({
            "normalize_path": true,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]},
            "server_header_transformation": "PASS_THROUGH",
        })
    }),
    way("redirects-escaped-slash", || {
        json!({
            "normalize_path": true,
            "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
            "server_header_transformation": "APPEND_IF_ABSENT",
            "always_set_request_id_in_response": true,
            "internal_address_config": {"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]},
            "use_remote_address": true,
        })
    }),
    way("decodes-slash", || {
        json!({
            "normalize_path": true,
            "merge_slashes": true,
            "path_with_escaped_slashes_action": "UNESCAPE_AND_FORWARD",
            "strip_any_host_port": true,
            "via": "here",
            "server_name": "somebody",
        })
    }),
    way("trusts-two", || {
        json!({
            "xff_num_trusted_hops": 2,
            "skip_xff_append": true,
            "generate_request_id": false,
            "strip_matching_host_port": true,
            "http_protocol_options": {"accept_http_10": true, "enable_trailers": true},
        })
    }),
    Way {
        table: |hosts| {
            let edits = |value: &str| {
                json!([{
                    "header": {"key": "x-set", "value": value},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }, {
                    "header": {"key": "x-add", "value": value},
                }])
            };
            json!({
                "virtual_hosts": hosts,
                "request_headers_to_add": edits("table"),
                "response_headers_to_add": edits("table"),
                "request_headers_to_remove": ["x-by-table"],
                "response_headers_to_remove": ["x-drop"],
                "most_specific_header_mutations_wins": true,
                "ignore_port_in_host_matching": true,
            })
        },
        ..way("specific-wins", || {
            json!({
                "preserve_external_request_id": true,
                "use_remote_address": true,
                "http_filters": filters(),
            })
        })
    },
    Way {
        encrypted: true,
        ..way("encrypted", || json!({}))
    },
];

/// Filters with settings of their own, without those of Envoy's that tell of it.
fn filters() -> Value {
    json!([
        {"name": "envoy.filters.http.rbac",
         "typed_config": typed("extensions.filters.http.rbac.v3.RBAC", json!({
            "rules": {"action": "DENY", "policies": {"admin": {
                "permissions": [{"url_path": {"path": {"prefix": "/api/v1/b"}}}],
                "principals": [{"any": true}],
            }}},
         }))},
        {"name": "envoy.filters.http.cors",
         "typed_config": typed("extensions.filters.http.cors.v3.Cors", json!({}))},
        {"name": "envoy.filters.http.fault",
         "typed_config": typed("extensions.filters.http.fault.v3.HTTPFault", json!({
            "abort": {"http_status": 555, "percentage": {"numerator": 100}},
            "headers": [{"name": "x-tier", "string_match": {"exact": "betax"}}],
         }))},
        {"name": "envoy.filters.http.router",
         "typed_config": typed("extensions.filters.http.router.v3.Router", json!({
            "suppress_envoy_headers": true,
         }))},
    ])
}

/// The transport sockets of both ends of mutual TLS; both proxies have the same certificates.
pub(super) fn encryption(speech: Speech) -> (Value, Value) {
    static BOTH: [OnceLock<(Value, Value)>; 2] = [OnceLock::new(), OnceLock::new()];
    let both = BOTH[usize::from(speech == Speech::Http2)].get_or_init(|| {
        let authority = Authority::new().expect("an authority");
        let protocols = match speech {
            Speech::Http1 => ["http/1.1"],
            Speech::Http2 => ["h2"],
        };
        let common = |name| authority.mesh(name, &protocols).expect("a context");
        let socket = |kind: &str, context: Value| {
            json!({
                "name": "envoy.transport_sockets.tls",
                "typed_config": typed(&format!("extensions.transport_sockets.tls.v3.{kind}"), context),
            })
        };
        let inside = json!({
            "common_tls_context": common("inside"),
            "require_client_certificate": true,
        });
        let outside = json!({"common_tls_context": common("outside"), "sni": "within.example"});
        (
            socket("DownstreamTlsContext", inside),
            socket("UpstreamTlsContext", outside),
        )
    });
    both.clone()
}

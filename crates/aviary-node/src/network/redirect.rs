//! Rules of a meshed pod: everything passes its sidecar.
//!
//! Source: Istio's traffic redirection (ports 15001 and 15006, excluded inbound ports), with the socket mark in place of
//! the user id 1337.

use super::NODE_ADDRESS;

/// Mark of the sidecar's own sockets.
pub(crate) const SIDECAR_MARK: u32 = 1337;

/// The rule set of a meshed pod's network namespace.
///
/// What comes from the node itself goes straight to the application: these are the probes of the
/// node agent, and through the sidecar each would count as a request of the service.
pub(crate) fn rules() -> String {
    format!(
        "table ip aviary_redirect {{
  chain output {{
    type nat hook output priority -100; policy accept;
    meta mark {SIDECAR_MARK} return
    oifname \"lo\" return
    ip daddr 127.0.0.0/8 return
    meta l4proto tcp redirect to :15001
  }}
  chain prerouting {{
    type nat hook prerouting priority -100; policy accept;
    iifname \"lo\" return
    ip saddr {NODE_ADDRESS} return
    tcp dport {{ 15020, 15021, 15090 }} return
    meta l4proto tcp redirect to :15006
  }}
}}
"
    )
}

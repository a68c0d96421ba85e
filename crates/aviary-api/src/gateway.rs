//! `Gateway`: ports and hosts that a gateway workload serves.
//!
//! Only honoured fields are here; [`crate::validate`] refuses the others.
//! Source: Istio `networking/v1alpha3/gateway.proto`.

use serde::{Deserialize, Serialize};

use crate::selector::Labels;

/// A `Gateway` object.
pub type Gateway = crate::Object<GatewaySpec>;

/// Servers of the workloads that a selector picks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GatewaySpec {
    /// Labels of the gateway's pods, in any namespace.
    pub selector: Labels,
    /// Ports and hosts.
    pub servers: Vec<Server>,
}

/// One port with its hosts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Server {
    /// The Service's port (or the pod's own, when no Service maps it).
    pub port: Port,
    /// Hosts, each `host`, `namespace/host`, `./host` or `*/host`.
    pub hosts: Vec<String>,
    /// Name.
    pub name: String,
}

/// A port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    /// 1 to 65535.
    pub number: u32,
    /// Name.
    pub name: String,
    /// `HTTP` or `HTTP2`.
    pub protocol: String,
}

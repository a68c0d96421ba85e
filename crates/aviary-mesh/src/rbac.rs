//! Who may do what.

mod judge;
mod template;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::is_default;
use crate::matcher::{HeaderMatch, Text};

pub use judge::{Judgement, Shadow, authorize, authorize_connection, details};
pub use template::Template;

/// An authorisation filter of a chain.
///
/// Source: Envoy `extensions.filters.http.rbac.v3.RBAC` and its network form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RbacFilter {
    /// The rules that count; without them everything passes.
    pub rules: Option<Rules>,
    /// Rules that are only tried out: their answer is counted and logged.
    #[serde(skip_serializing_if = "is_default")]
    pub shadow: Option<Rules>,
    /// Prefix of the names of the shadow rules' counters.
    #[serde(skip_serializing_if = "is_default")]
    pub shadow_prefix: String,
    /// Statistics prefix; the network form has one of its own.
    #[serde(skip_serializing_if = "is_default")]
    pub stat_prefix: String,
}

/// Policies with what their match means.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rules {
    /// What a matching policy means.
    pub action: Action,
    /// By name; the first in order of the names that matches is the one that is named.
    pub policies: BTreeMap<String, Policy>,
}

/// What a matching policy means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Only what a policy matches passes.
    #[default]
    Allow,
    /// What a policy matches does not pass.
    Deny,
    /// Everything passes; what a policy matches is marked for the log.
    Log,
}

/// A policy matches when one permission and one principal do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// What is done.
    pub permissions: Vec<Permission>,
    /// Who does it.
    pub principals: Vec<Principal>,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    /// Anything.
    Any,
    /// All hold.
    All(Vec<Self>),
    /// One holds.
    OneOf(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// A header or pseudo header; never holds for a connection without requests.
    Header(HeaderMatch),
    /// The path without query.
    Path(Text),
    /// The path without query, by a template such as `/a/{*}/{**}`.
    PathTemplate(Template),
    /// Address that the connection came in at.
    DestinationIp(ipnet::IpNet),
    /// Port that the connection came in at.
    DestinationPort(u16),
    /// Ports from the first up to, and without, the second.
    DestinationPorts(u32, u32),
    /// Server name of the TLS hello; the empty text when there was none.
    ServerName(Text),
}

/// Who does it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Principal {
    /// Anybody.
    Any,
    /// All hold.
    All(Vec<Self>),
    /// One holds.
    OneOf(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// Somebody on an encrypted connection; with a text, one whose certificate has a URI name, DNS name
    /// or subject that fits. Source: Envoy, where a certificate is asked for by a text only.
    Authenticated(Option<Text>),
    /// Address of the peer of the connection.
    DirectRemoteIp(ipnet::IpNet),
    /// Address of the client, from trusted `x-forwarded-for`.
    RemoteIp(ipnet::IpNet),
    /// A header or pseudo header.
    Header(HeaderMatch),
    /// The path without query.
    Path(Text),
}

//! What of a request is hashed, for balancers and splits that keep a client where it was.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One part of the hash.
///
/// Source: Envoy `config.route.v3.RouteAction.HashPolicy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashPolicy {
    /// What is hashed.
    pub of: HashOf,
    /// When it gives a hash, the policies after it are left out.
    pub terminal: bool,
}

/// What is hashed. What is absent gives no hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HashOf {
    /// A header by lower-case name; of several values all, in sorted order.
    Header(String),
    /// A cookie.
    Cookie(HashCookie),
    /// The address of the client.
    SourceIp,
    /// The first query parameter of that name.
    Query(String),
}

/// A cookie that is hashed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HashCookie {
    /// Its name.
    pub name: String,
    /// When set, a cookie is made for clients without one; of zero it lives as long as the session.
    pub ttl: Option<Duration>,
    /// `Path` of a cookie that is made; left out when empty.
    pub path: String,
    /// Further attributes of a cookie that is made, as name and value (a flag has an empty value).
    pub attributes: Vec<(String, String)>,
}

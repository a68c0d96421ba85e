//! Which web pages may call a route.

use serde::{Deserialize, Serialize};

use crate::is_default;
use crate::matcher::Text;

/// Which web pages may call, and what browsers are told of it.
///
/// Source: Envoy `extensions.filters.http.cors.v3.CorsPolicy`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cors {
    /// Origins that may call.
    pub allow_origins: Vec<Text>,
    /// Value of `access-control-allow-methods`; left out when empty.
    pub allow_methods: String,
    /// Value of `access-control-allow-headers`; left out when empty.
    pub allow_headers: String,
    /// Value of `access-control-expose-headers`; left out when empty.
    pub expose_headers: String,
    /// Value of `access-control-max-age`, in seconds; left out when empty.
    pub max_age: String,
    /// Whether pages may send credentials.
    pub allow_credentials: bool,
    /// Whether pages may call into a private network.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_private_network: bool,
    /// Share of requests that the policy is applied to, in percent.
    pub enabled_percent: f64,
    /// A preflight from an origin that is not allowed goes upstream; otherwise it is answered here.
    pub forward_unmatched_preflights: bool,
}

impl Default for Cors {
    fn default() -> Self {
        Self {
            allow_origins: Vec::new(),
            allow_methods: String::new(),
            allow_headers: String::new(),
            expose_headers: String::new(),
            max_age: String::new(),
            allow_credentials: false,
            allow_private_network: false,
            enabled_percent: 100.0,
            forward_unmatched_preflights: true,
        }
    }
}

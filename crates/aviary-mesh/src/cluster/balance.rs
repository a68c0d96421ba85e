//! How an endpoint is chosen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Balance {
    /// The one of two drawn at random that has fewer requests under way.
    #[default]
    LeastRequest,
    /// The same of so many, at least 2.
    LeastOf(u32),
    /// In turn.
    RoundRobin,
    /// At random.
    Random,
    /// By the request's hash, on a ring where every endpoint stands many times.
    RingHash {
        /// Least number of places on the ring. Envoy's default is 1,024.
        min: u64,
        /// Largest number of places on the ring. Envoy's default is 8,388,608.
        max: u64,
        /// Endpoints are placed by their name instead of their address.
        by_hostname: bool,
    },
    /// By the request's hash, in a table that every endpoint fills evenly.
    Maglev {
        /// Places in the table, a prime number. Envoy's default is 65,537.
        table: u64,
        /// Endpoints are placed by their name instead of their address.
        by_hostname: bool,
    },
}

impl Balance {
    /// Envoy's and Istio's ring.
    pub const RING: Self = Self::RingHash {
        min: 1_024,
        max: 8 << 20,
        by_hostname: false,
    };
    /// Envoy's table.
    pub const MAGLEV: Self = Self::Maglev {
        table: 65_537,
        by_hostname: false,
    };

    /// Whether the choice depends on a hash of the request.
    pub fn is_hashing(self) -> bool {
        matches!(self, Self::RingHash { .. } | Self::Maglev { .. })
    }
}

/// A growing share for endpoints that came or came back.
///
/// Source: Envoy `Cluster.SlowStartConfig`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlowStart {
    /// How long the share grows.
    pub window: Duration,
    /// Its weight is multiplied by `(age / window) ^ (1 / aggression)`. Envoy's default is 1.
    pub aggression: f64,
    /// But at least by this share, 0 to 100. Envoy's default is 10.
    pub min_weight_percent: f64,
}

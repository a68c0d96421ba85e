//! Passing bytes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Direction;
use crate::access_log::AccessLog;
use crate::is_default;

/// Passing bytes.
///
/// Source: Envoy `TcpProxy`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpChain {
    /// Statistics prefix.
    pub stat_prefix: String,
    /// Which way the traffic flows.
    pub direction: Direction,
    /// The clusters that get the bytes, one drawn for each connection; a single one takes all.
    pub clusters: Vec<TcpBranch>,
    /// Where each connection is logged; nowhere when empty.
    pub access_log: Vec<AccessLog>,
    /// Closes after this long without a byte either way; `None` never does.
    pub idle_timeout: Option<Duration>,
    /// Connections tried before the client's is closed; 0 means 1.
    #[serde(skip_serializing_if = "is_default")]
    pub connect_attempts: u32,
    /// Closes connections of this age; `None` never does.
    #[serde(skip_serializing_if = "is_default")]
    pub max_duration: Option<Duration>,
    /// The client's address gives the hash for a hashing balancer.
    #[serde(skip_serializing_if = "is_default")]
    pub hash_source_ip: bool,
}

impl TcpChain {
    /// The branch for a number that was drawn anywhere in `u64`; `None` without branches.
    pub fn branch(&self, drawn: u64) -> Option<&TcpBranch> {
        let total: u64 = self.clusters.iter().map(|it| u64::from(it.weight)).sum();
        if total == 0 {
            return self.clusters.first();
        }
        let mut left = drawn % total;
        self.clusters.iter().find(|branch| {
            let weight = u64::from(branch.weight);
            let taken = left < weight;
            left = left.saturating_sub(weight);
            taken
        })
    }
}

/// One branch of a split of connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TcpBranch {
    /// Cluster name.
    pub cluster: String,
    /// Relative share. A single branch has 100.
    pub weight: u32,
}

impl TcpBranch {
    /// The only branch of a chain.
    pub fn only(cluster: impl Into<String>) -> Vec<Self> {
        vec![Self {
            cluster: cluster.into(),
            weight: 100,
        }]
    }
}

/// Probes of idle connections by the kernel; unset values are the kernel's.
///
/// Source: Envoy `config.core.v3.TcpKeepalive`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TcpKeepalive {
    /// Probes without an answer before the connection counts as broken.
    pub probes: Option<u32>,
    /// Seconds without a byte before the first probe.
    pub time_seconds: Option<u32>,
    /// Seconds between probes.
    pub interval_seconds: Option<u32>,
}

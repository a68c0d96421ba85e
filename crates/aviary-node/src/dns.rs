//! Cluster DNS: a table made by the agent, answered by a small process that outlives the agent.

use std::path::{Path, PathBuf};

pub(crate) mod answer;
pub(crate) mod server;
pub(crate) mod table;

/// Where the agent leaves the table for the server.
pub(crate) fn file(home: &Path) -> PathBuf {
    home.join("run/dns.json")
}

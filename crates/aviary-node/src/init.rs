//! The init process of a pod: holds its namespaces, is the parent of its containers, keeps their logs.
//!
//! It is small, synchronous and has one thread. It takes commands on `H/pods/<uid>/init.sock`, so the agent may come and
//! go; it decides nothing: when to start, restart or stop is the agent's business.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) mod client;
mod connection;
mod container;
mod launch;
mod log;
mod mount;
pub(crate) mod protocol;
mod serve;

pub use launch::pod_init_main;
pub(crate) use log::{previous as previous_log, rotated as rotated_log};
pub(crate) use mount::replace_etc;

/// Why a pod's init could not start or refused a command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The pod's network could not be set up.
    #[error(transparent)]
    Network(#[from] crate::network::Error),
    /// Init answered with a refusal.
    #[error("{0}")]
    Refused(String),
    /// Init closed the connection without an answer.
    #[error("the pod's init process went away")]
    Gone,
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    fn sys(what: impl Into<String>) -> impl FnOnce(nix::Error) -> Self {
        let what = what.into();
        move |source| Self::Io {
            what,
            source: source.into(),
        }
    }
}

/// What init must know about its pod: the content of `H/pods/<uid>/init.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodSpec {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) hostname: String,
    /// `None`: the pod shares the node's network.
    pub(crate) address: Option<Ipv4Addr>,
    /// Name of the link's end on the node, at most 15 bytes.
    pub(crate) host_link: String,
    /// True if a sidecar takes all TCP connections.
    pub(crate) redirect: bool,
    /// Container meant when none is named.
    pub(crate) default_container: String,
    /// Folder that containers must not see.
    pub(crate) home: PathBuf,
}

impl PodSpec {
    /// Specifications of all pods that have a folder below `home`.
    pub(crate) fn all(home: &Path) -> Vec<Self> {
        let Ok(entries) = fs::read_dir(home.join("pods")) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| fs::read(entry.path().join("init.json")).ok())
            .filter_map(|text| serde_json::from_slice(&text).ok())
            .collect()
    }

    /// The pod's own folder.
    pub(crate) fn folder(&self, home: &Path) -> PathBuf {
        folder(home, &self.uid)
    }
}

/// The folder of the pod with this uid.
pub(crate) fn folder(home: &Path, uid: &str) -> PathBuf {
    home.join("pods").join(uid)
}

/// The command socket in a pod's folder.
pub(crate) fn socket(folder: &Path) -> PathBuf {
    folder.join("init.sock")
}

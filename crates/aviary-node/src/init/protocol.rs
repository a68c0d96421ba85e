//! The commands and answers of a pod's init: one JSON object a line.
//!
//! A connection carries one [`Request`] and gets one [`Reply`]; after `watch` it gets a [`PodState`] at once and after
//! every change. Descriptors that belong to a request come with its first byte (`SCM_RIGHTS`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "camelCase")]
pub(crate) enum Request {
    /// Sends the state now and after each change.
    Watch,
    /// Starts a container that does not run.
    Start(Box<Start>),
    /// Sends a signal to a container's process group; nothing happens if it does not run.
    Signal { name: String, signal: i32 },
    /// Runs a program inside a container, with three descriptors as its standard streams; the reply comes at its end.
    Exec {
        container: String,
        argv: Vec<String>,
    },
    /// Ends every process of the pod, init last.
    Stop,
}

/// How to start a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Start {
    pub(crate) name: String,
    /// How often it was started before.
    pub(crate) attempt: u32,
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) mounts: Vec<Mount>,
    /// Log file, absolute; the one of the attempt before is kept beside it.
    pub(crate) log: PathBuf,
    /// A sidecar: keeps `CAP_NET_ADMIN` for the mark of its sockets.
    pub(crate) sidecar: bool,
    /// Paths below the home folder that stay visible.
    pub(crate) reveal: Vec<PathBuf>,
    /// Container ports of the listening sockets that come with the request, in their order.
    pub(crate) listen: Vec<u16>,
}

/// A file or folder shown at another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mount {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "camelCase")]
pub(crate) enum Reply {
    Done,
    /// Exit code of the program that was run.
    Exit {
        code: i32,
    },
    Refused {
        message: String,
    },
}

/// All containers that were ever started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PodState {
    pub(crate) containers: BTreeMap<String, ContainerState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContainerState {
    pub(crate) attempt: u32,
    pub(crate) started_at: Timestamp,
    /// `None` while it runs.
    pub(crate) exit: Option<Exit>,
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) finished_at: Timestamp,
    /// 128 + signal if a signal ended it; 128 if it could not be started.
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    /// Why it could not be started.
    pub(crate) message: Option<String>,
}

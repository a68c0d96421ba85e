//! The agent: one worker per pod bound to this node, Service addresses, DNS table, node status, logs.

use std::os::fd::RawFd;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

/// What the agent needs to know; every field is decided by the caller.
pub struct Config {
    /// Client of the API server, with the node's identity. Must reconnect by itself after an outage.
    pub client: kube::Client,
    /// The folder called H in the contract (`$AVIARY_HOME`), absolute.
    pub home: PathBuf,
    /// Name of the Node object, `aviary`.
    pub node_name: String,
    /// Program and first arguments that end in [`crate::pod_init_main`]; the path of the pod's `init.json` is appended.
    pub pod_init: Vec<String>,
    /// Program and arguments of the sidecar and gateway proxy, for example `[<aviary>, "proxy"]`.
    pub proxy: Vec<String>,
    /// Folder that holds the programs `bookinfo` and `micro-api`.
    pub programs: PathBuf,
    /// Listening sockets of the host for gateway pods: container port and inherited descriptor. May be empty.
    pub listen_fds: Vec<(u16, RawFd)>,
}

/// Why the agent could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or socket below the home folder could not be made or read.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Runs the agent until `cancel` fires. Pods keep running when it returns.
///
/// Call it inside the sandbox, that is after [`crate::enter`] returned [`crate::Entered::Inside`].
///
/// # Errors
/// Only for what cannot be repaired by waiting: the home folder or the agent's own socket. An API server that does not
/// answer is waited for.
pub async fn run(config: Config, cancel: CancellationToken) -> Result<(), Error> {
    let _ = &config.home;
    cancel.cancelled().await;
    Ok(())
}

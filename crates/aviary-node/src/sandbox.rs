//! The node's namespaces: who holds them, how others enter.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

mod enter;
mod holder;

pub use enter::{Entered, enter, exec_in_node, exec_in_pod};
pub use holder::sandbox_main;

/// Why the sandbox could not be made or entered.
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
    /// The kernel or its configuration forbids user namespaces to ordinary users.
    #[error(
        "cannot make a user namespace: {source}; allow it (`sysctl kernel.unprivileged_userns_clone=1`, \
         `sysctl kernel.apparmor_restrict_unprivileged_userns=0`, `sysctl user.max_user_namespaces=10000`) or run as root"
    )]
    UserNamespace {
        /// The system's answer.
        source: io::Error,
    },
    /// The network inside could not be set up.
    #[error(transparent)]
    Network(#[from] crate::network::Error),
    /// The process that holds the namespaces ended before it was ready.
    #[error("the sandbox ended before it was ready; its own message stands above")]
    NotReady,
    /// No sandbox runs for this home folder.
    #[error("no sandbox runs for `{}`; start it with `aviary up`", home.display())]
    NotRunning {
        /// The folder that was looked at.
        home: PathBuf,
    },
    /// No such pod runs on this node.
    #[error(
        "pod `{namespace}/{name}` does not run on this node; see `kubectl get pods -n {namespace}`"
    )]
    NoPod {
        /// Namespace asked for.
        namespace: String,
        /// Name asked for.
        name: String,
    },
    /// The init process of a pod refused.
    #[error(transparent)]
    Init(#[from] crate::init::Error),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn sys(what: impl Into<String>) -> impl FnOnce(nix::Error) -> Self {
        let what = what.into();
        move |source| Self::Io {
            what,
            source: source.into(),
        }
    }
}

/// Content of `H/run/sandbox.json`: which process holds the namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Pid of the sandbox's init, as the host sees it.
    pub pid: i32,
    /// When that process started, in clock ticks since boot; guards against a reused pid.
    pub start_ticks: u64,
}

impl State {
    /// Reads the state of `home` and checks that the process still lives.
    ///
    /// # Errors
    /// [`Error::NotRunning`] if there is none.
    pub fn read(home: &Path) -> Result<Self, Error> {
        let not_running = || Error::NotRunning {
            home: home.to_path_buf(),
        };
        let text = std::fs::read(file(home)).map_err(|_| not_running())?;
        let state: Self = serde_json::from_slice(&text).map_err(|_| not_running())?;
        if start_ticks(state.pid) == Some(state.start_ticks) {
            Ok(state)
        } else {
            Err(not_running())
        }
    }
}

fn file(home: &Path) -> PathBuf {
    home.join("run/sandbox.json")
}

/// Start time of a process, in clock ticks since boot. Source: proc(5), field 22 of `/proc/<pid>/stat`.
fn start_ticks(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

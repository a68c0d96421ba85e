//! What a running supervisor tells others of itself: `run/up.json`, guarded by `run/up.lock`.

use std::fs::File;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::home::{Home, write_private};

/// How long a process that was killed may hold on to its locks.
const LAST_MOMENTS: Duration = Duration::from_millis(300);

/// A running installation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Up {
    /// The supervisor.
    pub(crate) pid: i32,
    /// Whether everything was up at least once.
    pub(crate) ready: bool,
    /// URL of the API server.
    pub(crate) api_server: String,
    /// URL of the ingress gateway's HTTP port.
    pub(crate) gateway: String,
    /// URL of the ingress gateway's HTTPS port.
    pub(crate) gateway_tls: String,
    /// Process ids of the parts.
    pub(crate) control: Option<u32>,
    /// The node agent.
    pub(crate) node: Option<u32>,
    /// The holder of the node's namespaces.
    pub(crate) sandbox: Option<u32>,
}

impl Up {
    /// What the supervisor of `home` says, or `None` when none runs.
    pub(crate) fn load(home: &Home) -> Result<Option<Self>> {
        if Lock::take(home)?.is_some() {
            return Ok(None);
        }
        let path = home.up_file();
        match std::fs::read(&path) {
            Ok(bytes) => {
                Ok(Some(serde_json::from_slice(&bytes).with_context(|| {
                    format!("`{}` is damaged", path.display())
                })?))
            }
            // It holds the lock but has not got so far.
            Err(_) => Ok(None),
        }
    }

    /// As [`Self::load`], of a supervisor that lasts: one that was killed a moment ago may still be on
    /// its way out.
    pub(crate) fn load_lasting(home: &Home) -> Result<Option<Self>> {
        let begun = Instant::now();
        loop {
            let up = Self::load(home)?;
            if up.is_none() || begun.elapsed() >= LAST_MOMENTS {
                return Ok(up);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Tells others.
    pub(crate) fn store(&self, home: &Home) -> Result<()> {
        write_private(&home.up_file(), &serde_json::to_vec_pretty(self)?)
    }
}

/// Held by the supervisor for as long as it lives.
pub(crate) struct Lock {
    _file: Option<Flock<File>>,
}

impl Lock {
    /// Takes it, trying again while others hold it for at most `limit`.
    pub(crate) fn take_within(home: &Home, limit: Duration) -> Result<Option<Self>> {
        let begun = Instant::now();
        loop {
            let lock = Self::take(home)?;
            if lock.is_some() || begun.elapsed() >= limit {
                return Ok(lock);
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Takes it, or gives `None` when another process holds it.
    pub(crate) fn take(home: &Home) -> Result<Option<Self>> {
        let path = home.join("run/up.lock");
        if !home.join("run").exists() {
            return Ok(Some(Self { _file: None }));
        }
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open `{}`", path.display()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Self { _file: Some(lock) })),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => {
                Err(errno).with_context(|| format!("cannot lock `{}`", path.display()))
            }
        }
    }
}

//! A server that is a process of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;

/// A server that can be killed and stopped; it is gone when the value is dropped.
pub(super) struct Server {
    child: Child,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts one that answers `name`, and waits until it listens.
    pub(super) fn start(address: SocketAddr, name: &str) -> Result<Self> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/slow_server.py");
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "python3"])
            .arg(script)
            .args([&address.to_string(), name])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let list = heard.clone();
        let first = lines.next().transpose()?;
        let this = Self { child, heard };
        ensure!(
            first.as_deref() == Some("ready"),
            "the server said {first:?}"
        );
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                list.lock().push(line);
            }
        });
        Ok(this)
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        let process = Pid::from_raw(i32::try_from(self.child.id())?);
        Ok(kill(process, signal)?)
    }

    /// Ids of the requests that reached it, in order.
    pub(super) fn heard(&self) -> Vec<String> {
        self.heard.lock().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! A proxy that runs from a file, alone, as the one under test.

mod bootstrap;
mod control;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::memory::{Memory, forget_peak};
pub use bootstrap::Bootstrap;
pub use control::Control;

/// How long a proxy may take until it listens.
const START: Duration = Duration::from_secs(20);
/// Tells addresses and folders of one test process apart.
static NUMBER: AtomicU32 = AtomicU32::new(1);

/// An address of loopback that no other test uses, with a free port.
///
/// # Errors
/// There is no free port.
pub fn free_address() -> Result<SocketAddr> {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let [_, _, upper, lower] = number.to_be_bytes();
    let address = Ipv4Addr::new(127, 64 | (high & 63), low, lower.wrapping_add(upper).max(1));
    Ok(TcpListener::bind((address, 0))?.local_addr()?)
}

/// What a proxy is started with besides its file.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Limit of open files; `None` keeps that of the tests.
    pub files: Option<u32>,
    /// Further arguments of `aviary proxy`.
    pub args: Vec<String>,
}

/// A running proxy; it is gone when the value is dropped.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    folder: PathBuf,
    admin: SocketAddr,
}

impl Proxy {
    /// Starts `aviary proxy --config` with one worker and waits until it listens.
    ///
    /// # Errors
    /// It is not built, or ended, or does not listen in time; then with the end of its log.
    pub fn start(bootstrap: &Bootstrap) -> Result<Self> {
        Self::start_with(bootstrap, &Start::default())
    }

    /// As [`Self::start`], with more to say.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(bootstrap: &Bootstrap, start: &Start) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("aviary-standalone-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("bootstrap.json");
        let admin = free_address()?;
        std::fs::write(&file, bootstrap.text(admin))?;
        let log = File::create(folder.join("log"))?;
        let child = command(&file, start)?
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("the proxy cannot be started")?;
        let mut this = Self {
            child,
            folder,
            admin,
        };
        for address in bootstrap.addresses() {
            this.wait_for(address)?;
        }
        Ok(this)
    }

    fn wait_for(&mut self, address: SocketAddr) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the proxy ended with {status}:\n{}", self.log());
            }
            ensure!(
                started.elapsed() < START,
                "the proxy does not listen on {address}:\n{}",
                self.log()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Its process.
    pub fn process(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Where its admin pages are.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to drain and end.
    ///
    /// # Errors
    /// It is gone.
    pub fn terminate(&self) -> Result<()> {
        Ok(kill(self.process(), Signal::SIGTERM)?)
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It did not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(started.elapsed() < limit, "the proxy still runs");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// How many descriptors it holds.
    ///
    /// # Errors
    /// It is gone.
    pub fn descriptors(&self) -> Result<usize> {
        let folder = format!("/proc/{}/fd", self.child.id());
        Ok(std::fs::read_dir(folder)?.count())
    }

    /// What it holds of memory, in KiB: resident now, and the most since [`Self::forget_peak`].
    ///
    /// # Errors
    /// It is gone.
    pub fn memory(&self) -> Result<Memory> {
        Memory::of(i64::from(self.child.id()))
    }

    /// Starts the peak of [`Self::memory`] anew; gives the memory held now, in KiB.
    ///
    /// # Errors
    /// It is gone.
    pub fn forget_peak(&self) -> Result<u64> {
        forget_peak(i64::from(self.child.id()))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(4000);
            println!(
                "end of the proxy's log:\n{}",
                log.get(from..).unwrap_or(&log)
            );
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The program under test. `AVIARY_TEST_SUBJECT` may name a stock Envoy, to see what that one does.
fn command(file: &Path, start: &Start) -> Result<Command> {
    let envoy = std::env::var_os("AVIARY_TEST_SUBJECT");
    let program = match &envoy {
        Some(envoy) => PathBuf::from(envoy),
        None => crate::installation::programs()?.join("aviary"),
    };
    let mut command = Command::new("setpriv");
    // It ends with the thread that started it, however that ends.
    command.args(["--pdeathsig", "KILL"]);
    if let Some(files) = start.files {
        command.arg("prlimit").arg(format!("--nofile={files}"));
    }
    command.arg(program);
    if envoy.is_some() {
        let rest = [
            "--concurrency",
            "1",
            "--use-dynamic-base-id",
            "-l",
            "warning",
        ];
        command.arg("-c").arg(file).args(rest);
    } else {
        command
            .args(["proxy", "--workers", "1", "--config"])
            .arg(file);
        command.args(&start.args);
    }
    Ok(command)
}

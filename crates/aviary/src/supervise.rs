//! Starting the parts and starting them again.
//!
//! Every child gets a pipe as standard input whose other end only the supervisor holds: when the
//! supervisor dies, however it dies, each child reads the end of file and ends. Until then it holds
//! a lock on its log, which came to it with standard error: by that the next one knows that
//! somebody of the former run is still there.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_util::sync::CancellationToken;

use crate::output;
use crate::ports::Bound;

/// A child that lived this long starts again at once.
const STEADY: Duration = Duration::from_secs(5);
/// Longest pause between starts of a child that keeps failing.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long a child may take to end by itself.
const GRACE: Duration = Duration::from_secs(8);
/// How long what a dead supervisor left may take to end; the pods are the slowest.
const LEFT_OVER: Duration = Duration::from_secs(20);
/// A wait is told when it is longer than this.
const NOTICEABLE: Duration = Duration::from_millis(500);

/// One part of the installation.
pub(crate) struct Part<'a> {
    /// Its subcommand, which is its name too.
    pub(crate) name: &'static str,
    /// Further arguments.
    pub(crate) args: Vec<String>,
    /// Sockets that it inherits.
    pub(crate) sockets: Vec<&'a Bound>,
    /// The installation's folder.
    pub(crate) home: PathBuf,
}

/// A started part.
pub(crate) struct Running {
    child: Child,
    /// The pipe by which it knows that its supervisor lives; waiting for a child would close it.
    _lifeline: Option<ChildStdin>,
}

impl Running {
    /// Its process id while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its standard output, once.
    pub(crate) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Waits until it ends.
    pub(crate) async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        self.child.wait().await
    }
}

impl Part<'_> {
    /// Starts it; standard output is piped when `talks`, else it goes to the part's log.
    pub(crate) fn start(&self, talks: bool) -> Result<Running> {
        let log = open_log(&self.home, self.name)?
            .with_context(|| format!("an earlier `{}` still runs", self.name))?;
        for socket in &self.sockets {
            socket.inherit(true)?;
        }
        let child = Command::new(std::env::current_exe().context("cannot find my own program")?)
            .arg("--home")
            .arg(&self.home)
            .arg(self.name)
            .args(&self.args)
            .stdin(Stdio::piped())
            .stdout(if talks {
                Stdio::piped()
            } else {
                Stdio::from(log.try_clone()?)
            })
            .stderr(Stdio::from(log))
            // Ctrl-C is for the supervisor, which ends the parts in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        for socket in &self.sockets {
            socket.inherit(false)?;
        }
        let mut child = child.with_context(|| format!("cannot start `{}`", self.name))?;
        let lifeline = child.stdin.take();
        Ok(Running {
            child,
            _lifeline: lifeline,
        })
    }

    /// Keeps `child` running, starting it again when it ends, until `stop`; then ends it.
    /// `started_anew` is told the process id of each new one.
    pub(crate) async fn keep_running(
        &self,
        mut child: Running,
        stop: CancellationToken,
        started_anew: impl Fn(Option<u32>),
    ) {
        let mut pause = Duration::from_millis(100);
        loop {
            let started = Instant::now();
            let status = tokio::select! {
                status = child.wait() => status,
                () = stop.cancelled() => return end(self.name, child).await,
            };
            output::note(&format!(
                "{} ended ({}) and is started again; its log is `{}`",
                self.name,
                describe(status.as_ref().ok()),
                self.log_path().display()
            ));
            pause = if started.elapsed() > STEADY {
                Duration::from_millis(50)
            } else {
                (pause * 2).min(PAUSE_MAX)
            };
            loop {
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.cancelled() => return,
                }
                let started = match wait_for_earlier(&self.home, self.name).await {
                    Ok(()) => self.start(false),
                    Err(error) => Err(error),
                };
                match started {
                    Ok(next) => {
                        child = next;
                        started_anew(child.id());
                        break;
                    }
                    Err(error) => output::error(&error),
                }
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Where its log is.
    pub(crate) fn log_path(&self) -> PathBuf {
        log_path(&self.home, self.name)
    }
}

fn log_path(home: &Path, name: &str) -> PathBuf {
    home.join("logs").join(format!("{name}.log"))
}

/// Opens a part's log and locks it: the lock lasts until the last process that inherits it has
/// ended. `None` when processes of an earlier run have it.
fn open_log(home: &Path, name: &str) -> Result<Option<File>> {
    let path = log_path(home, name);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot open the log `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock the log `{}`", path.display()))
        }
    }
}

/// Waits until nothing is left of a supervisor that was killed: its parts end by themselves, but not
/// at once, and until then they hold ports, the store and the names of sockets.
///
/// # Errors
/// They do not end.
pub(crate) async fn wait_for_earlier_parts(home: &Path) -> Result<()> {
    for part in ["control", "node", "sandbox"] {
        wait_for_earlier(home, part).await?;
    }
    Ok(())
}

/// Waits until nothing of an earlier run of a part is left.
async fn wait_for_earlier(home: &Path, name: &str) -> Result<()> {
    let (begun, mut told) = (Instant::now(), false);
    while open_log(home, name)?.is_none() {
        ensure!(
            begun.elapsed() < LEFT_OVER,
            "an earlier `{name}` has not ended within {} s; `fuser {}` names its processes",
            LEFT_OVER.as_secs(),
            log_path(home, name).display()
        );
        if !told && begun.elapsed() > NOTICEABLE {
            output::note(&format!("waiting for an earlier `{name}` to end"));
            told = true;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Ends a child: asks, waits, then kills.
pub(crate) async fn end(name: &str, mut running: Running) {
    if let Some(pid) = running.id().and_then(|pid| i32::try_from(pid).ok()) {
        // It may have ended by itself already.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(GRACE, running.wait()).await.is_err() {
        output::note(&format!(
            "{name} did not end within {} s and is killed",
            GRACE.as_secs()
        ));
        let _ = running.child.kill().await;
    }
}

fn describe(status: Option<&ExitStatus>) -> String {
    status.map_or_else(|| "unknown status".to_owned(), ToString::to_string)
}

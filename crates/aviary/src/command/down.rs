//! Stopping a detached installation.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::report::Up;
use crate::home::Home;
use crate::output;

/// How long everything may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the process has work left; one that only waits for its parent to notice has none.
fn runs(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|command| !command.is_empty())
}

/// Ends the supervisor, which ends everything else.
pub(crate) fn run(home: &Home) -> Result<ExitCode> {
    let Some(up) = Up::load(home)? else {
        output::note(&format!("nothing runs under `{}`", home.path().display()));
        return Ok(ExitCode::SUCCESS);
    };
    kill(Pid::from_raw(up.pid), Signal::SIGTERM)
        .with_context(|| format!("cannot end process {}", up.pid))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?
        .block_on(async {
            let started = Instant::now();
            // The lock is free a moment before the process is gone.
            while Up::load(home)?.is_some() || runs(up.pid) {
                if started.elapsed() > PATIENCE {
                    bail!(
                        "process {} did not end within {} s",
                        up.pid,
                        PATIENCE.as_secs()
                    );
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            output::note("stopped; the objects are kept for the next start");
            Ok(ExitCode::SUCCESS)
        })
}

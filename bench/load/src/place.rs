//! Where a program runs, and with what.

use std::num::NonZeroU64;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

/// Raises the limit of open files to what is allowed.
pub(crate) fn allow_all_descriptors() -> Result<()> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, all).context("limit of open files")
}

/// Asks the kernel not to round this thread's waits.
pub(crate) fn wake_on_time() -> Result<()> {
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).context("timer slack")
}

/// Becomes `command` on `core`; the kernel ends it when the parent ends, however that happens.
pub(crate) fn run(core: usize, command: &[String]) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores)
        .with_context(|| format!("cannot run on core {core}"))?;
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    let (program, args) = command.split_first().context("no program is given")?;
    let error = Command::new(program).args(args).exec();
    Err(anyhow!("cannot run {program}: {error}"))
}

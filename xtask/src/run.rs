//! Running other programs, and saying what happens.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Says a line to the person who waits.
#[expect(clippy::print_stderr, reason = "tasks talk to people")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Runs a step and says how long it took.
pub(crate) fn step(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    say(&format!("── {name}"));
    let started = Instant::now();
    run().with_context(|| name.to_owned())?;
    say(&format!(
        "   {name}: {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// Runs a program with this process's input and output; anything but success is an error.
pub(crate) fn program(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!(
            "{} ended with {status}",
            command.get_program().to_string_lossy()
        );
    }
    Ok(())
}

/// Lets time pass.
#[expect(
    clippy::disallowed_methods,
    reason = "measurements need time to pass, and `/proc` has no events"
)]
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// `cargo` with these arguments, in the workspace.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args).current_dir(root());
    command
}

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

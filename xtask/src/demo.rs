//! The demo: checks, release build, start.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::run::{cargo, program, say, step, target};
use crate::tools;

/// Checks what is needed, builds, and hands over to `aviary demo`.
pub(crate) fn run(args: &[String]) -> Result<()> {
    step("checks", || {
        need("cc", "a C compiler", "apt-get install gcc")?;
        tools::nft(false)?;
        namespaces()?;
        if !tools::present("kubectl") {
            say(
                "   note: there is no `kubectl` here; get one to shift traffic (any version from 1.29 on)",
            );
        }
        Ok(())
    })?;
    step("release build (minutes when it is the first)", || {
        program(&mut cargo(&[
            "build",
            "--locked",
            "--release",
            "-p",
            "aviary",
            "-p",
            "bookinfo",
            "-p",
            "micro-api",
        ]))
    })?;
    let mut aviary = Command::new(target().join("release/aviary"));
    aviary.arg("demo").args(args);
    // From here on this process is the demo: Ctrl-C goes to it alone.
    let error = std::os::unix::process::CommandExt::exec(&mut aviary);
    bail!("cannot start aviary: {error}")
}

fn need(name: &str, what: &str, how: &str) -> Result<()> {
    if !tools::present(name) {
        bail!("{what} (`{name}`) is missing; on Debian: `{how}`");
    }
    Ok(())
}

/// Pods need namespaces of the user's own.
fn namespaces() -> Result<()> {
    let made = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "true",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match made {
        Ok(status) if !status.success() => bail!(
            "this machine does not let users make namespaces, which pods need.\n\
             Allow it: `sysctl -w kernel.unprivileged_userns_clone=1` (Debian), \
             `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` (Ubuntu), or run as root"
        ),
        // Without the program to try it with, the node says so itself.
        _ => Ok(()),
    }
}

//! Hands rule sets to the `nft` program.

use std::io::Write;
use std::process::{Command, Stdio};

use super::Error;

/// Applies `rules` in the current network namespace, all or nothing. Blocks for some milliseconds.
pub(crate) fn apply(subject: &'static str, rules: &str) -> Result<(), Error> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io("cannot run `nft`; install the package nftables"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(rules.as_bytes())
            .map_err(Error::io("cannot write to `nft`"))?;
    }
    let output = child
        .wait_with_output()
        .map_err(Error::io("cannot wait for `nft`"))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Nft { subject, message })
}

//! Other people's clients and servers at both ends of two proxies.

mod bulk;
mod chain;

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A program of others that serves; it is gone when the value is dropped.
struct Server(Child);

impl Server {
    /// Starts it and waits until it says that it is ready.
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("its output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let this = Self(child);
        ensure!(line == "ready\n", "the server said {line:?}");
        Ok(this)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A program that ends with the thread that started it.
fn program(name: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", name]);
    command
}

fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("clients")
        .join(name)
}

/// The folder that this variable names; `cargo xtask test` sets it.
fn tools(variable: &str) -> Result<OsString> {
    std::env::var_os(variable).with_context(|| {
        format!("{variable} is not set: run these tests by `cargo xtask test`, which fetches what they need")
    })
}

/// Python's grpcio; over TLS when there is a certificate to trust.
fn grpc(verb: &str, address: SocketAddr, trusted: Option<&Path>) -> Result<Command> {
    let mut command = program("python3");
    command
        .arg(script("grpc_client.py"))
        .args([verb, &address.to_string()])
        .args(trusted)
        .env("PYTHONPATH", tools("AVIARY_TEST_GRPCIO")?)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}

/// npm's ws; over TLS when there is a certificate to trust.
fn websocket(verb: &str, address: SocketAddr, trusted: Option<&Path>) -> Result<Command> {
    let mut command = program("node");
    command
        .arg(script("websocket.js"))
        .args([verb, &address.ip().to_string(), &address.port().to_string()])
        .args(trusted)
        .env("NODE_PATH", tools("AVIARY_TEST_WS")?);
    Ok(command)
}

/// Runs a client to its end; gives what it said when all was well.
fn finish(mut command: Command) -> Result<String> {
    let output = command.output()?;
    let (said, wrong) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    ensure!(output.status.success(), "{}\n{said}{wrong}", output.status);
    Ok(said)
}

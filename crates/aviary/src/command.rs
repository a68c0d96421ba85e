//! The commands: each turns what was typed into what is done.

mod control;
mod demo;
mod down;
mod exec;
mod explain;
mod image;
mod logs;
mod node;
mod page;
mod proxy;
mod proxy_config;
mod report;
mod status;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use crate::cli::{Cli, Command};
use crate::home::Home;

/// Carries out one command and gives the exit code.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    // These run inside pods, where there is no state folder.
    match &cli.command {
        Command::PodInit { args } => return node::pod_init(args),
        Command::Proxy(args) => return proxy::run(args),
        Command::Page { path } => return page::run(path),
        _ => {}
    }
    let home = Home::resolve(cli.home)?;
    match cli.command {
        Command::Up(args) => up::run(&home, &args, up::Content::Empty),
        Command::Demo(args) => up::run(&home, &args, up::Content::Bookinfo),
        Command::Down => down::run(&home),
        Command::Status { output } => status::run(&home, output),
        Command::Exec(args) => exec::run(&home, &args),
        Command::Shell => exec::shell(&home),
        Command::Logs(args) => logs::run(&home, &args),
        Command::ProxyConfig(args) => proxy_config::run(&home, &args),
        Command::Explain(args) => explain::run(&home, &args),
        Command::Image(command) => image::run(&home, command),
        Command::Control(args) => control::run(&home, &args),
        Command::Node(args) => node::run(&home, &args),
        Command::Sandbox => node::sandbox(&home),
        Command::PodInit { .. } | Command::Proxy(_) | Command::Page { .. } => Ok(ExitCode::FAILURE),
    }
}

/// Fires when the supervisor is gone (standard input ends) or a signal asks to end.
///
/// Must be called inside a runtime.
fn end_with_supervisor() -> CancellationToken {
    let token = CancellationToken::new();
    let ended = token.clone();
    std::thread::spawn(move || {
        // Nothing is ever written to this pipe; the read returns when its other end is closed.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        ended.cancel();
    });
    let asked = token.clone();
    tokio::spawn(async move {
        interrupted().await;
        asked.cancel();
    });
    token
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut int), Ok(mut term)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
}

/// Logs of the long-running parts: lines of text on stderr, filtered by `AVIARY_LOG`.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("AVIARY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    log_with(filter);
}

fn log_with(filter: tracing_subscriber::EnvFilter) {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

//! The data plane: sidecar, gateway, or a proxy on its own.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio_util::sync::CancellationToken;

use crate::cli::{ProxyArgs, Workers};
use crate::{allocator, output};

/// Serves until a signal asks to end, then drains.
pub(crate) fn run(args: &ProxyArgs) -> Result<ExitCode> {
    let mut config = match &args.config {
        Some(file) => from_file(file, args.workers)?,
        None => aviary_proxy::Config::from_env()
            .context("no `--config FILE` is given; see `aviary proxy --help`")?,
    };
    config.life.hand_over.clone_from(&args.hand_over);
    config.life.memory_limit_bytes = args.memory_limit;
    config.drain_limit = Duration::from_secs(args.drain_limit);
    if let (true, Some(file)) = (args.check, &args.config) {
        output::note(&format!("{}: good", file.display()));
        return Ok(ExitCode::SUCCESS);
    }
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log_level)
        .with_context(|| format!("--log-level `{}`", args.log_level))?;
    super::log_with(filter);
    allocator::give_back_when_idle();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let cancel = CancellationToken::new();
            let asked = cancel.clone();
            tokio::spawn(async move {
                super::interrupted().await;
                asked.cancel();
            });
            aviary_proxy::run(config, cancel).await?;
            Ok(ExitCode::SUCCESS)
        })
}

fn from_file(file: &Path, workers: Workers) -> Result<aviary_proxy::Config> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read `{}`", file.display()))?;
    let bootstrap = aviary_proxy::Bootstrap::read(&text)
        .map_err(|error| anyhow!("{}: {error}", file.display()))?;
    let workers = match workers {
        Workers::Count(count) => count,
        Workers::PerCore => std::thread::available_parallelism()?.get(),
    };
    aviary_proxy::Config::standalone(bootstrap, workers)
        .map_err(|error| anyhow!("{}: {error}", file.display()))
}

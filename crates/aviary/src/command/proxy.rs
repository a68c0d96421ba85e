//! The data plane: sidecar and gateway.

use std::process::ExitCode;

use anyhow::{Result, bail};

/// Serves until a signal asks to end, then drains.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    if let Some(unknown) = args
        .iter()
        .find(|arg| !matches!(arg.as_str(), "sidecar" | "router"))
    {
        bail!(
            "`{unknown}` is not known; the node agent starts `aviary proxy` with everything in the environment, and \
             a standalone mode is not there yet"
        );
    }
    let config = aviary_proxy::Config::from_env()?;
    super::start_logging();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(async {
            let cancel = tokio_util::sync::CancellationToken::new();
            let asked = cancel.clone();
            tokio::spawn(async move {
                super::interrupted().await;
                asked.cancel();
            });
            aviary_proxy::run(config, cancel).await?;
            Ok(ExitCode::SUCCESS)
        })
}

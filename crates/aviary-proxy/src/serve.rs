//! One proxy from start to drained: the control side and its workers.

use tokio_util::sync::CancellationToken;

use crate::Config;

/// Why a proxy could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket of the proxy's own could not be opened.
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen {
        /// What it is for, e.g. `readiness`.
        purpose: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Serves until `drain` is cancelled and every stream has ended, at most `config.drain_limit`.
///
/// # Errors
/// When a socket of the proxy's own cannot be opened. Trouble with the control plane is not an
/// error: the last good configuration is served meanwhile.
pub async fn run(config: Config, drain: CancellationToken) -> Result<(), Error> {
    let _ = config;
    drain.cancelled().await;
    Ok(())
}

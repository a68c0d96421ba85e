//! The control plane: ADS server, push, status, controller manager.
//!
//! It reaches objects only through [`kube::Client`] and proxies only through xDS. What a proxy is
//! configured with is decided by `aviary-translate`, what is sent when by `aviary-xds`; here are
//! the watches, the streams and the writes.
//!
//! Read first: [`Config`], [`run`], [`manager`].

pub mod manager;
mod mesh;
pub mod ads;
mod status;
mod withdrawal;

use std::{path::PathBuf, sync::Arc};

use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the control plane needs.
#[derive(Clone)]
pub struct Config {
    /// The API server.
    pub client: Client,
    /// Where the ADS server listens (a unix socket; a stale one is replaced).
    pub xds_socket: PathBuf,
    /// Key of the proxies' tokens: a token is `hex(HMAC-SHA256(key, node id))`.
    pub xds_key: [u8; 32],
}

/// Why the control plane ended before it was cancelled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The controllers failed.
    #[error("the controller manager failed: {0}")]
    Manager(#[from] manager::Error),
    /// The ADS server failed.
    #[error("the ADS server failed: {0}")]
    Ads(#[from] ads::Error),
    /// A task panicked.
    #[error("a task of the control plane failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs controllers and mesh control plane until `cancel`.
///
/// # Errors
/// When a part ends by itself; the others are then stopped.
pub async fn run(config: Config, cancel: CancellationToken) -> Result<(), Error> {
    let stop = cancel.child_token();
    let publisher = Arc::new(mesh::Publisher::default());
    let proxies = Arc::new(ads::Proxies::default());
    let (written, changes) = tokio::sync::watch::channel(mesh::Objects::default());
    let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
    {
        let (client, stop) = (config.client.clone(), stop.clone());
        tasks.spawn(async move { Ok(manager::run(client, stop).await?) });
    }
    {
        let (client, stop) = (config.client.clone(), stop.clone());
        let publisher = Arc::clone(&publisher);
        tasks.spawn(async move {
            mesh::run(client, &publisher, &written, &stop).await;
            Ok(())
        });
    }
    {
        let (client, stop) = (config.client.clone(), stop.clone());
        let (publisher, proxies) = (Arc::clone(&publisher), Arc::clone(&proxies));
        let changes = changes.clone();
        tasks.spawn(async move {
            withdrawal::run(client, &publisher, &proxies, changes, &stop).await;
            Ok(())
        });
    }
    {
        let (client, stop) = (config.client.clone(), stop.clone());
        let (publisher, proxies) = (Arc::clone(&publisher), Arc::clone(&proxies));
        tasks.spawn(async move {
            status::run(client, &publisher, &proxies, changes, &stop).await;
            Ok(())
        });
    }
    {
        let server = ads::Server::new(publisher, proxies, config.xds_key, stop.clone());
        let socket = config.xds_socket;
        tasks.spawn(async move { Ok(server.run(&socket).await?) });
    }
    let mut outcome = Ok(());
    while let Some(ended) = tasks.join_next().await {
        stop.cancel();
        let ended = ended.map_err(Error::from).and_then(|ended| ended);
        outcome = outcome.and(ended);
    }
    outcome
}

//! One proxy from start to drained: the control side and its workers.

mod workers;

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use aviary_telemetry::access_log::line::Entry;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, Site};
use crate::config::Ports;
use crate::snapshot::Snapshot;
use crate::state::{self, Store};
use crate::{Config, socket, tls, xds};

pub(crate) use workers::Handles;

/// Log lines that may wait to be written; over it they are dropped and counted.
const LOG_QUEUE: usize = 8192;

/// Log lines written at once.
const LOG_BATCH: usize = 256;

/// Why a proxy could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket of the proxy's own could not be opened.
    #[error("cannot listen on {address} for {purpose}: {source}")]
    Listen {
        /// What it is for, e.g. `readiness`.
        purpose: String,
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A thread for traffic could not be started.
    #[error("cannot start a worker: {0}")]
    Worker(#[source] std::io::Error),
}

/// Serves until `drain` is cancelled and every stream has ended, at most `config.drain_limit`.
///
/// Runs on any tokio runtime; traffic has threads of its own. Called once per process when
/// `config.inherited` is not empty.
///
/// # Errors
/// When a socket of the proxy's own or of a fixed listener cannot be opened, or a thread not
/// started. Trouble with the control plane is not an error: the last good configuration is served
/// meanwhile.
pub async fn run(config: Config, drain: CancellationToken) -> Result<(), Error> {
    let sites = sites(&config.ports)?;
    try_listeners(&config)?;

    let (publish, snapshots) = watch::channel(None);
    let (log, lines) = mpsc::channel(LOG_QUEUE);
    let workers = workers::start(&config, &snapshots, &log, &drain).map_err(Error::Worker)?;
    drop(log);

    let store = config.state.as_deref().map(Store::new);
    if let Some(mesh) = store.as_ref().and_then(Store::load) {
        tracing::info!("serving the last good configuration until the control plane answers");
        publish.send_replace(Some(Arc::new(Snapshot::new(mesh, None))));
    } else if config.xds.is_none() || !config.fixed.listeners.is_empty() {
        let fixed = Arc::clone(&config.fixed);
        publish.send_replace(Some(Arc::new(Snapshot::new(fixed, None))));
    }

    let keeper = store.map(|store| tokio::spawn(state::keep(store, publish.subscribe())));

    let status = Arc::new(xds::Status::default());
    let pages = Arc::new(Admin {
        version: env!("CARGO_PKG_VERSION"),
        node: config.node.id.clone(),
        started: Instant::now(),
        config: config.clone(),
        snapshots: snapshots.clone(),
        workers: workers.handles(),
        xds: Arc::clone(&status),
        drain: drain.clone(),
        totals: Mutex::default(),
    });
    let mut control = JoinSet::new();
    control.spawn(announce(config.clone(), workers.handles(), snapshots));
    for (site, socket) in sites {
        control.spawn(admin::serve(socket, Arc::clone(&pages), site));
    }
    drop(pages);
    control.spawn(tls::watch_files(publish.clone()));
    if let Some(server) = config.xds.clone() {
        let client = xds::Client::new(&config, server, publish, status);
        control.spawn(client.run());
    } else {
        control.spawn(async move {
            // Keeps the last configuration published.
            publish.closed().await;
        });
    }
    let wanted = config.access_log;
    let writer = tokio::task::spawn_blocking(move || write_log(lines, wanted));
    workers.ended().await;
    control.shutdown().await;
    // Nothing is published any more: the last configuration is kept, then this ends too.
    if let Some(keeper) = keeper {
        drop(keeper.await);
    }
    // The workers are gone, so the lines end; a writer that broke has said so.
    drop(writer.await);
    Ok(())
}

/// Opens the sockets of the proxy's own pages.
fn sites(ports: &Ports) -> Result<Vec<(Site, TcpListener)>, Error> {
    let wanted = [
        (Site::Admin, "administration", ports.admin),
        (Site::Metrics, "metrics", ports.metrics),
        (Site::Readiness, "readiness", ports.readiness),
    ];
    let mut sites = Vec::new();
    for (site, purpose, address) in wanted {
        if let Some(address) = address {
            sites.push((site, listen(purpose, address)?));
        }
    }
    Ok(sites)
}

/// A proxy on its own refuses to start when an address of its file is taken; one in a mesh tries
/// again, because its addresses come and go.
fn try_listeners(config: &Config) -> Result<(), Error> {
    let bound = config.fixed.listeners.values();
    for listener in bound.filter(|listener| listener.bind_to_port) {
        listen(&format!("listener `{}`", listener.name), listener.address)?;
    }
    Ok(())
}

fn listen(purpose: &str, address: SocketAddr) -> Result<TcpListener, Error> {
    socket::listen(address, false).map_err(|source| Error::Listen {
        purpose: purpose.to_owned(),
        address,
        source,
    })
}

/// Says once that every worker serves.
async fn announce(
    config: Config,
    workers: Handles,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
) {
    if !workers.ready().await {
        return;
    }
    let snapshot = snapshots.borrow().clone();
    let listening: Vec<_> = snapshot
        .iter()
        .flat_map(|snapshot| snapshot.mesh().listeners.values())
        .filter(|listener| listener.bind_to_port)
        .map(|listener| listener.address.to_string())
        .collect();
    tracing::info!(
        listening = listening.join(" "),
        admin = config.ports.admin.map(tracing::field::display),
        workers = config.workers,
        "ready"
    );
}

/// Writes access log lines to standard output, many at a time when they come fast, until the
/// workers are gone. It has a thread of its own: whoever reads them may be slow.
fn write_log(mut lines: mpsc::Receiver<Entry>, wanted: bool) {
    let mut batch = Vec::new();
    while lines.blocking_recv_many(&mut batch, LOG_BATCH) > 0 {
        let text: String = batch.drain(..).map(|entry: Entry| entry.text()).collect();
        if !wanted {
            continue;
        }
        let mut out = std::io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            tracing::warn!(%error, "cannot write the access log");
        }
    }
}

#[cfg(test)]
mod tests;

//! One proxy from start to drained: the control side and its workers.

mod telling;
mod workers;

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use aviary_mesh::MeshConfig;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin, Site};
use crate::config::Ports;
use crate::life::hand_over::{self, Handed, Purpose, Taking};
use crate::life::{self, Succession, succession};
use crate::snapshot::Snapshot;
use crate::state::{self, Store};
use crate::{Config, socket, tls, xds};

pub(crate) use telling::Told;
pub(crate) use workers::Handles;

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
    /// The sockets of the proxy that runs could not be taken over.
    #[error("cannot take over from the proxy at `{}`: {source}", path.display())]
    HandOver {
        /// Where it was asked.
        path: PathBuf,
        /// What went wrong.
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
    let mut taking = take_over(&config).await?;
    let follows = taking.is_some();
    let mut handed = taking.as_mut().map(Taking::sockets).unwrap_or_default();
    let sites = sites(&config.ports, &mut handed)?;
    try_listeners(&config, &handed)?;
    let parts = succession::share_out(&mut handed, config.workers).map_err(Error::Worker)?;
    let gate = life::gate();

    let (publish, snapshots) = watch::channel(None);
    let (queues, told, tellers) =
        telling::start(&config, snapshots.clone()).map_err(Error::Worker)?;
    let workers = workers::start(&config, &snapshots, &queues, &drain, parts, &gate)
        .map_err(Error::Worker)?;
    drop(queues);

    let store = config.state.as_deref().map(Store::new);
    let first = first(&config, store.as_ref());
    publish.send_replace(first.map(|mesh| Arc::new(Snapshot::new(mesh, None))));
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
        gate: Arc::clone(&gate),
        told,
    });
    let mut control = JoinSet::new();
    control.spawn(announce(config.clone(), workers.handles(), snapshots));
    control.spawn(life::watch(gate, config.life.memory_limit_bytes));
    let followed = CancellationToken::new();
    if let Some(path) = config.life.hand_over.clone() {
        control.spawn(succession::run(Succession {
            path,
            workers: workers.handles(),
            pages: copies(&sites).map_err(Error::Worker)?,
            drain: drain.clone(),
            followed: followed.clone(),
            taking,
        }));
    }
    for (site, socket) in sites {
        let (pages, followed) = (Arc::clone(&pages), followed.clone());
        control.spawn(async move {
            if follows {
                // Until then the older proxy answers on the same socket.
                pages.workers.ready().await;
            }
            admin::serve(socket, pages, site, followed).await;
        });
    }
    drop(pages);
    control.spawn(tls::watch_files(publish.clone()));
    let handles = workers.handles();
    control.spawn(Box::pin(follow(config, publish, handles, status, followed)));
    workers.ended().await;
    control.shutdown().await;
    // Nothing is published any more: the last configuration is kept, then this ends too.
    if let Some(keeper) = keeper {
        drop(keeper.await);
    }
    tellers.ended().await;
    Ok(())
}

/// What is served from the start; `None` waits for the control plane.
fn first(config: &Config, store: Option<&Store>) -> Option<Arc<MeshConfig>> {
    if let Some(mesh) = store.and_then(Store::load) {
        tracing::info!("serving the last good configuration until the control plane answers");
        return Some(mesh);
    }
    let alone = config.xds.is_none() || !config.fixed.listeners.is_empty();
    alone.then(|| Arc::clone(&config.fixed))
}

/// Follows the control plane until a newer proxy does.
async fn follow(
    config: Config,
    publish: xds::Publish,
    workers: Handles,
    status: Arc<xds::Status>,
    followed: CancellationToken,
) {
    let Some(server) = config.xds.clone() else {
        // Keeps the last configuration published.
        return publish.closed().await;
    };
    let client = xds::Client::new(&config, server, publish, workers, status);
    // The newer proxy is the one that the control plane speaks with.
    followed.run_until_cancelled(Box::pin(client.run())).await;
}

/// Asks the proxy that runs, if this one is to follow another.
async fn take_over(config: &Config) -> Result<Option<Taking>, Error> {
    let Some(path) = config.life.hand_over.clone() else {
        return Ok(None);
    };
    let asked = path.clone();
    let taken = tokio::task::spawn_blocking(move || hand_over::take(&asked)).await;
    taken
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(|source| Error::HandOver { path, source })
}

/// Opens the sockets of the proxy's own pages, or takes those of an older proxy.
fn sites(ports: &Ports, handed: &mut Vec<Handed>) -> Result<Vec<(Site, TcpListener)>, Error> {
    let wanted = [
        (Site::Admin, ports.admin),
        (Site::Metrics, ports.metrics),
        (Site::Readiness, ports.readiness),
    ];
    let mut sites = Vec::new();
    for (site, address) in wanted {
        let Some(address) = address else { continue };
        let purpose = Purpose::Pages(site.name().to_owned());
        let is_it = |it: &mut Handed| {
            it.purpose == purpose && it.socket.local_addr().is_ok_and(|at| at == address)
        };
        let socket = match handed.extract_if(.., is_it).next() {
            Some(older) => socket::adopt(older.socket).map_err(|source| Error::Listen {
                purpose: site.name().to_owned(),
                address,
                source,
            })?,
            None => listen(site.name(), address)?,
        };
        sites.push((site, socket));
    }
    Ok(sites)
}

/// Copies of the sockets of the proxy's own pages, by name.
fn copies(sites: &[(Site, TcpListener)]) -> std::io::Result<Vec<(String, std::net::TcpListener)>> {
    sites
        .iter()
        .map(|(site, socket)| {
            let copy = socket.as_fd().try_clone_to_owned()?;
            Ok((site.name().to_owned(), copy.into()))
        })
        .collect()
}

/// A proxy on its own refuses to start when an address of its file is taken; one in a mesh tries
/// again, because its addresses come and go.
fn try_listeners(config: &Config, handed: &[Handed]) -> Result<(), Error> {
    let is_handed = |at: SocketAddr| {
        let ours =
            |it: &Handed| matches!(it.purpose, Purpose::Traffic { address, .. } if address == at);
        handed.iter().any(ours)
    };
    let bound = config.fixed.listeners.values();
    for listener in bound.filter(|it| it.bind_to_port && !is_handed(it.address)) {
        socket::try_bind(listener.address).map_err(|source| Error::Listen {
            purpose: format!("listener `{}`", listener.name),
            address: listener.address,
            source,
        })?;
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
    // The code of a debug build is several times as large, and would come back while tests look at
    // what a peer can make the proxy hold.
    if !cfg!(debug_assertions) {
        life::forget_start();
    }
}

#[cfg(test)]
mod tests;

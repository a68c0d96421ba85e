//! Starting and ending what writes logs and exports spans.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aviary_mesh::endpoint::Health;
use aviary_mesh::{Discovery, MeshConfig};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::otlp::{Counts, Exporter, Lookup};
use crate::record::{Queue, Queues, Spares, writer};
use crate::snapshot::Snapshot;
use crate::{Config, ProxyKind};

/// After the last request, log lines and spans have this long to leave.
const FAREWELL: Duration = Duration::from_secs(2);

/// What writes logs and exports spans.
pub(super) struct Tellers {
    logged: oneshot::Receiver<()>,
    exporter: JoinHandle<()>,
}

/// What became of log lines and spans.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    written: Arc<writer::Written>,
    exported: Arc<Counts>,
    dropped_lines: Arc<AtomicU64>,
    dropped_spans: Arc<AtomicU64>,
}

impl Told {
    /// In the text form of `/stats`.
    pub(crate) fn text(&self) -> String {
        let count = |dropped: &AtomicU64| dropped.load(Ordering::Relaxed);
        self.written.text(count(&self.dropped_lines))
            + &self.exported.text(count(&self.dropped_spans))
    }
}

/// Starts both; gives where the workers put what they have to tell.
///
/// # Errors
/// The system's, when it gives no thread.
pub(super) fn start(
    config: &Config,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
) -> io::Result<(Queues, Told, Tellers)> {
    let (lines, to_write) = Queue::new();
    let (spans, to_export) = Queue::new();
    let spares = Spares::default();
    let (written, logged) = writer::start(to_write, spares.clone(), config.access_log)?;
    let marked = config.kind == ProxyKind::Sidecar;
    let exporter = Exporter::new(
        to_export,
        config.node.id.clone(),
        marked,
        collectors(snapshots),
    );
    let told = Told {
        written,
        exported: exporter.counts(),
        dropped_lines: lines.dropped(),
        dropped_spans: spans.dropped(),
    };
    let tellers = Tellers {
        logged,
        exporter: tokio::spawn(Box::pin(exporter.run())),
    };
    let queues = Queues {
        lines,
        spares,
        spans,
    };
    Ok((queues, told, tellers))
}

impl Tellers {
    /// Waits until everything was told, once the workers are gone; but nobody may be there to take
    /// it.
    pub(super) async fn ended(self) {
        let farewell = async {
            // One that broke has ended too.
            drop(self.logged.await);
            drop(self.exporter.await);
        };
        if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
            tracing::warn!("the last log lines or spans are lost: nobody takes them");
        }
    }
}

/// Finds collectors in the configuration of the moment.
fn collectors(snapshots: watch::Receiver<Option<Arc<Snapshot>>>) -> Lookup {
    Box::new(move |cluster| {
        let snapshot = snapshots.borrow().clone();
        let snapshot = snapshot.ok_or("does not exist")?;
        endpoints(snapshot.mesh(), cluster)
    })
}

/// Where a cluster of collectors is reached; else why it cannot be.
fn endpoints(mesh: &MeshConfig, cluster: &str) -> Result<Vec<SocketAddr>, String> {
    let policy = mesh.clusters.get(cluster).ok_or("does not exist")?;
    let endpoints = match &policy.discovery {
        Discovery::Static(endpoints) => endpoints.as_slice(),
        Discovery::Eds => {
            let set = mesh.endpoints.get(cluster);
            set.map_or(&[][..], |set| &set.endpoints)
        }
        Discovery::OriginalDst | Discovery::Dns(_) => {
            return Err("must have endpoints of its own for spans to be sent there".to_owned());
        }
    };
    let healthy = endpoints.iter().filter(|it| it.health == Health::Healthy);
    let (plain, secure): (Vec<_>, Vec<_>) =
        healthy.partition(|it| policy.tls.of(it.mesh_tls).is_none());
    if plain.is_empty() && !secure.is_empty() {
        return Err("wants TLS, by which spans cannot be sent".to_owned());
    }
    Ok(plain.into_iter().map(|it| it.address).collect())
}

//! One thread that carries traffic: its listeners, connections, pools, counters.

mod listen;

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aviary_http::ResponseHead;
use aviary_mesh::cluster::ServiceLabels;
use aviary_mesh::endpoint::WorkloadLabels;
use aviary_telemetry::peer::{self, Peers};
use aviary_telemetry::recorder::{Batch, Recorder};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::ProxyKind;
use crate::date::Dates;
use crate::life::Gate;
use crate::record::{Outbox, Queues};
use crate::snapshot::Snapshot;
use crate::upstream::{Upstreams, report};

/// Idle connections are looked at this often.
const SWEEP: Duration = Duration::from_secs(5);

/// Heads whose memory is kept; each may have the size of the largest head.
const HEADS: usize = 8;

/// What waits to be logged or exported goes over after this long.
const FLUSH: Duration = Duration::from_millis(100);

/// A connection without a request is closed so long after the drain began. Until then a client
/// that asks once more is answered and told that the connection ends; one that was closed at once
/// would lose what it sent at that moment.
const QUIET_END: Duration = Duration::from_secs(1);

/// What a worker is started with.
pub(crate) struct Options {
    pub(crate) kind: ProxyKind,
    /// What is said of the workload it stands for.
    pub(crate) labels: WorkloadLabels,
    /// How many workers there are.
    pub(crate) workers: usize,
    /// Sockets from elsewhere, by the port of their listener.
    pub(crate) inherited: Vec<(u16, std::net::TcpListener)>,
    /// Sockets of an older proxy, for listeners at their addresses.
    pub(crate) handed: Vec<(SocketAddr, std::net::TcpListener)>,
    /// The limits of the process.
    pub(crate) gate: Arc<Gate>,
    /// First number of its random sequence.
    pub(crate) seed: u64,
    /// A drain takes at most this long.
    pub(crate) drain_limit: Duration,
}

/// How the control side and a worker speak with each other.
pub(crate) struct Channels {
    /// The configuration; `None` until the first one.
    pub(crate) snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Questions.
    pub(crate) queries: mpsc::Receiver<Query>,
    /// Where log lines and spans go; full means dropped and counted.
    pub(crate) queues: Queues,
    /// Ends the work.
    pub(crate) drain: CancellationToken,
    /// Raised by one once the first configuration is in use.
    pub(crate) ready: Arc<watch::Sender<usize>>,
}

/// A question to a worker, answered between requests and under the newest configuration.
pub(crate) enum Query {
    /// Nothing but to be answered: what was published before is in use then.
    InUse(oneshot::Sender<()>),
    /// What it counted since it was last asked.
    Metrics(oneshot::Sender<Batch>),
    /// Its clusters, in the text form of `/clusters`.
    Clusters(oneshot::Sender<String>),
    /// Its counters, in the text form of `/stats`.
    Stats(oneshot::Sender<String>),
    /// Copies of its listening sockets.
    Sockets(oneshot::Sender<Vec<Listening>>),
}

/// A listening socket of a worker.
pub(crate) struct Listening {
    /// The listener's address.
    pub(crate) address: SocketAddr,
    /// It was inherited, for the listener of this port.
    pub(crate) inherited: Option<u16>,
    /// A copy of the socket.
    pub(crate) socket: std::net::TcpListener,
}

/// What everything on the thread shares.
pub(crate) struct Worker {
    kind: ProxyKind,
    labels: Arc<WorkloadLabels>,
    peer_header: Option<Vec<u8>>,
    snapshot: RefCell<Arc<Snapshot>>,
    upstreams: Upstreams,
    recorder: RefCell<Recorder>,
    peers: RefCell<Peers>,
    #[expect(
        clippy::vec_box,
        reason = "a head goes in and out without being copied"
    )]
    heads: RefCell<Vec<Box<ResponseHead>>>,
    unknown: (Arc<WorkloadLabels>, Arc<ServiceLabels>),
    outbox: Outbox,
    rng: RefCell<SmallRng>,
    epoch: Instant,
    /// When the clock was read last.
    recent: Cell<Instant>,
    drain: CancellationToken,
    quiet_end: CancellationToken,
    streams: TaskTracker,
    draining: Cell<bool>,
    quiet_ended: Cell<bool>,
    gate: Arc<Gate>,
    dates: Dates,
}

impl Worker {
    fn new(options: &Options, queues: Queues) -> Self {
        // Outside of a mesh nobody wants to know.
        let peer_header = (options.kind != ProxyKind::Standalone)
            .then(|| peer::encode(&options.labels).into_bytes());
        Self {
            kind: options.kind,
            labels: Arc::new(options.labels.clone()),
            peer_header,
            snapshot: RefCell::default(),
            upstreams: Upstreams::default(),
            recorder: RefCell::default(),
            peers: RefCell::default(),
            heads: RefCell::default(),
            unknown: <(Arc<_>, Arc<_>)>::default(),
            outbox: Outbox::new(queues),
            rng: RefCell::new(SmallRng::seed_from_u64(options.seed)),
            epoch: Instant::now(),
            recent: Cell::new(Instant::now()),
            drain: CancellationToken::new(),
            quiet_end: CancellationToken::new(),
            streams: TaskTracker::new(),
            draining: Cell::new(false),
            quiet_ended: Cell::new(false),
            gate: Arc::clone(&options.gate),
            dates: Dates::default(),
        }
    }

    /// Dates for replies.
    pub(crate) fn dates(&self) -> &Dates {
        &self.dates
    }

    /// Time since the worker's start.
    pub(crate) fn now(&self) -> Duration {
        self.look().duration_since(self.epoch)
    }

    /// Reads the clock.
    pub(crate) fn look(&self) -> Instant {
        let now = Instant::now();
        self.recent.set(now);
        now
    }

    /// What the clock said when it was read last: at the edges of requests, so while one is served
    /// without a wait that is the time of now.
    pub(crate) fn recent(&self) -> Instant {
        self.recent.get()
    }

    /// The same as time since the worker's start.
    pub(crate) fn recently(&self) -> Duration {
        self.recent.get().duration_since(self.epoch)
    }

    /// The configuration of now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// Whether a configuration is the one of now.
    pub(crate) fn is_current(&self, snapshot: &Arc<Snapshot>) -> bool {
        Arc::ptr_eq(&self.snapshot.borrow(), snapshot)
    }

    /// The clusters.
    pub(crate) fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// Whether its own connections carry the mark.
    pub(crate) fn marks(&self) -> bool {
        self.kind == ProxyKind::Sidecar
    }

    /// What is said of the workload it stands for.
    pub(crate) fn own_labels(&self) -> Arc<WorkloadLabels> {
        Arc::clone(&self.labels)
    }

    /// The same as a header for other proxies; `None` outside of a mesh.
    pub(crate) fn peer_header(&self) -> Option<&[u8]> {
        self.peer_header.as_deref()
    }

    /// What another proxy says of its workload.
    pub(crate) fn meet(&self, value: &str) -> Option<Arc<WorkloadLabels>> {
        self.peers.borrow_mut().meet(value)
    }

    /// A workload of which nothing is known.
    pub(crate) fn unknown_labels(&self) -> Arc<WorkloadLabels> {
        Arc::clone(&self.unknown.0)
    }

    /// A service of which nothing is known.
    pub(crate) fn unknown_service(&self) -> Arc<ServiceLabels> {
        Arc::clone(&self.unknown.1)
    }

    /// Cancelled when the work is to end.
    pub(crate) fn drain(&self) -> &CancellationToken {
        &self.drain
    }

    /// Cancelled some time after that, when a connection that waits for a request is closed.
    pub(crate) fn quiet_end(&self) -> &CancellationToken {
        &self.quiet_end
    }

    /// Whether [`Self::quiet_end`] is cancelled.
    pub(crate) fn quiet_ended(&self) -> &Cell<bool> {
        &self.quiet_ended
    }

    /// The limits of the process.
    pub(crate) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Whether the work is to end: connections close with the replies under way.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The same, for those that wait for it by [`Self::drain`].
    pub(crate) fn draining(&self) -> &Cell<bool> {
        &self.draining
    }

    /// A head to read a reply into.
    #[expect(clippy::unnecessary_box_returns, reason = "as it is kept")]
    pub(crate) fn take_head(&self) -> Box<ResponseHead> {
        self.heads.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps the memory of a head for the next reply.
    pub(crate) fn keep_head(&self, head: Box<ResponseHead>) {
        let mut heads = self.heads.borrow_mut();
        if heads.len() < HEADS {
            heads.push(head);
        }
    }

    /// Draws random numbers; `draw` must not come back here.
    pub(crate) fn random<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        draw(&mut self.rng.borrow_mut())
    }

    /// Counts.
    pub(crate) fn metrics(&self, count: impl FnOnce(&mut Recorder)) {
        count(&mut self.recorder.borrow_mut());
    }

    /// Log lines and spans on their way to the control side.
    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Runs something that must end before the worker does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        drop(self.streams.spawn_local(task));
    }

    /// Takes the newest configuration into use, and gives it unless it was in use before.
    fn renewed(
        &self,
        snapshots: &mut watch::Receiver<Option<Arc<Snapshot>>>,
    ) -> Option<Arc<Snapshot>> {
        let newest = snapshots.borrow_and_update().clone();
        let snapshot = newest.filter(|newest| !self.is_current(newest))?;
        // Clusters first: what the new routes name must be there.
        self.upstreams.apply(snapshot.mesh(), self.now());
        *self.snapshot.borrow_mut() = Arc::clone(&snapshot);
        Some(snapshot)
    }

    fn answer(&self, query: Query, listeners: &listen::Listeners) {
        // Whoever asked may have gone; then there is nobody to tell.
        match query {
            Query::InUse(reply) => drop(reply.send(())),
            Query::Metrics(reply) => {
                drop(reply.send(self.recorder.borrow_mut().take(self.now())));
            }
            Query::Clusters(reply) => {
                let all = self.upstreams.all();
                drop(reply.send(all.iter().map(|upstream| report::text(upstream)).collect()));
            }
            Query::Stats(reply) => {
                let all = self.upstreams.all();
                let mut text: String = all.iter().map(|upstream| report::stats(upstream)).collect();
                let _ = writeln!(text, "downstream.streams: {}", self.streams.len());
                drop(reply.send(text));
            }
            Query::Sockets(reply) => drop(reply.send(listeners.sockets())),
        }
    }
}

/// Carries traffic by the configurations that arrive until the drain is over. Runs on a
/// [`tokio::runtime::LocalRuntime`].
pub(crate) async fn run(options: Options, channels: Channels) {
    let Channels {
        mut snapshots,
        mut queries,
        queues,
        drain,
        ready,
    } = channels;
    let worker = Rc::new(Worker::new(&options, queues));
    tokio::task::spawn_local(flush(Rc::clone(&worker)));
    let mut listeners = listen::Listeners::new(Rc::clone(&worker), options.workers > 1);
    listeners.hand(options.handed);
    let mut first = Some((options.inherited, ready));
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        let query = tokio::select! {
            () = drain.cancelled() => break,
            changed = snapshots.changed() => {
                if changed.is_err() {
                    break;
                }
                None
            }
            Some(query) = queries.recv() => Some(query),
            _ = sweep.tick() => {
                worker.upstreams.sweep(worker.now());
                listeners.retry(worker.snapshot().mesh());
                None
            }
        };
        if let Some(snapshot) = worker.renewed(&mut snapshots) {
            listeners.apply(snapshot.mesh());
            if let Some((inherited, ready)) = first.take() {
                listeners.drop_handed();
                for (port, socket) in inherited {
                    listeners.adopt(port, socket);
                }
                ready.send_modify(|count| *count += 1);
            }
        }
        if let Some(query) = query {
            worker.answer(query, &listeners);
        }
    }
    drain.cancel();
    listeners.close();
    finish(&worker, &listeners, snapshots, queries, options.drain_limit).await;
    worker.outbox.flush();
}

/// Ends with the last stream, or when `limit` is over.
async fn finish(
    worker: &Worker,
    listeners: &listen::Listeners,
    mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    mut queries: mpsc::Receiver<Query>,
    limit: Duration,
) {
    worker.draining.set(true);
    worker.drain.cancel();
    worker.streams.close();
    let mut quiet = std::pin::pin!(tokio::time::sleep(QUIET_END));
    let mut limit = std::pin::pin!(tokio::time::sleep(limit));
    loop {
        let query = tokio::select! {
            // There was a moment without streams; one that was accepted since is served too.
            () = worker.streams.wait() => {
                if worker.streams.is_empty() {
                    return;
                }
                None
            }
            () = &mut quiet, if !worker.quiet_ended.get() => {
                worker.quiet_ended.set(true);
                worker.quiet_end.cancel();
                None
            }
            () = &mut limit => {
                tracing::warn!(streams = worker.streams.len(), "drain ends with streams open");
                return;
            }
            Ok(()) = snapshots.changed() => None,
            Some(query) = queries.recv() => Some(query),
        };
        // Requests that still come are not to go to endpoints that have left since.
        worker.renewed(&mut snapshots);
        if let Some(query) = query {
            worker.answer(query, listeners);
        }
    }
}

/// Sends what is to be logged and exported a moment after it came, until it is dropped.
async fn flush(worker: Rc<Worker>) {
    loop {
        worker.outbox.begun().await;
        tokio::time::sleep(FLUSH).await;
        worker.outbox.flush();
    }
}

#[cfg(test)]
mod tests;

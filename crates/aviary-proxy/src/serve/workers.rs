//! Starting the threads that carry traffic.

use std::io;
use std::sync::Arc;

use rand::Rng as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::life::Gate;
use crate::life::succession::Part;
use crate::record::Queues;
use crate::snapshot::Snapshot;
use crate::worker::{self, Channels, Options, Query};
use crate::{Config, inherited};

/// Questions that may wait for a worker.
const QUERY_QUEUE: usize = 16;

/// How the workers are asked.
#[derive(Clone)]
pub(crate) struct Handles {
    queries: Vec<mpsc::Sender<Query>>,
    ready: watch::Receiver<usize>,
}

impl Handles {
    /// Whether every worker has a configuration in use.
    pub(crate) fn are_ready(&self) -> bool {
        *self.ready.borrow() >= self.queries.len()
    }

    /// Waits until every worker has a configuration in use; false when they ended before.
    pub(crate) async fn ready(&self) -> bool {
        let workers = self.queries.len();
        self.ready
            .clone()
            .wait_for(|ready| *ready >= workers)
            .await
            .is_ok()
    }

    /// Asks every worker; one that does not answer any more is left out.
    pub(crate) async fn ask<T>(&self, question: impl Fn(oneshot::Sender<T>) -> Query) -> Vec<T> {
        let mut answers = Vec::new();
        for worker in &self.queries {
            let (reply, answer) = oneshot::channel();
            if worker.send(question(reply)).await.is_ok()
                && let Ok(answer) = answer.await
            {
                answers.push(answer);
            }
        }
        answers
    }
}

/// The threads.
pub(super) struct Workers {
    handles: Handles,
    ended: Vec<oneshot::Receiver<()>>,
}

impl Workers {
    pub(super) fn handles(&self) -> Handles {
        self.handles.clone()
    }

    /// Waits until every worker has drained.
    pub(super) async fn ended(self) {
        for ended in self.ended {
            // A worker that broke has ended too.
            drop(ended.await);
        }
    }
}

/// Starts `config.workers` threads, each with its part of what an older proxy handed over.
///
/// # Errors
/// The system's, when it gives no thread or no descriptors.
pub(super) fn start(
    config: &Config,
    snapshots: &watch::Receiver<Option<Arc<Snapshot>>>,
    queues: &Queues,
    drain: &CancellationToken,
    handed: Vec<Part>,
    gate: &Arc<Gate>,
) -> io::Result<Workers> {
    let inherited = inherited::take(&config.inherited);
    let mut handed = handed.into_iter();
    let (ready, is_ready) = watch::channel(0);
    let ready = Arc::new(ready);
    let (mut queries, mut ended) = (Vec::new(), Vec::new());
    for number in 0..config.workers {
        let part = handed.next().unwrap_or_default();
        let mut sockets = part.inherited;
        for (port, socket) in &inherited {
            sockets.push((*port, socket.try_clone()?));
        }
        let options = Options {
            kind: config.kind,
            labels: config.workload_labels(),
            workers: config.workers,
            inherited: sockets,
            handed: part.handed,
            gate: Arc::clone(gate),
            // Differently seeded, so that the workers do not all choose the same endpoint.
            seed: rand::rng().random(),
            drain_limit: config.drain_limit,
        };
        let (ask, questions) = mpsc::channel(QUERY_QUEUE);
        let channels = Channels {
            snapshots: snapshots.clone(),
            queries: questions,
            queues: queues.clone(),
            drain: drain.clone(),
            ready: Arc::clone(&ready),
        };
        let (end, receiver) = oneshot::channel();
        std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || thread(options, channels, end))?;
        queries.push(ask);
        ended.push(receiver);
    }
    Ok(Workers {
        handles: Handles {
            queries,
            ready: is_ready,
        },
        ended,
    })
}

fn thread(options: Options, channels: Channels, end: oneshot::Sender<()>) {
    // Local: a task is woken without passing through another scheduler.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(tokio::runtime::LocalOptions::default());
    match runtime {
        Ok(runtime) => runtime.block_on(worker::run(options, channels)),
        Err(error) => tracing::error!(%error, "cannot start a worker's runtime"),
    }
    // Nobody waits any more when the whole proxy was dropped.
    let _ = end.send(());
}

//! The controller manager: watches objects, runs the planners of `aviary-plan`, writes what they ask.
//!
//! All decisions are in the planners. Here are the watches, a work queue, and one executor.
//! It runs on any API server that a [`kube::Client`] reaches.

use std::sync::Arc;
use std::time::Duration;

use aviary_plan::{Kind, kind};
use futures::FutureExt;
use kube::Client;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod desk;
mod discover;
mod execute;
mod queue;
mod record;
mod watch;

use desk::Desk;

/// Why the manager ended before it was cancelled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task of the manager panicked.
    #[error("a task of the controller manager failed: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Plans carried out at the same time.
const WORKERS: usize = 16;
/// Pause before discovery is tried again, or repeated after a change of the served kinds.
const REDISCOVER_AFTER: Duration = Duration::from_millis(500);

/// Runs all controllers until `cancel`; work in progress is finished first.
///
/// Safe to run again after any interruption: plans are made from the objects alone.
pub async fn run(client: Client, cancel: CancellationToken) -> Result<(), Error> {
    let (events, drafts) = mpsc::unbounded_channel();
    let desk = Arc::new(Desk::new(client.clone(), events));
    let mut tasks = JoinSet::new();
    tasks.spawn(record::run(client.clone(), drafts, cancel.clone()));
    tasks.spawn(watch_kinds(Arc::clone(&desk), cancel.clone()));
    work(&desk, &cancel).await?;
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

/// Keeps one watch for every kind the server has, following discovery.
async fn watch_kinds(desk: Arc<Desk>, cancel: CancellationToken) {
    let mut watches: JoinSet<Kind> = JoinSet::new();
    let mut watched: Vec<Kind> = Vec::new();
    let mut changes = desk.definitions();
    loop {
        let found = tokio::select! {
            () = cancel.cancelled() => break,
            found = discover::kinds(&desk.client) => found,
        };
        let complete = found.is_ok();
        let mut kinds = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "discovery failed; only built-in kinds are watched for now");
            Vec::new()
        });
        kinds.extend(kind::BUILT_IN);
        for kind in kinds {
            if watched
                .iter()
                .any(|old| old.same_kind(&kind.group, &kind.kind))
            {
                continue;
            }
            watched.push(kind.clone());
            watches.spawn(watch::run(Arc::clone(&desk), kind, cancel.clone()));
        }
        desk.expect(&watched);
        loop {
            let retry = tokio::time::sleep(REDISCOVER_AFTER);
            tokio::select! {
                () = cancel.cancelled() => break,
                changed = changes.changed() => {
                    if changed.is_ok() {
                        break;
                    }
                }
                Some(ended) = watches.join_next() => {
                    // The server no longer has the kind; it may come back with a new definition.
                    if let Ok(kind) = ended {
                        watched.retain(|old| *old != kind);
                    }
                }
                () = retry, if !complete => break,
            }
        }
        if cancel.is_cancelled() {
            break;
        }
    }
    watches.shutdown().await;
}

/// Takes work from the queue, one worker per key, until `cancel`.
async fn work(desk: &Arc<Desk>, cancel: &CancellationToken) -> Result<(), Error> {
    tokio::select! {
        () = cancel.cancelled() => return Ok(()),
        () = desk.synced() => {}
    }
    tracing::info!("controllers started");
    let mut workers = JoinSet::new();
    loop {
        while workers.len() < WORKERS {
            let Some(key) = desk.take() else { break };
            workers.spawn(execute::run(Arc::clone(desk), key).boxed());
        }
        let timer = desk.next_timer();
        tokio::select! {
            () = cancel.cancelled() => break,
            () = desk.changed() => {}
            Some(ended) = workers.join_next() => ended?,
            () = sleep_until(timer) => {}
        }
    }
    while let Some(ended) = workers.join_next().await {
        ended?;
    }
    Ok(())
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

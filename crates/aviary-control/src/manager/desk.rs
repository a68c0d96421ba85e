//! What the tasks of the manager share: the cache, the queue, and who is to be woken.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use aviary_plan::cache::{Change, Origin};
use aviary_plan::{Cache, EventDraft, Key, Kind, Plan, controller, kind};
use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::queue::Queue;

/// Shared state of the manager.
pub(super) struct Desk {
    /// The API server.
    pub(super) client: Client,
    state: Mutex<State>,
    changed: Notify,
    definitions: watch::Sender<u64>,
    synced: watch::Sender<bool>,
    events: mpsc::UnboundedSender<EventDraft>,
}

#[derive(Default)]
struct State {
    cache: Cache,
    queue: Queue,
    failures: HashMap<Key, String>,
    /// Kinds whose first list is still awaited; `None` before the kinds are known.
    pending: Option<HashSet<Kind>>,
    listed: HashSet<Kind>,
}

impl Desk {
    pub(super) fn new(client: Client, events: mpsc::UnboundedSender<EventDraft>) -> Self {
        Self {
            client,
            state: Mutex::default(),
            changed: Notify::new(),
            definitions: watch::Sender::new(0),
            synced: watch::Sender::new(false),
            events,
        }
    }

    /// Takes in the outcome of a list.
    pub(super) fn replace(&self, kind: &Kind, objects: &[Value]) {
        let mut state = self.state.lock();
        state.cache.graph.watch(kind);
        let changes = state.cache.replace(kind, objects, Timestamp::now());
        for change in &changes {
            self.follow(&mut state, change);
        }
        self.mark_listed(&mut state, kind);
    }

    /// Says that the server does not have the kind (any more).
    pub(super) fn forget(&self, kind: &Kind) {
        let mut state = self.state.lock();
        let changes = state.cache.replace(kind, &[], Timestamp::now());
        for change in &changes {
            self.follow(&mut state, change);
        }
        state.cache.graph.unwatch(kind);
        self.mark_listed(&mut state, kind);
    }

    /// Takes in an object as the server reported it.
    pub(super) fn apply(&self, kind: &Kind, object: &Value, origin: Origin) {
        let mut state = self.state.lock();
        if let Some(change) = state.cache.apply(kind, object, origin, Timestamp::now()) {
            self.follow(&mut state, &change);
        }
    }

    /// Takes out an object.
    pub(super) fn remove(&self, kind: &Kind, object: &Value, origin: Origin) {
        let meta = &object["metadata"];
        let text = |name: &str| meta[name].as_str().unwrap_or_default();
        let version = text("resourceVersion").parse().unwrap_or(0);
        let namespace = if kind.namespaced {
            text("namespace")
        } else {
            ""
        };
        let mut state = self.state.lock();
        let change =
            state
                .cache
                .remove(kind, namespace, text("name"), text("uid"), version, origin);
        if let Some(change) = change {
            self.follow(&mut state, &change);
        }
    }

    fn follow(&self, state: &mut State, change: &Change) {
        let keys = controller::affected(&state.cache, change);
        for key in keys {
            state.queue.add(key);
        }
        if change.kind == kind::CUSTOM_RESOURCE_DEFINITION {
            self.definitions.send_modify(|count| *count += 1);
        }
        self.changed.notify_one();
    }

    /// A receiver that changes whenever a custom resource definition does.
    pub(super) fn definitions(&self) -> watch::Receiver<u64> {
        self.definitions.subscribe()
    }

    /// Says which kinds must have been listed before any work begins.
    pub(super) fn expect(&self, kinds: &[Kind]) {
        let mut state = self.state.lock();
        if state.pending.is_none() {
            let listed = &state.listed;
            let pending = kinds
                .iter()
                .filter(|kind| !listed.contains(kind))
                .cloned()
                .collect();
            state.pending = Some(pending);
        }
        self.check_synced(&state);
    }

    fn mark_listed(&self, state: &mut State, kind: &Kind) {
        state.listed.insert(kind.clone());
        if let Some(pending) = &mut state.pending {
            pending.remove(kind);
        }
        self.check_synced(state);
        self.changed.notify_one();
    }

    fn check_synced(&self, state: &State) {
        if state.pending.as_ref().is_some_and(HashSet::is_empty) {
            self.synced.send_replace(true);
        }
    }

    /// Resolves once every expected kind was listed.
    pub(super) async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives as long as this desk.
        let _ = synced.wait_for(|synced| *synced).await;
    }

    /// Resolves when there may be new work since the last call.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The next key to work on.
    pub(super) fn take(&self) -> Option<Key> {
        self.state.lock().queue.take(Instant::now())
    }

    /// When the next key gets ready by time.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.state.lock().queue.next_timer()
    }

    /// Plans one key on the objects as they are known now.
    pub(super) fn plan(&self, key: &Key) -> Plan {
        let state = self.state.lock();
        let failure = state.failures.get(key).map(String::as_str);
        controller::plan(&state.cache, key, failure, Timestamp::now())
    }

    /// Gives a key back after its plan was carried out.
    pub(super) fn done(&self, key: &Key, wake_at: Option<Timestamp>) {
        let wake = wake_at.map(|at| {
            let pause = at.duration_since(Timestamp::now());
            Instant::now() + Duration::try_from(pause).unwrap_or_default()
        });
        let mut state = self.state.lock();
        state.failures.remove(key);
        state.queue.done(key, wake);
        self.changed.notify_one();
    }

    /// Gives a key back after a failure; `reason` is told to the next plan where given, `stale` says
    /// that only the cache was behind.
    pub(super) fn failed(&self, key: &Key, reason: Option<String>, stale: bool) {
        let mut state = self.state.lock();
        if let Some(reason) = reason {
            state.failures.insert(key.clone(), reason);
        }
        state.queue.failed(key, Instant::now(), stale);
        self.changed.notify_one();
    }

    /// Hands an event to the recorder.
    pub(super) fn record(&self, event: EventDraft) {
        // Without a recorder the manager is about to end.
        let _ = self.events.send(event);
    }
}

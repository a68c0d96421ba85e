//! The manager's part: a cache fed by a log with delays, a queue, one executor.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::{Faults, Server};
use crate::cache::{Change, Origin};
use crate::controller::{self, Key};
use crate::kind::BUILT_IN;
use crate::plan::{Action, EventDraft, Target};
use crate::{Cache, Kind};

pub(crate) struct Manager {
    pub(crate) cache: Cache,
    queue: BTreeSet<Key>,
    timers: BTreeMap<Key, Timestamp>,
    /// How far each kind's watch has come in the server's log; `None` before the list.
    seen: Option<BTreeMap<Kind, usize>>,
    pub(crate) events: Vec<EventDraft>,
}

impl Manager {
    pub(super) fn new() -> Self {
        Self {
            cache: Cache::default(),
            queue: BTreeSet::new(),
            timers: BTreeMap::new(),
            seen: None,
            events: Vec::new(),
        }
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.values().min().copied()
    }

    /// Lists once, then reports the next change of one kind; false if nothing is new.
    pub(super) fn deliver(
        &mut self,
        server: &Server,
        now: Timestamp,
        rng: &mut StdRng,
        doubled: f64,
    ) -> bool {
        let Some(seen) = &mut self.seen else {
            let mut seen = BTreeMap::new();
            for kind in BUILT_IN {
                let objects: Vec<Value> = server.all(&kind).cloned().collect();
                self.cache.graph.watch(&kind);
                let changes = self.cache.replace(&kind, &objects, now);
                self.follow_all(&changes);
                let length = server.changes(&kind);
                seen.insert(kind, length);
            }
            self.seen = Some(seen);
            return true;
        };
        let behind: Vec<Kind> = seen
            .iter()
            .filter(|(kind, at)| server.changes(kind) > **at)
            .map(|(kind, _)| kind.clone())
            .collect();
        if behind.is_empty() {
            return false;
        }
        let kind = behind[rng.random_range(0..behind.len())].clone();
        let at = seen[&kind];
        seen.insert(kind.clone(), at + 1);
        let happened = server.log[&kind][at].clone();
        let times = if doubled > 0.0 && rng.random_bool(doubled) {
            2
        } else {
            1
        };
        for _ in 0..times {
            let change = if happened.gone {
                self.take_out(&kind, &happened.object, Origin::Watch)
            } else {
                self.cache
                    .apply(&kind, &happened.object, Origin::Watch, now)
            };
            if let Some(change) = change {
                self.follow(&change);
            }
        }
        true
    }

    fn take_out(&mut self, kind: &Kind, object: &Value, origin: Origin) -> Option<Change> {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
        let namespace = if kind.namespaced { "default" } else { "" };
        let version = text("resourceVersion").parse().unwrap_or(0);
        self.cache
            .remove(kind, namespace, text("name"), text("uid"), version, origin)
    }

    fn follow_all<'a>(&mut self, changes: impl IntoIterator<Item = &'a Change>) {
        for change in changes {
            self.follow(change);
        }
    }

    fn follow(&mut self, change: &Change) {
        let keys = controller::affected(&self.cache, change);
        self.queue.extend(keys);
    }

    /// Plans one random key and carries the plan out, perhaps only in part.
    pub(super) fn work(
        &mut self,
        server: &mut Server,
        now: Timestamp,
        rng: &mut StdRng,
        faults: Faults,
    ) -> bool {
        let due = self
            .timers
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(key, _)| key.clone());
        let due: Vec<Key> = due.collect();
        for key in due {
            self.timers.remove(&key);
            self.queue.insert(key);
        }
        if self.queue.is_empty() {
            return false;
        }
        let index = rng.random_range(0..self.queue.len());
        let key = self.queue.iter().nth(index).expect("a key").clone();
        self.queue.remove(&key);
        self.timers.remove(&key);
        let plan = controller::plan(&self.cache, &key, None, now);
        for action in &plan.actions {
            if faults.restart > 0.0 && rng.random_bool(faults.restart) {
                let events = std::mem::take(&mut self.events);
                *self = Self {
                    events,
                    ..Self::new()
                };
                return true;
            }
            let refused = faults.conflict > 0.0 && rng.random_bool(faults.conflict);
            if refused || !self.carry_out(server, action, now, rng) {
                self.queue.insert(key);
                return true;
            }
        }
        if let Some(at) = plan.wake_at {
            self.timers.insert(key, at);
        }
        true
    }

    /// False if the server refused.
    fn carry_out(
        &mut self,
        server: &mut Server,
        action: &Action,
        now: Timestamp,
        rng: &mut StdRng,
    ) -> bool {
        let result = server.perform(action, now, rng);
        let Ok(left) = result else {
            if let Action::Delete { target, .. } = action {
                // Already gone, which is what was wanted.
                let change = self.take_out(&target.kind, &gone(target), Origin::Write);
                self.follow_all(&change);
                return true;
            }
            return false;
        };
        let change = match action {
            Action::Create { kind, event, .. } => {
                self.events.extend(event.clone());
                left.and_then(|made| self.cache.apply(kind, &made, Origin::Write, now))
            }
            Action::Update { kind, .. } | Action::UpdateStatus { kind, .. } => {
                left.and_then(|made| self.cache.apply(kind, &made, Origin::Write, now))
            }
            Action::Delete { target, event, .. } => {
                self.events.extend(event.clone());
                if let Some(left) = left {
                    self.cache.apply(&target.kind, &left, Origin::Write, now)
                } else {
                    self.take_out(&target.kind, &gone(target), Origin::Write)
                }
            }
            Action::Event(event) => {
                self.events.push(event.clone());
                None
            }
            // As in the manager, the watch reports the outcome of these.
            Action::Patch { .. } | Action::Bind { .. } | Action::Finalize { .. } => None,
        };
        self.follow_all(&change);
        true
    }

    /// Keys whose plan on the present cache would write something.
    pub(crate) fn restless(&self, now: Timestamp) -> Vec<(Key, Vec<Action>)> {
        let mut keys = BTreeSet::new();
        for kind in BUILT_IN {
            for entry in self.cache.graph.of_kind(&kind) {
                let change = Change {
                    kind: kind.clone(),
                    old: None,
                    new: Some(entry),
                };
                keys.extend(controller::affected(&self.cache, &change));
            }
        }
        let plans = keys.into_iter().map(|key| {
            let actions = controller::plan(&self.cache, &key, None, now).actions;
            (key, actions)
        });
        plans.filter(|(_, actions)| !actions.is_empty()).collect()
    }
}

/// What is known of an object that is gone.
fn gone(target: &Target) -> Value {
    json!({"metadata": {"name": target.name, "uid": target.uid}})
}

//! What readers share: the latest state, some older states, and the recent changes per resource.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use imbl::OrdMap;
use parking_lot::RwLock;
use tokio::sync::watch;

use super::{Error, Key, Object, Snapshot};

/// Changes kept per resource; a watcher further behind is cut and must list again.
const EVENTS_PER_RESOURCE: usize = 10_000;
/// Older states kept for consistent paging.
const SNAPSHOTS: usize = 4096;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was created.
    Created,
    /// It was changed.
    Updated,
    /// It was removed.
    Deleted,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Event {
    /// Kind of change.
    pub change: Change,
    /// The object after the change; for a removal its last state with the removal's revision.
    pub object: Arc<Object>,
    /// The object before the change. `None` for a creation, or if it was forgotten over a restart.
    pub previous: Option<Arc<Object>>,
}

#[derive(Debug)]
struct Topic {
    events: VecDeque<Event>,
    /// Every event after this revision is in `events`.
    floor: u64,
    latest: watch::Sender<u64>,
}

#[derive(Debug)]
pub(super) struct Shared {
    latest: Snapshot,
    older: VecDeque<Snapshot>,
    topics: HashMap<String, Topic>,
    /// Everything at or before this revision is forgotten.
    compacted: u64,
}

impl Shared {
    pub(super) fn new(objects: OrdMap<Key, Arc<Object>>, revision: u64, compacted: u64) -> Self {
        Self {
            latest: Snapshot { revision, objects },
            older: VecDeque::new(),
            topics: HashMap::new(),
            compacted,
        }
    }

    pub(super) fn latest(&self) -> Snapshot {
        self.latest.clone()
    }

    pub(super) fn at(&self, revision: u64) -> Result<Snapshot, Error> {
        let current = self.latest.revision;
        if revision > current {
            return Err(Error::Future {
                asked: revision,
                current,
            });
        }
        if revision == current {
            return Ok(self.latest());
        }
        let index = self.older.partition_point(|s| s.revision <= revision);
        match index.checked_sub(1).and_then(|i| self.older.get(i)) {
            Some(snapshot) => Ok(snapshot.clone()),
            None => Err(Error::Compacted {
                asked: revision,
                oldest: self.older.front().map_or(current, |s| s.revision),
            }),
        }
    }

    /// Adds an event of the log while opening, without waking anybody.
    pub(super) fn replay(&mut self, event: Event) {
        self.topic(event.object.key.resource()).push(event);
    }

    /// Every known change after a revision, in order.
    pub(super) fn since(&self, revision: u64) -> Vec<Event> {
        let all = self.topics.values().flat_map(|topic| &topic.events);
        let mut events: Vec<Event> = all
            .filter(|event| event.object.modified > revision)
            .cloned()
            .collect();
        events.sort_by_key(|event| event.object.modified);
        events
    }

    /// Makes a durable batch visible, all at once.
    pub(super) fn publish(
        &mut self,
        objects: OrdMap<Key, Arc<Object>>,
        revision: u64,
        events: Vec<Event>,
    ) {
        debug_assert!(revision > self.latest.revision, "revisions only grow");
        let previous = std::mem::replace(&mut self.latest, Snapshot { revision, objects });
        self.older.push_back(previous);
        if self.older.len() > SNAPSHOTS {
            self.older.pop_front();
        }
        let mut touched: Vec<String> = Vec::new();
        for event in events {
            let resource = event.object.key.resource().to_owned();
            self.topic(&resource).push(event);
            if !touched.contains(&resource) {
                touched.push(resource);
            }
        }
        for resource in touched {
            self.topic(&resource).latest.send_replace(revision);
        }
    }

    pub(super) fn compact(&mut self, revision: u64) {
        self.compacted = self.compacted.max(revision);
        while self.older.front().is_some_and(|s| s.revision < revision) {
            self.older.pop_front();
        }
        for topic in self.topics.values_mut() {
            while let Some(event) = topic.events.front()
                && event.object.modified <= revision
            {
                topic.floor = event.object.modified;
                topic.events.pop_front();
            }
            topic.floor = topic.floor.max(revision);
        }
    }

    fn topic(&mut self, resource: &str) -> &mut Topic {
        let floor = self.compacted;
        self.topics
            .entry(resource.to_owned())
            .or_insert_with(|| Topic {
                events: VecDeque::new(),
                floor,
                latest: watch::Sender::new(0),
            })
    }
}

impl Topic {
    fn push(&mut self, event: Event) {
        self.events.push_back(event);
        if self.events.len() > EVENTS_PER_RESOURCE
            && let Some(dropped) = self.events.pop_front()
        {
            self.floor = dropped.object.modified;
        }
    }
}

/// A cursor over the changes of a resource.
///
/// It holds no queue: a slow reader costs nothing and is cut with [`Error::Compacted`] when what
/// it has not read is forgotten.
#[derive(Debug)]
pub struct Watcher {
    shared: Arc<RwLock<Shared>>,
    resource: String,
    namespace: Option<String>,
    revision: u64,
    latest: watch::Receiver<u64>,
}

impl Watcher {
    pub(super) fn start(
        shared: &Arc<RwLock<Shared>>,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Self, Error> {
        let mut guard = shared.write();
        let current = guard.latest.revision;
        if revision > current {
            return Err(Error::Future {
                asked: revision,
                current,
            });
        }
        let topic = guard.topic(resource);
        if revision < topic.floor {
            return Err(Error::Compacted {
                asked: revision,
                oldest: topic.floor,
            });
        }
        let latest = topic.latest.subscribe();
        drop(guard);
        Ok(Self {
            shared: Arc::clone(shared),
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            revision,
            latest,
        })
    }

    /// Every change up to this revision was returned; usable as a bookmark.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Waits until there are changes and returns them in order. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Compacted`] if the reader was too slow, [`Error::Closed`] if the store is gone.
    pub async fn next(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            self.latest.borrow_and_update();
            let events = self.poll()?;
            if !events.is_empty() {
                return Ok(events);
            }
            self.latest.changed().await.map_err(|_| Error::Closed)?;
        }
    }

    /// The changes since the last call, without waiting.
    ///
    /// # Errors
    /// [`Error::Compacted`] if the reader was too slow.
    pub fn poll(&mut self) -> Result<Vec<Event>, Error> {
        let guard = self.shared.read();
        let current = guard.latest.revision;
        let Some(topic) = guard.topics.get(&self.resource) else {
            return Ok(Vec::new());
        };
        if self.revision < topic.floor {
            return Err(Error::Compacted {
                asked: self.revision,
                oldest: topic.floor,
            });
        }
        let start = topic
            .events
            .partition_point(|event| event.object.modified <= self.revision);
        let events = topic
            .events
            .range(start..)
            .filter(|event| {
                self.namespace
                    .as_ref()
                    .is_none_or(|namespace| event.object.key.namespace() == namespace)
            })
            .cloned()
            .collect();
        self.revision = current;
        Ok(events)
    }
}

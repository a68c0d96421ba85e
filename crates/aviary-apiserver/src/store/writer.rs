//! The single writer: checks, numbers, stores and publishes batches of transactions.

use std::sync::Arc;

use imbl::OrdMap;
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use super::{
    Error, Expect, Key, Mutation, Object, Op,
    disk::Disk,
    history::{Change, Event, Shared},
};

/// Transactions per durable commit at most.
const BATCH: usize = 256;

type Reply<T> = oneshot::Sender<Result<T, Error>>;
/// One transaction and where its outcome goes.
type Commit = (Vec<Mutation>, Reply<Vec<Arc<Object>>>);
type Objects = OrdMap<Key, Arc<Object>>;

#[derive(Debug)]
pub(super) enum Request {
    Commit {
        mutations: Vec<Mutation>,
        reply: Reply<Vec<Arc<Object>>>,
    },
    Compact {
        revision: u64,
        reply: Reply<()>,
    },
}

#[derive(Debug)]
pub(super) struct Writer {
    disk: Disk,
    shared: Arc<RwLock<Shared>>,
}

/// The state after the transactions of a batch so far.
struct Batch {
    objects: Objects,
    revision: u64,
    events: Vec<Event>,
}

impl Writer {
    pub(super) fn new(disk: Disk, shared: Arc<RwLock<Shared>>) -> Self {
        Self { disk, shared }
    }

    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut commits = Vec::new();
            let mut next = Some(first);
            while let Some(request) = next.take() {
                match request {
                    Request::Commit { mutations, reply } => commits.push((mutations, reply)),
                    Request::Compact { revision, reply } => {
                        self.commit(std::mem::take(&mut commits));
                        // A caller that went away does not need the answer.
                        let _ = reply.send(self.compact(revision));
                    }
                }
                if commits.len() < BATCH {
                    next = requests.try_recv().ok();
                }
            }
            self.commit(commits);
        }
    }

    fn commit(&mut self, commits: Vec<Commit>) {
        let recovered = self.recover();
        let latest = self.shared.read().latest();
        let mut batch = Batch {
            objects: latest.objects,
            revision: latest.revision,
            events: Vec::new(),
        };
        let answers: Vec<_> = commits
            .into_iter()
            .map(|(mutations, reply)| (batch.apply(mutations), reply))
            .collect();
        let stored = if batch.events.is_empty() {
            Ok(())
        } else if let Err(error) = recovered {
            Err(error)
        } else {
            self.disk
                .append(&batch.events, batch.revision)
                .map_err(|error| error.to_string())
        };
        if stored.is_ok() && !batch.events.is_empty() {
            let Batch {
                objects,
                revision,
                events,
            } = batch;
            self.shared.write().publish(objects, revision, events);
        }
        for (answer, reply) in answers {
            let answer = match (&stored, answer) {
                (Err(reason), Ok(_)) => Err(Error::Disk(reason.clone())),
                (_, answer) => answer,
            };
            let _ = reply.send(answer);
        }
    }

    /// After a failed write: opens the file again and publishes what it holds more than memory.
    fn recover(&mut self) -> Result<(), String> {
        let latest = self.shared.read().latest();
        let missed = self
            .disk
            .recover(latest.revision)
            .map_err(|error| error.to_string())?;
        let Some(last) = missed.last() else {
            return Ok(());
        };
        let revision = last.object.modified;
        let mut objects = latest.objects;
        for event in &missed {
            let key = event.object.key.clone();
            if event.change == Change::Deleted {
                objects.remove(&key);
            } else {
                objects.insert(key, Arc::clone(&event.object));
            }
        }
        self.shared.write().publish(objects, revision, missed);
        Ok(())
    }

    fn compact(&mut self, revision: u64) -> Result<(), Error> {
        self.recover().map_err(Error::Disk)?;
        let revision = revision.min(self.shared.read().latest().revision);
        self.disk
            .compact(revision)
            .map_err(|error| Error::Disk(error.to_string()))?;
        self.shared.write().compact(revision);
        Ok(())
    }
}

impl Batch {
    /// Applies one transaction, or nothing of it.
    fn apply(&mut self, mutations: Vec<Mutation>) -> Result<Vec<Arc<Object>>, Error> {
        for mutation in &mutations {
            let current = self.objects.get(&mutation.key);
            let holds = match (mutation.expect, current) {
                (Expect::Absent, None) => true,
                (Expect::Revision(revision), Some(object)) => object.modified == revision,
                _ => false,
            };
            if !holds {
                return Err(Error::Conflict {
                    key: mutation.key.clone(),
                    current: current.cloned(),
                });
            }
        }
        Ok(mutations
            .into_iter()
            .filter_map(|mutation| self.step(mutation))
            .collect())
    }

    fn step(&mut self, mutation: Mutation) -> Option<Arc<Object>> {
        let Mutation { key, op, .. } = mutation;
        let previous = self.objects.get(&key).cloned();
        let revision = self.revision + 1;
        let created = previous.as_ref().map_or(revision, |object| object.created);
        let (change, value) = match op {
            Op::Put(value) if previous.is_none() => (Change::Created, value),
            Op::Put(value) => (Change::Updated, value),
            Op::Delete(last) => {
                let last = last.or_else(|| previous.as_ref().map(|o| (*o.value).clone()))?;
                (Change::Deleted, last)
            }
        };
        let object = Arc::new(Object::new(key.clone(), value, created, revision));
        if change == Change::Deleted {
            self.objects.remove(&key);
        } else {
            self.objects.insert(key, Arc::clone(&object));
        }
        self.revision = revision;
        self.events.push(Event {
            change,
            object: Arc::clone(&object),
            previous,
        });
        Some(object)
    }
}

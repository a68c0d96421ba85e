//! The object store: one durable log, an immutable map per revision, and a history for watches.
//!
//! Every acknowledged write is on disk before it is visible to any reader. Reads never touch the
//! disk. Revisions are numbers, one per changed object, that only ever grow.

mod disk;
mod history;
mod object;
mod writer;

#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc, thread::JoinHandle};

use imbl::OrdMap;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

pub use history::{Change, Event, Watcher};
pub use object::{Key, Object};

use history::Shared;
use writer::{Request, Writer};

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database file cannot be opened or holds data that fails its checks.
    #[error("object store {path}: {reason}; restore the file from a copy or move it away")]
    Open {
        /// The file.
        path: String,
        /// What the database says.
        reason: String,
    },
    /// A write could not be made durable; nothing of it is visible.
    #[error("object store: the write was not stored: {0}")]
    Disk(String),
    /// The expected revision (or absence) of an object no longer holds.
    #[error("{key} changed meanwhile")]
    Conflict {
        /// The object in question.
        key: Key,
        /// What is there now.
        current: Option<Arc<Object>>,
    },
    /// The asked revision is older than the history that is kept.
    #[error("revision {asked} is older than {oldest}")]
    Compacted {
        /// What was asked.
        asked: u64,
        /// The oldest revision that can still be served.
        oldest: u64,
    },
    /// The asked revision is not reached yet.
    #[error("revision {asked} is larger than the current {current}")]
    Future {
        /// What was asked.
        asked: u64,
        /// The newest revision.
        current: u64,
    },
    /// The store is closing.
    #[error("object store is closed")]
    Closed,
}

/// What must hold of a key for a mutation to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key has no object.
    Absent,
    /// The key's object has exactly this modification revision.
    Revision(u64),
}

/// What happens to a key.
#[derive(Clone, Debug)]
pub enum Op {
    /// Store this object; its `metadata.resourceVersion` is set by the store.
    Put(Value),
    /// Remove the object. With a value, watchers see that as its last state.
    Delete(Option<Value>),
}

/// One step of a transaction.
#[derive(Clone, Debug)]
pub struct Mutation {
    /// The object's key.
    pub key: Key,
    /// The precondition.
    pub expect: Expect,
    /// The change.
    pub op: Op,
}

/// The state at one revision; cheap to clone, never changes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Every change up to and including this revision is contained.
    pub revision: u64,
    objects: OrdMap<Key, Arc<Object>>,
}

impl Snapshot {
    /// The object of a key.
    pub fn get(&self, key: &Key) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// The objects of a resource in key order; of one namespace if `namespace` is given, and after
    /// the key `after` if that is given.
    pub fn list<'a>(
        &'a self,
        resource: &str,
        namespace: Option<&str>,
        after: Option<&str>,
    ) -> impl Iterator<Item = &'a Arc<Object>> + use<'a> {
        use std::ops::Bound;
        let (start, end) = Key::bounds(resource, namespace);
        let low = match after {
            Some(key) => Bound::Excluded(Key::raw(key)),
            None => Bound::Included(start),
        };
        self.objects
            .range((low, Bound::Excluded(end)))
            .map(|(_, object)| object)
    }
}

/// The store. Dropping it finishes queued writes and closes the file.
#[derive(Debug)]
pub struct Store {
    shared: Arc<RwLock<Shared>>,
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens or creates the store in a file.
    ///
    /// # Errors
    /// [`Error::Open`] if the file is locked by another process, unreadable or damaged.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let (disk, shared) = disk::Disk::open(path)?;
        Self::start(disk, shared)
    }

    fn start(disk: disk::Disk, shared: Shared) -> Result<Self, Error> {
        let shared = Arc::new(RwLock::new(shared));
        let (queue, requests) = mpsc::channel(1024);
        let writer = Writer::new(disk, Arc::clone(&shared));
        let writer = std::thread::Builder::new()
            .name("object-store".to_owned())
            .spawn(move || writer.run(requests))
            .map_err(|error| Error::Disk(error.to_string()))?;
        Ok(Self {
            shared,
            queue: Some(queue),
            writer: Some(writer),
        })
    }

    /// The latest state.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.read().latest()
    }

    /// The state exactly at a revision.
    ///
    /// # Errors
    /// [`Error::Compacted`] if it is no longer kept, [`Error::Future`] if it is not reached.
    pub fn snapshot_at(&self, revision: u64) -> Result<Snapshot, Error> {
        self.shared.read().at(revision)
    }

    /// Applies all mutations or none, and returns the stored objects (for a removal: its last
    /// state with the revision of the removal) in the same order. The write is durable when this
    /// returns.
    ///
    /// # Errors
    /// [`Error::Conflict`] if an expectation failed, [`Error::Disk`] if it could not be stored.
    pub async fn commit(&self, mutations: Vec<Mutation>) -> Result<Vec<Arc<Object>>, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Commit { mutations, reply }).await?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Forgets the history up to and including a revision. The objects stay.
    ///
    /// # Errors
    /// [`Error::Disk`] if it could not be stored.
    pub async fn compact(&self, revision: u64) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Compact { revision, reply }).await?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// The changes of a resource after a revision, from history and then as they come.
    ///
    /// # Errors
    /// [`Error::Compacted`] if changes after `revision` were forgotten, [`Error::Future`] if it is not reached.
    pub fn watch(
        &self,
        resource: &str,
        namespace: Option<&str>,
        revision: u64,
    ) -> Result<Watcher, Error> {
        Watcher::start(&self.shared, resource, namespace, revision)
    }

    async fn send(&self, request: Request) -> Result<(), Error> {
        let queue = self.queue.as_ref().ok_or(Error::Closed)?;
        queue.send(request).await.map_err(|_| Error::Closed)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // The thread ends when the queue is closed; a panic there was already reported.
            let _ = writer.join();
        }
    }
}

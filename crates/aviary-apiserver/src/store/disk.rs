//! The file: three tables, every batch one durable transaction.

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use imbl::OrdMap;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{
    Error, Key, Object,
    history::{Change, Event, Shared},
};

/// revision → (change, key, JSON)
const LOG: TableDefinition<'_, u64, (u8, &str, &[u8])> = TableDefinition::new("log");
/// key → (created, modified, JSON)
const HEAD: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("head");
/// `last` and `compacted` revision
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// How long a file may be held by another process before that is an error.
const PATIENCE: Duration = Duration::from_secs(2);

type Outcome<T> = Result<T, redb::Error>;

/// Opens the database; called again after a failed write.
pub(super) type Opener = Box<dyn Fn() -> Result<Database, redb::DatabaseError> + Send>;

pub(super) struct Disk {
    opener: Opener,
    /// `None` after a failure: what the file then holds is only known by opening it again.
    database: Option<Database>,
}

impl Disk {
    pub(super) fn open(path: &Path) -> Result<(Self, Shared), Error> {
        let file = path.to_owned();
        Self::open_with(
            Box::new(move || patiently(|| Database::create(&file))),
            &path.display().to_string(),
        )
    }

    pub(super) fn open_with(opener: Opener, name: &str) -> Result<(Self, Shared), Error> {
        let refuse = |reason: String| Error::Open {
            path: name.to_owned(),
            reason,
        };
        let database = opener().map_err(|error| refuse(error.to_string()))?;
        let shared = load(&database).map_err(|error| refuse(error.to_string()))?;
        let disk = Self {
            opener,
            database: Some(database),
        };
        Ok((disk, shared))
    }

    /// Opens the database again if a write failed, and gives what the failed write left in it
    /// after a revision: those who asked for it were not told that it was stored, yet it is.
    pub(super) fn recover(&mut self, revision: u64) -> Outcome<Vec<Event>> {
        if self.database.is_some() {
            return Ok(Vec::new());
        }
        let database = (self.opener)()?;
        let shared = load(&database)?;
        self.database = Some(database);
        Ok(shared.since(revision))
    }

    fn writing(&mut self, work: impl FnOnce(&Database) -> Outcome<()>) -> Outcome<()> {
        let Some(database) = &self.database else {
            return Err(redb::Error::PreviousIo);
        };
        let outcome = work(database);
        if outcome.is_err() {
            self.database = None;
        }
        outcome
    }

    /// Stores a batch; when this returns `Ok` the batch is on disk.
    pub(super) fn append(&mut self, events: &[Event], last: u64) -> Outcome<()> {
        self.writing(|database| append(database, events, last))
    }

    pub(super) fn compact(&mut self, revision: u64) -> Outcome<()> {
        self.writing(|database| compact(database, revision))
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk")
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

fn load(database: &Database) -> Outcome<Shared> {
    let write = database.begin_write()?;
    write.open_table(LOG)?;
    write.open_table(HEAD)?;
    write.open_table(META)?;
    write.commit()?;
    let read = database.begin_read()?;
    let meta = read.open_table(META)?;
    let number = |name| -> Outcome<u64> { Ok(meta.get(name)?.map_or(0, |v| v.value())) };
    let (last, compacted) = (number("last")?, number("compacted")?);
    let mut objects = OrdMap::new();
    for row in read.open_table(HEAD)?.iter()? {
        let (key, value) = row?;
        let key = Key::raw(key.value());
        let (created, modified, json) = value.value();
        let object =
            Object::stored(key.clone(), json, created, modified).ok_or_else(|| damaged(&key))?;
        objects.insert(key, Arc::new(object));
    }
    let mut shared = Shared::new(objects.clone(), last, compacted);
    let mut seen: HashMap<Key, Arc<Object>> = HashMap::new();
    for row in read.open_table(LOG)?.iter()? {
        let (revision, value) = row?;
        let (change, key, json) = value.value();
        let (revision, key) = (revision.value(), Key::raw(key));
        let change = decode(change);
        let created = objects.get(&key).map_or(revision, |object| object.created);
        let object =
            Object::stored(key.clone(), json, created, revision).ok_or_else(|| damaged(&key))?;
        let object = match objects.get(&key) {
            Some(head) if head.modified == revision => Arc::clone(head),
            _ => Arc::new(object),
        };
        let previous = seen.insert(key, Arc::clone(&object));
        let previous = previous.filter(|_| change != Change::Created);
        shared.replay(Event {
            change,
            object,
            previous,
        });
    }
    Ok(shared)
}

fn append(database: &Database, events: &[Event], last: u64) -> Outcome<()> {
    let mut write = database.begin_write()?;
    // Immediate is the default; said aloud because every promise of the store rests on it.
    write.set_durability(Durability::Immediate)?;
    {
        let mut log = write.open_table(LOG)?;
        let mut head = write.open_table(HEAD)?;
        for event in events {
            let object = &event.object;
            let key = object.key.as_str();
            let json = object.json.as_ref();
            log.insert(object.modified, (encode(event.change), key, json))?;
            if event.change == Change::Deleted {
                head.remove(key)?;
            } else {
                head.insert(key, (object.created, object.modified, json))?;
            }
        }
        write.open_table(META)?.insert("last", last)?;
    }
    write.commit()?;
    Ok(())
}

fn compact(database: &Database, revision: u64) -> Outcome<()> {
    let write = database.begin_write()?;
    {
        let mut log = write.open_table(LOG)?;
        log.retain_in(..=revision, |_, _| false)?;
        write.open_table(META)?.insert("compacted", revision)?;
    }
    write.commit()?;
    Ok(())
}
/// A process that was killed may still be on its way out, and holds the file until then.
fn patiently(
    open: impl Fn() -> Result<Database, redb::DatabaseError>,
) -> Result<Database, redb::DatabaseError> {
    let start = Instant::now();
    loop {
        match open() {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) if start.elapsed() < PATIENCE => {
                std::thread::park_timeout(PATIENCE / 40);
            }
            opened => return opened,
        }
    }
}

fn damaged(key: &Key) -> redb::Error {
    redb::Error::Corrupted(format!("the stored text of {key} is not JSON"))
}

fn encode(change: Change) -> u8 {
    match change {
        Change::Created => 0,
        Change::Updated => 1,
        Change::Deleted => 2,
    }
}

fn decode(byte: u8) -> Change {
    match byte {
        0 => Change::Created,
        1 => Change::Updated,
        _ => Change::Deleted,
    }
}

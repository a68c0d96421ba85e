//! The file: three tables, every batch one durable transaction.

use std::{collections::HashMap, path::Path, sync::Arc};

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

#[derive(Debug)]
pub(super) struct Disk {
    database: Database,
}

type Outcome<T> = Result<T, redb::Error>;

impl Disk {
    pub(super) fn open(path: &Path) -> Result<(Self, Shared), Error> {
        let refuse = |reason: String| Error::Open {
            path: path.display().to_string(),
            reason,
        };
        let database = Database::create(path).map_err(|error| refuse(error.to_string()))?;
        let disk = Self { database };
        let shared = disk.load().map_err(|error| refuse(error.to_string()))?;
        Ok((disk, shared))
    }

    fn load(&self) -> Outcome<Shared> {
        let write = self.database.begin_write()?;
        write.open_table(LOG)?;
        write.open_table(HEAD)?;
        write.open_table(META)?;
        write.commit()?;
        let read = self.database.begin_read()?;
        let meta = read.open_table(META)?;
        let number = |name| -> Outcome<u64> { Ok(meta.get(name)?.map_or(0, |v| v.value())) };
        let (last, compacted) = (number("last")?, number("compacted")?);
        let mut objects = OrdMap::new();
        for row in read.open_table(HEAD)?.iter()? {
            let (key, value) = row?;
            let key = Key::raw(key.value());
            let (created, modified, json) = value.value();
            let object = Object::stored(key.clone(), json, created, modified)
                .ok_or_else(|| damaged(&key))?;
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
            let object = Object::stored(key.clone(), json, created, revision)
                .ok_or_else(|| damaged(&key))?;
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

    /// Stores a batch; when this returns `Ok` the batch is on disk.
    pub(super) fn append(&self, events: &[Event], last: u64) -> Outcome<()> {
        let mut write = self.database.begin_write()?;
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

    pub(super) fn compact(&self, revision: u64) -> Outcome<()> {
        let write = self.database.begin_write()?;
        {
            let mut log = write.open_table(LOG)?;
            log.retain_in(..=revision, |_, _| false)?;
            write.open_table(META)?.insert("compacted", revision)?;
        }
        write.commit()?;
        Ok(())
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

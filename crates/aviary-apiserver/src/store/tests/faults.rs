//! A disk that fails on demand and forgets what was not synced.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use redb::{Database, StorageBackend};

use super::{Error, Expect, Store, key, names, put};
use crate::store::disk::Disk;

/// Bytes in memory: what was written, and what of it was synced.
#[derive(Clone, Debug, Default)]
struct Medium {
    written: Arc<Mutex<Vec<u8>>>,
    synced: Arc<Mutex<Vec<u8>>>,
    sync_fails: Arc<AtomicBool>,
}

impl Medium {
    /// The medium after the power was cut and came back.
    fn after_power_loss(&self) -> Self {
        let synced = self.synced.lock().clone();
        Self {
            written: Arc::new(Mutex::new(synced.clone())),
            synced: Arc::new(Mutex::new(synced)),
            sync_fails: Arc::default(),
        }
    }

    fn open(&self) -> Store {
        let medium = self.clone();
        let opener = move || Database::builder().create_with_backend(medium.clone());
        let (disk, shared) = Disk::open_with(Box::new(opener), "memory").expect("open");
        Store::start(disk, shared).expect("start")
    }
}

impl StorageBackend for Medium {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = self.written.lock();
        let range = bytes.get(start..start + out.len());
        out.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        self.written.lock().resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.sync_fails.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let written = self.written.lock().clone();
        *self.synced.lock() = written;
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let mut bytes = self.written.lock();
        let range = bytes.get_mut(start..start + data.len());
        range
            .ok_or(io::ErrorKind::UnexpectedEof)?
            .copy_from_slice(data);
        Ok(())
    }
}

#[tokio::test]
async fn power_loss_keeps_every_acknowledged_write() {
    let medium = Medium::default();
    let store = medium.open();
    for number in 0..30 {
        let name = format!("n{number:02}");
        store
            .commit(vec![put(&name, Expect::Absent, number)])
            .await
            .expect("put");
        let after = medium.after_power_loss().open().snapshot();
        assert_eq!(after.revision, number + 1);
        assert!(after.get(&key(&name)).is_some(), "{name} is lost");
    }
}

#[tokio::test]
async fn failed_sync_is_not_acknowledged_and_heals_when_the_disk_does() {
    let medium = Medium::default();
    let store = medium.open();
    store
        .commit(vec![put("a", Expect::Absent, 1)])
        .await
        .expect("put");
    let mut watcher = store.watch("/configmaps", None, 1).expect("watch");
    medium.sync_fails.store(true, Ordering::SeqCst);
    for name in ["b", "c"] {
        let error = store
            .commit(vec![put(name, Expect::Absent, 1)])
            .await
            .expect_err("full");
        assert!(matches!(error, Error::Disk(_)), "{error}");
    }
    assert_eq!(names(&store.snapshot()), ["a"], "reads go on");
    medium.sync_fails.store(false, Ordering::SeqCst);
    let stored = store
        .commit(vec![put("d", Expect::Absent, 1)])
        .await
        .expect("healed");
    let state = store.snapshot();
    assert_eq!(state.revision, stored[0].modified);
    assert!(state.get(&key("a")).is_some() && state.get(&key("d")).is_some());
    // Whatever came of the writes that failed: memory, watchers and disk agree on it.
    let events = watcher.poll().expect("history");
    let mut seen: Vec<_> = events
        .iter()
        .map(|event| event.object.key.name().to_owned())
        .collect();
    seen.insert(0, "a".to_owned());
    assert_eq!(seen, names(&state));
    let disk = medium.after_power_loss().open().snapshot();
    assert_eq!(
        (disk.revision, names(&disk)),
        (state.revision, names(&state))
    );
}

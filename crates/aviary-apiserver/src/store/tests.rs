use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use super::*;

mod faults;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("aviary-store-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("folder");
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key(name: &str) -> Key {
    Key::new("/configmaps", "default", name)
}

fn put(name: &str, expect: Expect, value: u64) -> Mutation {
    let value = json!({ "metadata": { "name": name }, "data": { "n": value.to_string() } });
    Mutation {
        key: key(name),
        expect,
        op: Op::Put(value),
    }
}

fn delete(name: &str, revision: u64) -> Mutation {
    Mutation {
        key: key(name),
        expect: Expect::Revision(revision),
        op: Op::Delete(None),
    }
}

fn names(snapshot: &Snapshot) -> Vec<String> {
    let list = snapshot.list("/configmaps", None, None);
    list.map(|object| object.key.name().to_owned()).collect()
}

#[tokio::test]
async fn commit_failed_expectation_changes_nothing() {
    let folder = Folder::new();
    let store = Store::open(&folder.file("db")).expect("open");
    store
        .commit(vec![put("a", Expect::Absent, 1)])
        .await
        .expect("created");
    let twice = vec![put("b", Expect::Absent, 1), put("a", Expect::Absent, 2)];
    let error = store.commit(twice).await.expect_err("taken");
    assert!(
        matches!(
            error,
            Error::Conflict {
                current: Some(_),
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(names(&store.snapshot()), ["a"]);
    assert_eq!(store.snapshot().revision, 1);
}

#[tokio::test]
async fn reopen_finds_objects_revision_and_history() {
    let folder = Folder::new();
    let path = folder.file("db");
    let store = Store::open(&path).expect("open");
    store
        .commit(vec![
            put("a", Expect::Absent, 1),
            put("b", Expect::Absent, 1),
        ])
        .await
        .expect("put");
    store
        .commit(vec![put("a", Expect::Revision(1), 2)])
        .await
        .expect("update");
    store.commit(vec![delete("b", 2)]).await.expect("delete");
    drop(store);
    let store = Store::open(&path).expect("open again");
    let snapshot = store.snapshot();
    assert_eq!(
        (snapshot.revision, names(&snapshot)),
        (4, vec!["a".to_owned()])
    );
    let a = snapshot.get(&key("a")).expect("a");
    assert_eq!((a.created, a.modified), (1, 3));
    assert_eq!(a.value["metadata"]["resourceVersion"], "3");
    let events = store
        .watch("/configmaps", None, 1)
        .expect("watch")
        .poll()
        .expect("events");
    let seen: Vec<_> = events
        .iter()
        .map(|event| (event.change, event.object.modified))
        .collect();
    assert_eq!(
        seen,
        [
            (Change::Created, 2),
            (Change::Updated, 3),
            (Change::Deleted, 4)
        ]
    );
    let stored = store
        .commit(vec![put("c", Expect::Absent, 1)])
        .await
        .expect("put");
    assert_eq!(stored[0].modified, 5);
}

#[tokio::test]
async fn crash_loses_no_acknowledged_write() {
    let folder = Folder::new();
    let path = folder.file("db");
    let store = Store::open(&path).expect("open");
    for number in 0..20 {
        let name = format!("n{number:02}");
        store
            .commit(vec![put(&name, Expect::Absent, number)])
            .await
            .expect("put");
        // The file as a killed process leaves it: not closed, whatever is on disk now.
        let copy = folder.file(&format!("copy{number}"));
        std::fs::copy(&path, &copy).expect("copy");
        let after = Store::open(&copy).expect("recover").snapshot();
        assert_eq!(after.revision, number + 1);
        assert_eq!(
            names(&after).len(),
            usize::try_from(number).expect("small") + 1
        );
    }
}

#[tokio::test]
async fn compact_forgets_history_but_no_object() {
    let folder = Folder::new();
    let path = folder.file("db");
    let store = Store::open(&path).expect("open");
    store
        .commit(vec![put("a", Expect::Absent, 1)])
        .await
        .expect("put");
    store
        .commit(vec![put("b", Expect::Absent, 1)])
        .await
        .expect("put");
    store
        .commit(vec![put("a", Expect::Revision(1), 2)])
        .await
        .expect("put");
    store.compact(2).await.expect("compact");
    assert!(matches!(
        store.watch("/configmaps", None, 1),
        Err(Error::Compacted { .. })
    ));
    assert!(matches!(store.snapshot_at(1), Err(Error::Compacted { .. })));
    let events = store
        .watch("/configmaps", None, 2)
        .expect("watch")
        .poll()
        .expect("events");
    assert_eq!(events.len(), 1);
    assert_eq!(names(&store.snapshot()), ["a", "b"]);
    drop(store);
    let store = Store::open(&path).expect("open again");
    assert!(matches!(
        store.watch("/configmaps", None, 1),
        Err(Error::Compacted { .. })
    ));
    assert!(matches!(
        store.watch("/pods", None, 1),
        Err(Error::Compacted { .. })
    ));
    assert_eq!(names(&store.snapshot()), ["a", "b"]);
    assert_eq!(store.snapshot().revision, 3);
}

#[tokio::test]
async fn snapshot_at_shows_exactly_that_revision() {
    let folder = Folder::new();
    let store = Store::open(&folder.file("db")).expect("open");
    store
        .commit(vec![put("a", Expect::Absent, 1)])
        .await
        .expect("put");
    store
        .commit(vec![put("b", Expect::Absent, 1)])
        .await
        .expect("put");
    assert_eq!(names(&store.snapshot_at(1).expect("kept")), ["a"]);
    assert_eq!(names(&store.snapshot_at(2).expect("kept")), ["a", "b"]);
    assert!(matches!(store.snapshot_at(3), Err(Error::Future { .. })));
    let rest = store.snapshot();
    let after: Vec<_> = rest
        .list("/configmaps", None, Some("/configmaps\0default\0a"))
        .collect();
    assert_eq!(after.len(), 1);
}

#[tokio::test]
async fn watch_slow_reader_is_cut() {
    let folder = Folder::new();
    let store = Store::open(&folder.file("db")).expect("open");
    store
        .commit(vec![put("a", Expect::Absent, 1)])
        .await
        .expect("put");
    let mut watcher = store.watch("/configmaps", None, 0).expect("watch");
    store.compact(1).await.expect("compact");
    assert!(matches!(watcher.next().await, Err(Error::Compacted { .. })));
}

/// Random writes; watchers that start anywhere fold their events into the same state as a list.
#[tokio::test]
async fn watch_folded_events_equal_the_list() {
    let folder = Folder::new();
    let store = Store::open(&folder.file("db")).expect("open");
    let mut rng = StdRng::seed_from_u64(7);
    let mut watchers: Vec<(BTreeMap<String, u64>, Watcher)> = Vec::new();
    for _ in 0..400 {
        let name = format!("n{}", rng.random_range(0..12));
        let current = store
            .snapshot()
            .get(&key(&name))
            .map(|object| object.modified);
        let mutation = match current {
            None => put(&name, Expect::Absent, rng.random()),
            Some(revision) if rng.random_bool(0.4) => delete(&name, revision),
            Some(revision) => put(&name, Expect::Revision(revision), rng.random()),
        };
        store.commit(vec![mutation]).await.expect("commit");
        if rng.random_bool(0.1) {
            let current = store.snapshot().revision;
            let from = store
                .snapshot_at(rng.random_range(1..=current))
                .expect("kept");
            let watcher = store.watch("/configmaps", Some("default"), from.revision);
            watchers.push((fold(&from), watcher.expect("watch")));
        }
        for (state, watcher) in &mut watchers {
            if rng.random_bool(0.3) {
                follow(state, watcher);
            }
        }
    }
    let list = fold(&store.snapshot());
    for (state, watcher) in &mut watchers {
        follow(state, watcher);
        assert_eq!(*state, list);
    }
}

fn fold(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let list = snapshot.list("/configmaps", None, None);
    list.map(|object| (object.key.name().to_owned(), object.modified))
        .collect()
}

fn follow(state: &mut BTreeMap<String, u64>, watcher: &mut Watcher) {
    for event in watcher.poll().expect("history is kept") {
        let name = event.object.key.name().to_owned();
        let before = state.get(&name).copied();
        assert_eq!(
            before,
            event.previous.as_ref().map(|object| object.modified),
            "{name}"
        );
        match event.change {
            Change::Deleted => state.remove(&name),
            Change::Created | Change::Updated => state.insert(name, event.object.modified),
        };
    }
}

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Cache, Origin};
use crate::kind::POD;

fn pod(version: u64) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "default",
        "uid": "u", "resourceVersion": version.to_string()}})
}

fn version(cache: &Cache) -> Option<u64> {
    cache
        .graph
        .get(&POD, "default", "a")
        .map(|entry| entry.version)
}

fn apply(cache: &mut Cache, at: u64, origin: Origin) -> bool {
    cache
        .apply(&POD, &pod(at), origin, Timestamp::UNIX_EPOCH)
        .is_some()
}

fn remove(cache: &mut Cache, at: u64, origin: Origin) -> bool {
    cache
        .remove(&POD, "default", "a", "u", at, origin)
        .is_some()
}

#[test]
fn cache_late_watch_event_does_not_undo_an_own_write() {
    let mut cache = Cache::default();
    assert!(apply(&mut cache, 5, Origin::Watch));
    assert!(apply(&mut cache, 7, Origin::Write));
    assert!(!apply(&mut cache, 6, Origin::Watch));
    assert_eq!(version(&cache), Some(7));
    assert!(apply(&mut cache, 8, Origin::Watch));
}

#[test]
fn cache_answer_to_a_write_after_the_deletion_was_seen_is_ignored() {
    let mut cache = Cache::default();
    assert!(apply(&mut cache, 5, Origin::Watch));
    assert!(remove(&mut cache, 9, Origin::Watch));
    assert!(!apply(&mut cache, 7, Origin::Write));
    assert_eq!(version(&cache), None);
}

#[test]
fn cache_object_deleted_by_an_own_write_does_not_come_back() {
    let mut cache = Cache::default();
    assert!(apply(&mut cache, 5, Origin::Watch));
    assert!(remove(&mut cache, 0, Origin::Write));
    assert!(!apply(&mut cache, 6, Origin::Watch), "a late report");
    assert!(!remove(&mut cache, 7, Origin::Watch));
    assert_eq!(version(&cache), None);
}

#[test]
fn cache_list_drops_what_it_does_not_name() {
    let mut cache = Cache::default();
    assert!(apply(&mut cache, 5, Origin::Watch));
    let changes = cache.replace(&POD, &[], Timestamp::UNIX_EPOCH);
    assert_eq!(changes.len(), 1);
    assert!(cache.pods.get("default", "a").is_none());
}

use jiff::Timestamp;
use serde_json::{Value, json};

use super::plan;
use crate::cache::Origin;
use crate::kind::{POD, REPLICA_SET};
use crate::plan::{Action, Plan, Propagation};
use crate::{Cache, Kind};

fn cache(objects: &[(&Kind, Value)]) -> Cache {
    let mut cache = Cache::default();
    cache.graph.watch(&POD);
    cache.graph.watch(&REPLICA_SET);
    for (kind, metadata) in objects {
        let mut object = json!({"apiVersion": kind.api_version(), "kind": kind.kind,
            "metadata": {"namespace": "default", "resourceVersion": "1"},
            "spec": {"selector": {}, "containers": []}});
        crate::sim::merge(&mut object["metadata"], metadata);
        cache
            .apply(kind, &object, Origin::Watch, Timestamp::UNIX_EPOCH)
            .expect("taken in");
    }
    cache
}

fn plan_for(cache: &Cache, kind: &Kind, name: &str) -> Plan {
    plan(
        &cache.graph.get(kind, "default", name).expect("the object"),
        &cache.graph,
    )
}

fn owned(name: &str, owners: &[&str]) -> Value {
    let owners: Vec<Value> = owners
        .iter()
        .map(|owner| {
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "uid": owner,
                "controller": true, "blockOwnerDeletion": true})
        })
        .collect();
    json!({"name": name, "uid": name, "ownerReferences": owners})
}

fn deleting(name: &str, finalizer: &str) -> Value {
    json!({"name": name, "uid": name, "finalizers": [finalizer],
        "deletionTimestamp": "2026-01-01T00:00:00Z"})
}

fn patched(plan: &Plan, member: &str) -> Vec<(String, Value)> {
    let patches = plan.actions.iter().map(|action| match action {
        Action::Patch { target, patch } => (target.name.clone(), patch["metadata"][member].clone()),
        other => panic!("a patch, not {other:?}"),
    });
    patches.collect()
}

#[test]
fn dependent_of_a_living_owner_stays() {
    let cache = cache(&[
        (&REPLICA_SET, json!({"name": "rs", "uid": "rs"})),
        (&POD, owned("pod", &["rs"])),
    ]);
    assert_eq!(plan_for(&cache, &POD, "pod"), Plan::default());
}

#[test]
fn dependent_of_absent_owners_goes_if_they_are_absent_live_too() {
    let cache = cache(&[(&POD, owned("pod", &["rs"]))]);
    let found = plan_for(&cache, &POD, "pod");
    let [
        Action::Delete {
            target,
            propagation,
            unless_any,
            ..
        },
    ] = found.actions.as_slice()
    else {
        panic!("{found:?}")
    };
    assert_eq!(target.uid, "pod");
    assert_eq!(*propagation, Some(Propagation::Background));
    assert_eq!(unless_any[0].uid, "rs");
}

#[test]
fn dependent_with_one_living_owner_forgets_the_absent_one() {
    let cache = cache(&[
        (&REPLICA_SET, json!({"name": "rs", "uid": "rs"})),
        (&POD, owned("pod", &["rs", "gone"])),
    ]);
    let found = patched(&plan_for(&cache, &POD, "pod"), "ownerReferences");
    assert_eq!(found[0].1.as_array().map(Vec::len), Some(1));
    assert_eq!(found[0].1[0]["uid"], "rs");
}

#[test]
fn owner_deleted_in_the_foreground_waits_for_its_dependents() {
    let foreground = deleting("rs", "foregroundDeletion");
    let waiting = cache(&[
        (&REPLICA_SET, foreground.clone()),
        (&POD, owned("pod", &["rs"])),
    ]);
    let owner = plan_for(&waiting, &REPLICA_SET, "rs");
    assert!(owner.actions.is_empty());
    assert_eq!(owner.waits.len(), 1);
    let dependent = plan_for(&waiting, &POD, "pod");
    assert!(matches!(
        dependent.actions.as_slice(),
        [Action::Delete { .. }]
    ));
    let alone = cache(&[(&REPLICA_SET, foreground)]);
    let freed = patched(&plan_for(&alone, &REPLICA_SET, "rs"), "finalizers");
    assert_eq!(freed, [("rs".to_owned(), json!([]))]);
}

#[test]
fn owner_deleted_with_orphans_sets_them_free_first() {
    let cache = cache(&[
        (&REPLICA_SET, deleting("rs", "orphan")),
        (&POD, owned("pod", &["rs"])),
    ]);
    let found = plan_for(&cache, &REPLICA_SET, "rs");
    assert_eq!(
        patched(&found, "ownerReferences")[0],
        ("pod".to_owned(), json!([]))
    );
    assert_eq!(
        patched(&found, "finalizers")[1],
        ("rs".to_owned(), json!([]))
    );
    assert_eq!(
        plan_for(&cache, &POD, "pod"),
        Plan::default(),
        "it is not garbage meanwhile"
    );
}

#[test]
fn dependent_of_an_unknown_kind_stays() {
    let mut metadata = owned("pod", &["x"]);
    metadata["ownerReferences"][0]["kind"] = json!("Widget");
    let found = plan_for(&cache(&[(&POD, metadata)]), &POD, "pod");
    assert!(found.actions.is_empty());
    assert_eq!(found.waits.len(), 1);
}

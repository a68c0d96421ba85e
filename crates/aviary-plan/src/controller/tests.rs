use jiff::Timestamp;
use serde_json::json;

use super::{Controller, affected, plan};
use crate::cache::Origin;
use crate::kind::{self, Kind};
use crate::plan::{Action, Plan};
use crate::{Cache, Key};

fn put(cache: &mut Cache, kind: &Kind, object: &serde_json::Value) -> Vec<(Controller, String)> {
    let change = cache
        .apply(kind, object, Origin::Watch, Timestamp::UNIX_EPOCH)
        .expect("new");
    let keys = affected(cache, &change);
    keys.into_iter()
        .map(|key| (key.controller, key.name))
        .collect()
}

#[test]
fn pod_concerns_its_set_its_service_the_scheduler_and_the_collector() {
    let mut cache = Cache::default();
    put(
        &mut cache,
        &kind::SERVICE,
        &json!({"metadata": {"name": "web", "namespace": "default", "uid": "s"},
            "spec": {"selector": {"app": "web"}}}),
    );
    let keys = put(
        &mut cache,
        &kind::POD,
        &json!({"metadata": {"name": "web-1", "namespace": "default", "uid": "p",
            "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-abc",
                "uid": "r", "controller": true}]}}),
    );
    let expected = [
        (Controller::Schedule, "web-1"),
        (Controller::ReplicaSet, "web-abc"),
        (Controller::EndpointSlice, "web"),
        (Controller::Endpoints, "web"),
        (Controller::Garbage, "web-1"),
    ];
    assert_eq!(
        keys,
        expected.map(|(controller, name)| (controller, name.to_owned()))
    );
}

#[test]
fn service_in_a_namespace_under_deletion_gets_no_slice() {
    let mut cache = Cache::default();
    let key = Key::new(Controller::EndpointSlice, &kind::SERVICE, "foo", "web");
    put(
        &mut cache,
        &kind::SERVICE,
        &json!({"metadata": {"name": "web", "namespace": "foo", "uid": "s"},
            "spec": {"selector": {"app": "web"}}}),
    );
    let before = plan(&cache, &key, None, Timestamp::UNIX_EPOCH);
    assert!(matches!(before.actions.as_slice(), [Action::Create { .. }]));
    put(
        &mut cache,
        &kind::NAMESPACE,
        &json!({"metadata": {"name": "foo", "uid": "n",
            "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
    );
    assert_eq!(
        plan(&cache, &key, None, Timestamp::UNIX_EPOCH),
        Plan::default()
    );
}

#[test]
fn endpoints_of_a_deleted_service_go_unless_a_user_wrote_them() {
    for (label, deletions) in [("endpoint-controller", 1), ("me", 0)] {
        let mut cache = Cache::default();
        let keys = put(
            &mut cache,
            &kind::ENDPOINTS,
            &json!({"metadata": {"name": "web", "namespace": "foo", "uid": "e",
                "labels": {"endpoints.kubernetes.io/managed-by": label}}}),
        );
        assert_eq!(keys, [(Controller::Endpoints, "web".to_owned())]);
        let key = Key::new(Controller::Endpoints, &kind::SERVICE, "foo", "web");
        let found = plan(&cache, &key, None, Timestamp::UNIX_EPOCH);
        assert_eq!(found.actions.len(), deletions, "{label}");
    }
}

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use serde_json::{Value, json};

use super::{View, plan, replicas};
use crate::kind::DEPLOYMENT;
use crate::object;
use crate::plan::{Action, Plan};
use crate::sim::{Faults, World, micro_api};

const LONG: SignedDuration = SignedDuration::from_mins(2);

fn world() -> World {
    let mut world = World::new(1, Faults::default());
    world.apply(&DEPLOYMENT, &micro_api("c:1.0"));
    world.settle(LONG);
    world
}

fn patch(world: &mut World, spec: &Value) {
    world.apply(
        &DEPLOYMENT,
        &json!({"metadata": {"name": "micro-api"}, "spec": spec}),
    );
}

fn set_image(world: &mut World, image: &str) {
    patch(
        world,
        &json!({"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}),
    );
}

/// Lets everything happen that takes no time.
fn react(world: &mut World) {
    while world.step() {}
}

fn condition(deployment: &Deployment, kind: &str) -> String {
    let status = deployment.status.as_ref().expect("a status");
    let found = status
        .conditions
        .iter()
        .flatten()
        .find(|found| found.type_ == kind);
    found.map_or_else(String::new, |found| {
        format!(
            "{} {}",
            found.status,
            found.reason.as_deref().unwrap_or_default()
        )
    })
}

/// Wanted pods per ReplicaSet, by revision.
fn sizes(world: &World) -> Vec<(i64, i32)> {
    let sets = world.replica_sets();
    let mut sizes: Vec<(i64, i32)> = sets
        .iter()
        .map(|set| (super::revision::number(set), replicas::wanted(set)))
        .collect();
    sizes.sort_unstable();
    sizes
}

#[test]
fn rollout_first_makes_one_set_of_full_size_and_becomes_available() {
    let world = world();
    let deployment = world.deployment("micro-api");
    assert_eq!(world.scalings(), ["A 0->3"]);
    assert_eq!(
        condition(&deployment, "Available"),
        "True MinimumReplicasAvailable"
    );
    assert_eq!(
        condition(&deployment, "Progressing"),
        "True NewReplicaSetAvailable"
    );
    let status = object::to_value(&deployment.status);
    let counts = json!({"availableReplicas": 3, "observedGeneration": 1, "readyReplicas": 3,
        "replicas": 3, "terminatingReplicas": 0, "updatedReplicas": 3});
    for (key, value) in counts.as_object().expect("an object") {
        assert_eq!(status[key], *value, "{key}");
    }
    assert!(status.get("unavailableReplicas").is_none());
}

#[test]
fn rollout_of_a_new_image_scales_in_the_steps_of_the_real_controller() {
    let mut world = world();
    set_image(&mut world, "c:1.1");
    world.settle(LONG);
    assert_eq!(
        world.scalings(),
        ["A 0->3", "B 0->1", "A 3->2", "B 1->2", "A 2->0", "B 2->3"]
    );
    assert_eq!(sizes(&world), [(1, 0), (2, 3)]);
}

#[test]
fn rollout_paused_at_once_is_a_canary_of_two_and_two() {
    let mut world = world();
    set_image(&mut world, "c:1.1");
    react(&mut world);
    patch(&mut world, &json!({"paused": true}));
    world.settle(LONG);
    assert_eq!(sizes(&world), [(1, 2), (2, 2)]);
    let deployment = world.deployment("micro-api");
    assert_eq!(
        condition(&deployment, "Progressing"),
        "Unknown DeploymentPaused"
    );
    let status = deployment.status.expect("a status");
    assert_eq!(
        (status.replicas, status.updated_replicas),
        (Some(4), Some(2))
    );
    patch(&mut world, &json!({"paused": false}));
    world.settle(LONG);
    assert_eq!(sizes(&world), [(1, 0), (2, 3)]);
    let deployment = world.deployment("micro-api");
    assert_eq!(
        condition(&deployment, "Progressing"),
        "True NewReplicaSetAvailable"
    );
}

#[test]
fn rollout_back_reuses_the_old_set_under_a_new_revision() {
    let mut world = world();
    set_image(&mut world, "c:1.1");
    world.settle(LONG);
    set_image(&mut world, "c:1.0");
    world.settle(LONG);
    assert_eq!(sizes(&world), [(2, 0), (3, 3)]);
    let deployment = world.deployment("micro-api");
    assert_eq!(
        object::annotation(&deployment.metadata, super::revision::REVISION),
        Some("3")
    );
    let histories: Vec<String> = world
        .replica_sets()
        .iter()
        .filter_map(|set| {
            let key = "deployment.kubernetes.io/revision-history";
            object::annotation(&set.metadata, key).map(ToOwned::to_owned)
        })
        .collect();
    assert_eq!(histories, ["1"]);
}

#[test]
fn paused_rollout_scaled_spreads_the_change_in_proportion() {
    let mut world = world();
    set_image(&mut world, "c:1.1");
    react(&mut world);
    patch(&mut world, &json!({"paused": true}));
    world.settle(LONG);
    patch(&mut world, &json!({"replicas": 7}));
    world.settle(LONG);
    assert_eq!(sizes(&world), [(1, 4), (2, 4)], "7 and a surge of 1");
    patch(&mut world, &json!({"replicas": 0}));
    world.settle(LONG);
    assert_eq!(sizes(&world), [(1, 0), (2, 0)]);
}

#[test]
fn recreate_stops_all_old_pods_before_new_ones_start() {
    let mut world = world();
    patch(
        &mut world,
        &json!({"strategy": {"type": "Recreate", "rollingUpdate": null}}),
    );
    world.settle(LONG);
    set_image(&mut world, "c:1.1");
    react(&mut world);
    assert_eq!(
        sizes(&world),
        [(1, 0)],
        "the new set waits for the end of the old pods"
    );
    world.settle(LONG);
    assert_eq!(sizes(&world), [(1, 0), (2, 3)]);
    assert_eq!(world.scalings(), ["A 0->3", "A 3->0", "B 0->3"]);
}

#[test]
fn history_beyond_the_limit_is_deleted() {
    let mut world = world();
    patch(&mut world, &json!({"revisionHistoryLimit": 1}));
    for image in ["c:1.1", "c:1.2", "c:1.3"] {
        set_image(&mut world, image);
        world.settle(LONG);
    }
    assert_eq!(sizes(&world), [(3, 0), (4, 3)]);
}

#[test]
fn rollout_without_progress_times_out() {
    let mut world = world();
    patch(&mut world, &json!({"progressDeadlineSeconds": 20}));
    world.settle(LONG);
    world.server.erase(&crate::kind::NODE, "node-a");
    set_image(&mut world, "c:broken");
    world.settle(LONG);
    let deployment = world.deployment("micro-api");
    assert_eq!(
        condition(&deployment, "Progressing"),
        "False ProgressDeadlineExceeded"
    );
    assert_eq!(
        condition(&deployment, "Available"),
        "True MinimumReplicasAvailable"
    );
}

#[test]
fn template_hash_collision_counts_and_finds_another_name() {
    let deployment = typed(micro_api("c:1.0"));
    let spec = deployment.spec.as_ref().expect("a spec");
    let name = format!(
        "micro-api-{}",
        crate::hash::template_hash(&spec.template, None)
    );
    let foreign: ReplicaSet = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": name, "uid": "other", "labels": {"app": "else"}},
        "spec": {"selector": {"matchLabels": {"app": "else"}}, "replicas": 1},
    }))
    .expect("a set");
    let first = plan_for(&deployment, vec![foreign.clone()]);
    let [Action::UpdateStatus { object, .. }] = first.actions.as_slice() else {
        panic!("one status write, not {:?}", first.actions)
    };
    assert_eq!(object["status"]["collisionCount"], json!(1));
    let second = plan_for(&typed(object.clone()), vec![foreign]);
    let Some(Action::Create { object, .. }) = second.actions.first() else {
        panic!("a new set, not {:?}", second.actions)
    };
    assert_ne!(object["metadata"]["name"], json!(name));
}

#[test]
fn fenceposts_follow_the_rounding_rules() {
    for (desired, surge, unavailable, expected) in [
        (3, json!(1), json!(1), (1, 1)),
        (3, json!("25%"), json!("25%"), (1, 0)),
        (10, json!("25%"), json!("25%"), (3, 2)),
        (3, json!(0), json!("10%"), (0, 1)),
        (2, json!(0), json!(5), (0, 2)),
        (0, json!(1), json!(1), (1, 0)),
    ] {
        let mut object = micro_api("c:1.0");
        object["spec"]["replicas"] = json!(desired);
        object["spec"]["strategy"]["rollingUpdate"] =
            json!({"maxSurge": surge, "maxUnavailable": unavailable});
        let spec = typed(object).spec.expect("a spec");
        let found = (replicas::max_surge(&spec), replicas::max_unavailable(&spec));
        assert_eq!(found, expected, "{desired} {surge} {unavailable}");
    }
}

#[test]
fn shrinking_set_with_an_old_report_does_not_count_its_surplus_as_available() {
    let mut object = micro_api("c:3");
    object["metadata"]["uid"] = json!("d");
    object["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "3"});
    let set = |tag: u32, wanted: i32, available: i32| -> ReplicaSet {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {
                "name": format!("s{tag}"), "uid": format!("s{tag}"), "labels": {"app": "micro-api"},
                "creationTimestamp": format!("2026-01-01T00:00:0{tag}Z"),
                "annotations": {"deployment.kubernetes.io/revision": tag.to_string(),
                    "deployment.kubernetes.io/desired-replicas": "3",
                    "deployment.kubernetes.io/max-replicas": "4"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment",
                    "name": "micro-api", "uid": "d", "controller": true}],
            },
            "spec": {"replicas": wanted, "minReadySeconds": 5,
                "selector": {"matchLabels": {"app": "micro-api"}},
                "template": {"metadata": {"labels": {"app": "micro-api"}},
                    "spec": {"containers": [{"name": "c", "image": format!("c:{tag}")}]}}},
            "status": {"replicas": wanted, "availableReplicas": available},
        }))
        .expect("a set")
    };
    // The first set was told to come down to 2 but still reports 3.
    let plan = plan_for(
        &typed(object),
        vec![set(1, 2, 3), set(2, 2, 0), set(3, 0, 0)],
    );
    let shrunk: Vec<&str> = plan
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Update { object, .. } if object["spec"]["replicas"] != json!(2) => {
                object["metadata"]["name"].as_str()
            }
            _ => None,
        })
        .collect();
    assert!(!shrunk.contains(&"s1"), "{shrunk:?}");
}

fn typed(object: Value) -> Deployment {
    serde_json::from_value(object).expect("a Deployment")
}

fn plan_for(deployment: &Deployment, sets: Vec<ReplicaSet>) -> Plan {
    let replica_sets = sets.into_iter().map(Arc::new).collect();
    let now = Timestamp::from_second(1_795_000_000).expect("a time");
    plan(
        &View {
            deployment,
            replica_sets,
            pods: Vec::new(),
        },
        now,
    )
}

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{View, plan};
use crate::object;
use crate::plan::{Action, Plan};

fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().expect("a time")
}

fn set(replicas: i32) -> ReplicaSet {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "web-abc", "namespace": "default", "uid": "set", "generation": 2},
        "spec": {"replicas": replicas, "minReadySeconds": 10,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "c:1"}]}}},
    }))
    .expect("a set")
}

fn pod(name: &str, changes: &Value) -> Pod {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name,
            "creationTimestamp": "2026-11-21T07:00:00Z", "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-abc",
                "uid": "set", "controller": true}]},
        "spec": {"containers": [], "nodeName": "n"},
        "status": {"phase": "Running", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T07:30:00Z"}]},
    });
    crate::sim::merge(&mut object, changes);
    serde_json::from_value(object).expect("a pod")
}

fn plan_for(set: &ReplicaSet, pods: Vec<Pod>, failure: Option<&str>) -> Plan {
    let pods = pods.into_iter().map(Arc::new).collect();
    plan(
        &View {
            replica_set: set,
            pods,
            failure,
        },
        now(),
    )
}

fn deleted(plan: &Plan) -> Vec<&str> {
    let names = plan.actions.iter().filter_map(|action| match action {
        Action::Delete { target, .. } => Some(target.name.as_str()),
        _ => None,
    });
    names.collect()
}

fn status(plan: &Plan) -> Value {
    let found = plan.actions.iter().find_map(|action| match action {
        Action::UpdateStatus { object, .. } => Some(object["status"].clone()),
        _ => None,
    });
    found.unwrap_or_default()
}

#[test]
fn missing_pods_are_created_with_owner_labels_and_a_generated_name() {
    let plan = plan_for(&set(3), vec![pod("a", &json!({}))], None);
    let created: Vec<&Value> = plan
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Create { object, .. } => Some(object),
            _ => None,
        })
        .collect();
    assert_eq!(created.len(), 2);
    let meta = &created[0]["metadata"];
    assert_eq!(meta["generateName"], "web-abc-");
    assert_eq!(meta["labels"], json!({"app": "web"}));
    assert_eq!(
        meta["ownerReferences"],
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-abc", "uid": "set",
            "controller": true, "blockOwnerDeletion": true}])
    );
}

#[test]
fn surplus_pods_go_in_order_of_rank() {
    let waiting = pod(
        "waiting",
        &json!({"spec": {"nodeName": null}, "status": {"phase": "Pending"}}),
    );
    let pending = pod("pending", &json!({"status": {"phase": "Pending"}}));
    let unready = pod("unready", &json!({"status": {"conditions": []}}));
    let cheap = pod(
        "cheap",
        &json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}}}),
    );
    let fresh = pod(
        "fresh",
        &json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T07:59:58Z"}]}}),
    );
    let young = pod(
        "young",
        &json!({"metadata": {"creationTimestamp": "2026-11-21T07:59:00Z"}}),
    );
    let old = pod("old", &json!({}));
    let pods = vec![old, young, fresh, cheap, unready, pending, waiting];
    let plan = plan_for(&set(0), pods, None);
    assert_eq!(
        deleted(&plan),
        [
            "waiting", "pending", "unready", "fresh", "cheap", "young", "old"
        ]
    );
}

#[test]
fn status_counts_ready_available_and_terminating_pods() {
    let fresh = pod(
        "fresh",
        &json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T07:59:55Z"}]}}),
    );
    let leaving = pod(
        "leaving",
        &json!({"metadata": {"deletionTimestamp": "2026-11-21T07:59:59Z"}}),
    );
    let pods = vec![fresh, leaving, pod("old", &json!({}))];
    let plan = plan_for(&set(2), pods, None);
    assert_eq!(
        status(&plan),
        json!({"replicas": 2, "fullyLabeledReplicas": 2, "readyReplicas": 2,
            "availableReplicas": 1, "terminatingReplicas": 1, "observedGeneration": 2})
    );
    let at: Timestamp = "2026-11-21T08:00:06Z".parse().expect("a time");
    assert_eq!(
        plan.wake_at,
        Some(at),
        "a second after the fresh pod becomes available"
    );
}

#[test]
fn orphan_with_matching_labels_is_adopted_and_a_stray_released() {
    let orphan = pod("orphan", &json!({"metadata": {"ownerReferences": null}}));
    let stray = pod("stray", &json!({"metadata": {"labels": {"app": "else"}}}));
    let plan = plan_for(&set(1), vec![orphan, stray], None);
    let owners: Vec<(&str, usize)> = plan
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Patch { target, patch } => {
                let owners = patch["metadata"]["ownerReferences"].as_array()?;
                Some((target.name.as_str(), owners.len()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(owners, [("orphan", 1), ("stray", 0)]);
    assert_eq!(plan.actions.len(), 2, "counting waits for the outcome");
}

#[test]
fn failed_creation_is_told_in_status_and_event_once() {
    let mut set = set(1);
    let first = plan_for(&set, Vec::new(), Some("pods is forbidden: quota"));
    let told = status(&first);
    assert_eq!(told["conditions"][0]["reason"], "FailedCreate");
    assert_eq!(told["conditions"][0]["message"], "pods is forbidden: quota");
    let Some(Action::Event(event)) = first.actions.first() else {
        panic!("an event first")
    };
    assert_eq!(event.message, "Error creating: pods is forbidden: quota");
    assert!(event.warning);
    set.status = serde_json::from_value(told).ok();
    let second = plan_for(&set, Vec::new(), Some("pods is forbidden: quota"));
    assert!(matches!(second.actions.as_slice(), [Action::Create { .. }]));
    let third = plan_for(&set, vec![pod("a", &json!({}))], None);
    assert!(status(&third).get("conditions").is_none());
    assert_eq!(object::uid(&set.metadata), "set");
}

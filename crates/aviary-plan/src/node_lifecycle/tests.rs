use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::{View, plan};
use crate::plan::{Action, Plan};

fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().expect("a time")
}

fn node(ready: &str, taints: &[&str]) -> Node {
    let taints: Vec<Value> = taints
        .iter()
        .flat_map(|key| {
            ["NoSchedule", "NoExecute"].map(|effect| json!({"key": key, "effect": effect}))
        })
        .collect();
    serde_json::from_value(
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
        "spec": {"taints": taints},
        "status": {"conditions": [{"type": "Ready", "status": ready}]}}),
    )
    .expect("a node")
}

fn pod() -> Arc<Pod> {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    Arc::new(serde_json::from_value(object).expect("a pod"))
}

fn plan_for(node: &Node, silent_for: i64) -> Plan {
    let renewed = now() - SignedDuration::from_secs(silent_for);
    plan(
        &View {
            node,
            renewed: Some(renewed),
            pods: vec![pod()],
        },
        now(),
    )
}

fn taints(plan: &Plan) -> Vec<String> {
    let written = plan.actions.iter().find_map(|action| match action {
        Action::Update { object, .. } => Some(object["spec"]["taints"].clone()),
        _ => None,
    });
    let taints = written
        .as_ref()
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    taints
        .iter()
        .map(|taint| format!("{}:{}", taint["key"], taint["effect"]))
        .collect()
}

#[test]
fn node_that_renews_its_lease_is_left_alone_until_it_would_be_silent() {
    let found = plan_for(&node("True", &[]), 15);
    assert!(found.actions.is_empty());
    assert_eq!(found.wake_at, Some(now() + SignedDuration::from_secs(25)));
}

#[test]
fn silent_node_becomes_unknown_then_its_taints_and_pods_follow() {
    let first = plan_for(&node("True", &[]), 40);
    let [Action::UpdateStatus { object, .. }, Action::Event(event)] = first.actions.as_slice()
    else {
        panic!("{first:?}")
    };
    let condition = &object["status"]["conditions"][0];
    assert_eq!(condition["status"], "Unknown");
    assert_eq!(condition["reason"], "NodeStatusUnknown");
    assert_eq!(event.message, "Node n status is now: NodeNotReady");
    let second = plan_for(&node("Unknown", &[]), 41);
    assert_eq!(taints(&second).len(), 2);
    let Some(Action::UpdateStatus { object, .. }) = second.actions.last() else {
        panic!()
    };
    assert_eq!(
        object["status"]["conditions"][0]["status"], "False",
        "the pod is not ready"
    );
}

#[test]
fn node_that_comes_back_loses_its_taints() {
    let found = plan_for(
        &node("True", &["node.kubernetes.io/unreachable", "mine"]),
        1,
    );
    assert_eq!(
        taints(&found),
        ["\"mine\":\"NoSchedule\"", "\"mine\":\"NoExecute\""]
    );
}

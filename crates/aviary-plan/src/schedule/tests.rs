use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use super::{View, plan};
use crate::plan::{Action, Plan};

fn node(name: &str, changes: &Value) -> Arc<Node> {
    let mut object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    crate::sim::merge(&mut object, changes);
    Arc::new(serde_json::from_value(object).expect("a node"))
}

fn pod(spec: &Value) -> Pod {
    let mut object = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "x", "namespace": "default", "uid": "u"},
        "spec": {"containers": [], "schedulerName": "default-scheduler"}});
    crate::sim::merge(&mut object["spec"], spec);
    serde_json::from_value(object).expect("a pod")
}

fn plan_for(pod: &Pod, nodes: Vec<Arc<Node>>, load: &[(&str, usize)]) -> Plan {
    let load: BTreeMap<String, usize> = load
        .iter()
        .map(|(name, pods)| ((*name).to_owned(), *pods))
        .collect();
    plan(&View { pod, nodes, load }, Timestamp::UNIX_EPOCH)
}

/// The node bound to, or the reason why there is none.
fn outcome(plan: &Plan) -> String {
    match plan.actions.as_slice() {
        [Action::Bind { node, .. }, Action::Event(event)] => {
            assert_eq!(
                event.message,
                format!("Successfully assigned default/x to {node}")
            );
            node.clone()
        }
        [Action::Event(event), Action::UpdateStatus { .. }] => event.message.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pod_goes_to_the_ready_node_with_fewest_pods() {
    let nodes = || vec![node("a", &json!({})), node("b", &json!({}))];
    assert_eq!(
        outcome(&plan_for(&pod(&json!({})), nodes(), &[("a", 3), ("b", 1)])),
        "b"
    );
    assert_eq!(outcome(&plan_for(&pod(&json!({})), nodes(), &[])), "a");
}

#[test]
fn pod_without_a_fitting_node_says_why_once() {
    let down = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    let tainted = json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}});
    let nodes = || vec![node("a", &down), node("b", &tainted)];
    let first = plan_for(&pod(&json!({})), nodes(), &[]);
    let expected = "0/2 nodes are available: 1 node(s) had untolerated taint(s) {k: v}, \
        1 node(s) were not ready.";
    assert_eq!(outcome(&first), expected);
    let Some(Action::UpdateStatus { object, .. }) = first.actions.last() else {
        panic!()
    };
    let told: Pod = serde_json::from_value(object.clone()).expect("a pod");
    let second = plan_for(&told, nodes(), &[]);
    assert!(second.actions.is_empty());
    assert_eq!(second.waits.len(), 1);
}

#[test]
fn pod_that_tolerates_the_taint_is_bound() {
    let tainted = json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}});
    let tolerant = pod(&json!({"tolerations": [{"key": "k", "operator": "Exists"}]}));
    assert_eq!(
        outcome(&plan_for(&tolerant, vec![node("b", &tainted)], &[])),
        "b"
    );
}

#[test]
fn pod_with_gates_or_another_scheduler_or_a_node_is_left_alone() {
    for spec in [
        json!({"schedulingGates": [{"name": "g"}]}),
        json!({"schedulerName": "mine"}),
        json!({"nodeName": "a"}),
    ] {
        let found = plan_for(&pod(&spec), vec![node("a", &json!({}))], &[]);
        assert_eq!(found, Plan::default(), "{spec}");
    }
}

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};

use super::{View, plan};
use crate::Kind;
use crate::cache::Entry;
use crate::kind::{DEPLOYMENT, EVENT, POD};
use crate::plan::{Action, Plan};

fn namespace(deleting: bool) -> Namespace {
    let at = deleting.then_some("2026-01-01T00:00:00Z");
    serde_json::from_value(json!({"apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "foo", "deletionTimestamp": at},
        "spec": {"finalizers": ["kubernetes"]}}))
    .expect("a namespace")
}

fn entry(kind: &Kind, metadata: &Value) -> Arc<Entry> {
    let mut object = json!({"metadata": {"namespace": "foo"}});
    crate::sim::merge(&mut object["metadata"], metadata);
    Arc::new(Entry::of(kind, &object).expect("an entry"))
}

/// What the actions do, in order.
fn steps(plan: &Plan) -> Vec<String> {
    let steps = plan.actions.iter().map(|action| match action {
        Action::Delete { target, .. } => format!("delete {}", target.name),
        Action::Finalize { object } => format!("finalize {}", object["spec"]["finalizers"]),
        other => panic!("{other:?}"),
    });
    steps.collect()
}

fn steps_for(deleting: bool, contents: Vec<Arc<Entry>>) -> Vec<String> {
    steps(&plan(&View {
        namespace: &namespace(deleting),
        contents,
    }))
}

#[test]
fn namespace_that_is_not_deleted_is_left_alone() {
    let contents = vec![entry(&POD, &json!({"name": "a"}))];
    assert!(steps_for(false, contents).is_empty());
}

#[test]
fn namespace_under_deletion_is_emptied_owners_first() {
    let owners = json!([{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x"}]);
    let contents = vec![
        entry(&POD, &json!({"name": "pod", "ownerReferences": owners})),
        entry(&DEPLOYMENT, &json!({"name": "web"})),
        entry(&EVENT, &json!({"name": "event"})),
        entry(
            &POD,
            &json!({"name": "going", "deletionTimestamp": "2026-01-01T00:00:00Z"}),
        ),
    ];
    assert_eq!(steps_for(true, contents), ["delete web", "delete pod"]);
}

#[test]
fn namespace_that_is_empty_but_for_events_is_let_go() {
    let contents = vec![entry(&EVENT, &json!({"name": "event"}))];
    assert_eq!(steps_for(true, contents), ["delete event", "finalize []"]);
}

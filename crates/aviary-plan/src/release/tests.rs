use std::sync::Arc;

use aviary_api::release::Release;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::{Value, json};

use super::{View, guardian, plan};
use crate::kind::DEPLOYMENT;
use crate::plan::Action;

fn release(uid: &str, transitions: i32, overlay: bool) -> Release {
    let status = json!({
        "seen": {"claim": {"uid": "lease", "transitions": transitions}},
        "overlay": if overlay { json!({"revision": 1}) } else { Value::Null },
    });
    serde_json::from_value(json!({
        "metadata": {"name": uid, "uid": uid}, "spec": {"service": "a"}, "status": status,
    }))
    .expect("a release")
}

fn lease(uid: &str, owner: &str) -> Lease {
    serde_json::from_value(json!({"metadata": {"uid": uid, "ownerReferences": [
        {"apiVersion": "aviary.dev/v1alpha1", "kind": "Release", "name": owner, "uid": owner},
    ]}}))
    .expect("a lease")
}

#[test]
fn guardian_is_the_owner_of_the_claim_or_the_one_before_it() {
    let (old, last, young) = (
        release("a", 1, true),
        release("b", 2, true),
        release("c", 3, false),
    );
    let all = [&old, &last, &young];
    let name =
        |lease: &Lease, all: &[&Release]| guardian(lease, all).map(|it| it.name().to_owned());
    // `c` has not written its first overlay yet.
    assert_eq!(name(&lease("lease", "c"), &all), Some("b".to_owned()));
    assert_eq!(name(&lease("lease", "b"), &all[..2]), Some("b".to_owned()));
    // The owner is gone: the claim goes next, and an older overlay must not come back.
    assert_eq!(name(&lease("lease", "b"), &all[..1]), None);
    // A claim that was made anew knows nobody of before.
    assert_eq!(name(&lease("another", "a"), &all), None);
}

/// The actions of a release in a phase after `Draft`, of v1 to v2, with a stable Deployment.
fn actions(spec: &Value, status: &Value, stable: &Value) -> Vec<Action> {
    let object = json!({
        "metadata": {"name": "r", "namespace": "default", "uid": "u", "finalizers": ["aviary.dev/release"]},
        "spec": spec, "status": status,
    });
    let release: Release = serde_json::from_value(object).expect("a release");
    let view = View {
        release: &release,
        service: None,
        deployments: vec![Arc::new(
            serde_json::from_value(stable.clone()).expect("a Deployment"),
        )],
        lease: None,
        proxies: None,
        measurements: Vec::new(),
        observed: None,
        references: [].into(),
    };
    plan(&view, jiff::Timestamp::UNIX_EPOCH).actions
}

#[test]
fn derived_deployment_is_the_stable_one_with_another_version_image_and_environment() {
    let container = json!({"name": "c", "image": "reviews:1", "env": [
        {"name": "A", "value": "1"}, {"name": "B", "value": "2"}]});
    let stable = json!({
        "metadata": {"name": "reviews-v1", "namespace": "default", "uid": "d", "resourceVersion": "7",
            "labels": {"app": "reviews", "version": "v1"},
            "annotations": {"deployment.kubernetes.io/revision": "3"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "reviews"}},
            "template": {"metadata": {"labels": {"app": "reviews", "version": "v1"}},
                "spec": {"containers": [container, {"name": "side", "image": "side:1"}]}},
        },
        "status": {"replicas": 3},
    });
    let spec = json!({
        "service": "reviews", "strategy": {"blueGreen": {}},
        "new": {"version": "v2", "image": "reviews:2", "env": [{"name": "A", "value": "9"}]},
    });
    let status = json!({
        "phase": "Preparing", "attempt": 1,
        "progress": {"pinnedAt": "2026-01-01T00:00:00.000000Z"},
        "stable": {"version": "v1", "deployment": "reviews-v1", "replicas": 3},
        "new": {"version": "v2", "deployment": "reviews-v2", "replicas": 2},
    });
    let created: Vec<Value> = actions(&spec, &status, &stable)
        .into_iter()
        .filter_map(|action| match action {
            Action::Create { kind, object, .. } if kind == DEPLOYMENT => Some(object),
            _ => None,
        })
        .collect();
    let container = json!({"name": "c", "image": "reviews:2", "env": [
        {"name": "B", "value": "2"}, {"name": "A", "value": "9"}]});
    let want = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "reviews-v2", "namespace": "default",
            "annotations": {"aviary.dev/derived-by": "r"},
            "labels": {"app": "reviews", "version": "v2"}},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "reviews", "version": "v2"}},
            "template": {"metadata": {"labels": {"app": "reviews", "version": "v2"}},
                "spec": {"containers": [container, {"name": "side", "image": "side:1"}]}},
        },
    });
    assert_eq!(created, [want]);
}

use serde_json::json;

use crate::Registry;

fn deployments() -> std::sync::Arc<crate::Kind> {
    Registry::builtin()
        .get("apps", "v1", "deployments")
        .expect("deployments")
        .clone()
}

#[test]
fn create_clears_status_and_starts_generations() {
    let mut object = json!({"metadata": {"name": "x"}, "spec": {}, "status": {"replicas": 3}});
    deployments().prepare_create(&mut object);
    assert_eq!(
        object,
        json!({"metadata": {"name": "x", "generation": 1}, "spec": {}})
    );
}

#[test]
fn create_node_keeps_its_status() {
    let registry = Registry::builtin();
    let kind = registry.get("", "v1", "nodes").expect("nodes");
    let mut object = json!({"metadata": {"name": "n"}, "status": {"phase": "x"}});
    kind.prepare_create(&mut object);
    assert_eq!(object["status"], json!({"phase": "x"}));
}

#[test]
fn update_of_specification_counts_a_generation_and_keeps_status() {
    let old = json!({
        "metadata": {"name": "x", "uid": "u", "generation": 4, "creationTimestamp": "t"},
        "spec": {"replicas": 1},
        "status": {"replicas": 1},
    });
    let mut new = json!({
        "metadata": {"name": "x", "labels": {"a": "b"}, "generation": 9},
        "spec": {"replicas": 2},
        "status": {"replicas": 7},
    });
    deployments().prepare_update(&mut new, &old, None);
    assert_eq!(
        new,
        json!({
            "metadata": {"name": "x", "labels": {"a": "b"}, "uid": "u", "generation": 5,
                         "creationTimestamp": "t"},
            "spec": {"replicas": 2},
            "status": {"replicas": 1},
        })
    );
}

#[test]
fn update_of_labels_counts_no_generation() {
    let old = json!({"metadata": {"name": "x", "generation": 4}, "spec": {}});
    let mut new = json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {}});
    deployments().prepare_update(&mut new, &old, None);
    assert_eq!(new["metadata"]["generation"], 4);
}

#[test]
fn update_of_status_changes_of_the_rest_only_annotations() {
    let old = json!({
        "metadata": {"name": "x", "generation": 4, "resourceVersion": "7",
                     "labels": {"a": "a"}, "annotations": {"gone": "1"}},
        "spec": {"replicas": 1},
    });
    let mut new = json!({
        "metadata": {"name": "x", "labels": {"a": "b"}, "resourceVersion": "7",
                     "annotations": {"deployment.kubernetes.io/revision": "1"}},
        "spec": {"replicas": 9},
        "status": {"replicas": 1},
    });
    deployments().prepare_update(&mut new, &old, Some("status"));
    let mut expected = old;
    expected["status"] = json!({"replicas": 1});
    expected["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
    assert_eq!(new, expected);
}

#[test]
fn selectable_fields_read_absent_ones_as_zero_values() {
    let registry = Registry::builtin();
    let kind = registry.get("", "v1", "pods").expect("pods");
    let pod = json!({"metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "a"}});
    let fields = kind.selectable_fields(&pod);
    let value = |name: &str| {
        fields
            .iter()
            .find(|(n, _)| &**n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(value("metadata.name"), Some("p"));
    assert_eq!(value("spec.nodeName"), Some("a"));
    assert_eq!(value("spec.hostNetwork"), Some("false"));
    assert_eq!(value("status.phase"), Some(""));
    assert_eq!(value("spec.color"), None);
}

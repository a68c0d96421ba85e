use serde_json::json;

use super::*;

#[test]
fn resource_list_names_objects_and_subresources() {
    let list = resource_list(&Registry::builtin(), "apps", "v1").expect("apps/v1 is served");
    let names: Vec<&str> = list["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .filter_map(|resource| resource["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status"
        ]
    );
    assert_eq!(list["resources"][1]["group"], "autoscaling");
    assert_eq!(list["resources"][0]["shortNames"], json!(["deploy"]));
}

#[test]
fn groups_are_listed_without_core() {
    let list = api_groups(&Registry::builtin());
    let names: Vec<&str> = list["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .filter_map(|group| group["name"].as_str())
        .collect();
    assert_eq!(
        names,
        [
            "apiextensions.k8s.io",
            "apps",
            "coordination.k8s.io",
            "discovery.k8s.io",
            "events.k8s.io"
        ]
    );
    assert_eq!(
        list["groups"][1]["preferredVersion"]["groupVersion"],
        "apps/v1"
    );
    assert_eq!(api_group(&Registry::builtin(), "nope"), None);
}

#[test]
fn aggregated_core_has_one_group_without_name() {
    let list = aggregated(&Registry::builtin(), Root::Core);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["items"][0]["metadata"], json!({}));
    let pods = list["items"][0]["versions"][0]["resources"]
        .as_array()
        .and_then(|all| all.iter().find(|resource| resource["resource"] == "pods"))
        .expect("pods");
    assert_eq!(pods["scope"], "Namespaced");
    assert_eq!(pods["categories"], json!(["all"]));
}

use serde_json::json;

use super::*;

fn apps() -> Value {
    document(&Registry::builtin(), "apps", "v1").expect("apps/v1 is served")
}

#[test]
fn document_of_unknown_group_is_none() {
    assert_eq!(document(&Registry::builtin(), "nope", "v1"), None);
}

#[test]
fn index_lists_each_group_version_with_its_hash() {
    let index = index(&Registry::builtin(), |group, _| format!("H-{group}"));
    let url = |path: &str| index["paths"][path]["serverRelativeURL"].clone();
    assert_eq!(url("api/v1"), "/openapi/v3/api/v1?hash=H-");
    assert_eq!(url("apis/apps/v1"), "/openapi/v3/apis/apps/v1?hash=H-apps");
}

#[test]
fn components_carry_what_patches_need() {
    let document = apps();
    let schemas = &document["components"]["schemas"];
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-strategy"], "merge");
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
    assert_eq!(
        containers["items"],
        json!({"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"})
    );
    let spec = &schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"];
    assert_eq!(
        spec["strategy"]["x-kubernetes-patch-strategy"],
        "retainKeys"
    );
    assert_eq!(
        spec["template"]["allOf"][0]["$ref"],
        "#/components/schemas/io.k8s.api.core.v1.PodTemplateSpec"
    );
    assert_eq!(
        schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
}

#[test]
fn every_reference_has_its_component() {
    for (group, version) in Registry::builtin().group_versions() {
        let document = document(&Registry::builtin(), &group, &version).expect("served");
        let schemas = document["components"]["schemas"]
            .as_object()
            .expect("components");
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap_or_default();
            assert!(schemas.get(name).is_some_and(Value::is_object), "{name}");
        }
    }
}

#[test]
fn patch_operation_lists_parameters_and_types() {
    let document = apps();
    let patch =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    let names: Vec<&str> = patch["parameters"]
        .as_array()
        .expect("parameters")
        .iter()
        .filter_map(|parameter| parameter["name"].as_str())
        .collect();
    assert_eq!(
        names,
        ["dryRun", "fieldManager", "fieldValidation", "force"]
    );
    assert!(patch["requestBody"]["content"]["application/strategic-merge-patch+json"].is_object());
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
}

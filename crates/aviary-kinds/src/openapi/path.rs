//! Paths: which operations a kind takes, with which parameters and bodies.

use serde_json::{Map, Value, json};

use super::{base_path, component_name};
use crate::kind::Kind;

const WRITE_PARAMETERS: [(&str, &str); 3] = [
    ("dryRun", "string"),
    ("fieldManager", "string"),
    ("fieldValidation", "string"),
];

const LIST_PARAMETERS: [(&str, &str); 10] = [
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

const DELETE_PARAMETERS: [(&str, &str); 4] = [
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];

const JSON: &[&str] = &["application/json", "application/yaml"];

/// Adds every path of a kind.
pub(super) fn add(paths: &mut Map<String, Value>, kind: &Kind) {
    let base = base_path(&kind.group, &kind.version);
    let own = [&*kind.group, &*kind.version, &*kind.kind];
    let list = if kind.namespaced() {
        paths.insert(
            format!("{base}/{}", kind.plural),
            json!({"get": operation(kind, "list", own, &LIST_PARAMETERS, None)}),
        );
        format!("{base}/namespaces/{{namespace}}/{}", kind.plural)
    } else {
        format!("{base}/{}", kind.plural)
    };
    let mut operations = json!({
        "get": operation(kind, "list", own, &LIST_PARAMETERS, None),
        "post": operation(kind, "post", own, &WRITE_PARAMETERS, Some(JSON)),
    });
    if kind.verbs.iter().any(|verb| &**verb == "deletecollection") {
        operations["delete"] = operation(kind, "deletecollection", own, &DELETE_PARAMETERS, None);
    }
    paths.insert(list.clone(), with_parameters(operations, &list));

    let one = format!("{list}/{{name}}");
    let mut operations = json!({
        "get": operation(kind, "get", own, &[], None),
        "put": operation(kind, "put", own, &WRITE_PARAMETERS, Some(JSON)),
        "delete": operation(kind, "delete", own, &DELETE_PARAMETERS, None),
    });
    operations["patch"] = patch(kind, own);
    paths.insert(one.clone(), with_parameters(operations, &one));

    for sub in &kind.subresources {
        let about = [&*sub.group, &*sub.version, &*sub.kind];
        let mut operations = json!({});
        for verb in &sub.verbs {
            match &**verb {
                "get" => operations["get"] = operation(kind, "get", about, &[], None),
                "create" => {
                    operations["post"] =
                        operation(kind, "post", about, &WRITE_PARAMETERS, Some(JSON));
                }
                "update" => {
                    operations["put"] =
                        operation(kind, "put", about, &WRITE_PARAMETERS, Some(JSON));
                }
                "patch" => operations["patch"] = patch(kind, about),
                _ => {}
            }
        }
        let path = format!("{one}/{}", sub.name);
        paths.insert(path.clone(), with_parameters(operations, &path));
    }
}

fn patch(kind: &Kind, about: [&str; 3]) -> Value {
    let mut types = vec![
        "application/json-patch+json",
        "application/merge-patch+json",
    ];
    if kind.strategic_patch {
        types.push("application/strategic-merge-patch+json");
    }
    types.push("application/apply-patch+yaml");
    let mut operation = operation(kind, "patch", about, &WRITE_PARAMETERS, Some(&types));
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.push(query("force", "boolean"));
    }
    operation
}

fn operation(
    kind: &Kind,
    action: &str,
    [group, version, name]: [&str; 3],
    parameters: &[(&str, &str)],
    body: Option<&[&str]>,
) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|(name, kind)| query(name, kind))
        .collect();
    let object = json!({"$ref": format!("#/components/schemas/{}", component_name(kind))});
    let mut value = json!({
        "parameters": parameters,
        "responses": {"200": {"description": "OK"}, "401": {"description": "Unauthorized"}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": name},
    });
    if matches!(action, "get" | "post" | "put") && name == &*kind.kind {
        value["responses"]["200"]["content"] = json!({"application/json": {"schema": object}});
    }
    if let Some(types) = body {
        let schema = if action == "patch" {
            json!({"type": "object"})
        } else {
            object
        };
        let content: Map<String, Value> = types
            .iter()
            .map(|media| ((*media).to_owned(), json!({"schema": schema})))
            .collect();
        value["requestBody"] = json!({"content": content, "required": true});
    }
    value
}

fn query(name: &str, kind: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

/// Adds the parameters that the path itself names.
fn with_parameters(mut operations: Value, path: &str) -> Value {
    let named = ["name", "namespace"]
        .into_iter()
        .filter(|name| path.contains(&format!("{{{name}}}")));
    let parameters: Vec<Value> = named
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    operations["parameters"] = json!(parameters);
    operations
}

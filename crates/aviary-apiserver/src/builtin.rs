//! What the server itself adds to new objects: service accounts and tolerations of pods, the
//! content of namespaces, first statuses.

use aviary_kinds::{Kind, Status};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    admission::AdmissionRequest,
    api::text,
    http::{generate, uid},
    store::{Expect, Key, Mutation, Op},
};

/// Where pods find their token.
const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

fn is_core(kind: &Kind, name: &str) -> bool {
    kind.group.is_empty() && &*kind.kind == name
}

/// Changes a new object before the configured hooks see it.
pub(crate) fn mutate(
    kind: &Kind,
    request: &AdmissionRequest<'_>,
    object: &mut Value,
) -> Result<(), Status> {
    if is_core(kind, "Pod") {
        service_account(kind, request, object)?;
        tolerations(object);
        let spec = &mut object["spec"];
        set_default(spec, "priority", json!(0));
        set_default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
        set_default(spec, "enableServiceLinks", json!(true));
    } else if is_core(kind, "Namespace") {
        let name = request.name.to_owned();
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
        set_default(&mut object["spec"], "finalizers", json!(["kubernetes"]));
    }
    Ok(())
}

fn set_default(object: &mut Value, name: &str, value: Value) {
    if object.get(name).is_none_or(Value::is_null) {
        object[name] = value;
    }
}

/// The status that a new object begins with.
pub(crate) fn initial_status(kind: &Kind, object: &mut Value) {
    if is_core(kind, "Pod") {
        let class = quality_of_service(&object["spec"]);
        object["status"] = json!({ "phase": "Pending", "qosClass": class });
    } else if is_core(kind, "Namespace") {
        object["status"] = json!({ "phase": "Active" });
    } else if is_core(kind, "Service") {
        object["status"] = json!({ "loadBalancer": {} });
    } else if &*kind.group == "apps" {
        // Shown by the real server before any controller has written.
        object["status"] = match &*kind.kind {
            "ReplicaSet" => json!({ "replicas": 0 }),
            _ => json!({}),
        };
    }
}

/// Source: Kubernetes "Pod Quality of Service Classes".
fn quality_of_service(spec: &Value) -> &'static str {
    let none = Vec::new();
    let list = |name: &str| spec[name].as_array().unwrap_or(&none).iter();
    let mut any = false;
    let mut guaranteed = true;
    for container in list("initContainers").chain(list("containers")) {
        for resource in ["cpu", "memory"] {
            let at = |side: &str| &container["resources"][side][resource];
            let (request, limit) = (at("requests"), at("limits"));
            any |= !request.is_null() || !limit.is_null();
            guaranteed &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Gives a pod its service account, the account's pull secrets and a token volume.
fn service_account(
    kind: &Kind,
    request: &AdmissionRequest<'_>,
    pod: &mut Value,
) -> Result<(), Status> {
    let spec = &mut pod["spec"];
    let given = [
        text(spec, &["serviceAccountName"]),
        text(spec, &["serviceAccount"]),
    ];
    let name = given
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or("default")
        .to_owned();
    let account = (request.get)("/serviceaccounts", request.namespace, &name);
    let Some(account) = account else {
        let namespace = request.namespace;
        let detail = format!(
            "error looking up service account {namespace}/{name}: serviceaccount \"{name}\" not found"
        );
        let shown = if request.name.is_empty() {
            text(pod, &["metadata", "generateName"])
        } else {
            request.name
        };
        return Err(Status::forbidden(kind, shown, &detail));
    };
    spec["serviceAccountName"] = json!(name);
    spec["serviceAccount"] = json!(name);
    let no_secrets = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    if no_secrets(&spec["imagePullSecrets"]) {
        if no_secrets(&account["imagePullSecrets"]) {
            if let Some(map) = spec.as_object_mut() {
                map.shift_remove("imagePullSecrets");
            }
        } else {
            spec["imagePullSecrets"] = account["imagePullSecrets"].clone();
        }
    }
    let wish = |value: &Value| {
        value
            .get("automountServiceAccountToken")
            .and_then(Value::as_bool)
    };
    if wish(spec).or_else(|| wish(&account)).unwrap_or(true) {
        mount_token(spec);
    }
    Ok(())
}

fn mount_token(spec: &mut Value) {
    let volume = generate("kube-api-access-");
    let mut mounted = false;
    for list in ["initContainers", "containers"] {
        let Some(containers) = spec.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        for container in containers {
            let Some(container) = container.as_object_mut() else {
                continue;
            };
            let mounts = container.entry("volumeMounts").or_insert_with(|| json!([]));
            let Some(mounts) = mounts.as_array_mut() else {
                continue;
            };
            if mounts
                .iter()
                .any(|mount| text(mount, &["mountPath"]) == TOKEN_PATH)
            {
                continue;
            }
            mounts.push(json!({ "name": volume, "readOnly": true, "mountPath": TOKEN_PATH }));
            mounted = true;
        }
    }
    if !mounted {
        return;
    }
    let projected = json!({
        "name": volume,
        "projected": {
            "sources": [
                { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
                { "configMap": {
                    "name": "kube-root-ca.crt",
                    "items": [{ "key": "ca.crt", "path": "ca.crt" }],
                } },
                { "downwardAPI": { "items": [{
                    "path": "namespace",
                    "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" },
                }] } },
            ],
            "defaultMode": 420,
        },
    });
    match spec.get_mut("volumes").and_then(Value::as_array_mut) {
        Some(volumes) => volumes.push(projected),
        None => spec["volumes"] = json!([projected]),
    }
}

/// Every pod stays for five minutes on a node that is lost.
fn tolerations(pod: &mut Value) {
    let mut list = pod["spec"]["tolerations"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    for key in [
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
    ] {
        let tolerated = list.iter().any(|toleration| {
            let (given, effect) = (text(toleration, &["key"]), text(toleration, &["effect"]));
            (given == key || given.is_empty()) && matches!(effect, "NoExecute" | "")
        });
        if !tolerated {
            list.push(json!({
                "key": key,
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 300,
            }));
        }
    }
    pod["spec"]["tolerations"] = Value::Array(list);
}

/// What every namespace contains from its first moment.
pub(crate) fn namespace_content(ca: &str, namespace: &str, now: Timestamp) -> Vec<Mutation> {
    let note = "Contains a CA bundle that can be used to verify the kube-apiserver when using \
                internal endpoints such as the internal service IP or kubernetes.default.svc. No \
                other usage is guaranteed across distributions of Kubernetes clusters.";
    let mut root = object("v1", "ConfigMap", namespace, "kube-root-ca.crt", now);
    root["metadata"]["annotations"] = json!({ "kubernetes.io/description": note });
    root["data"] = json!({ "ca.crt": ca });
    let account = object("v1", "ServiceAccount", namespace, "default", now);
    vec![
        create("/serviceaccounts", namespace, "default", account),
        create("/configmaps", namespace, "kube-root-ca.crt", root),
    ]
}

/// A new object with nothing but its metadata.
pub(crate) fn object(
    api_version: &str,
    kind: &str,
    namespace: &str,
    name: &str,
    now: Timestamp,
) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), json!(name));
    if !namespace.is_empty() {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    metadata.insert("uid".to_owned(), json!(uid()));
    metadata.insert("creationTimestamp".to_owned(), json!(now.to_string()));
    json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata })
}

/// Stores an object that must not exist.
pub(crate) fn create(resource: &str, namespace: &str, name: &str, value: Value) -> Mutation {
    Mutation {
        key: Key::new(resource, namespace, name),
        expect: Expect::Absent,
        op: Op::Put(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let spec = |resources: Value| json!({ "containers": [{ "resources": resources }] });
        assert_eq!(quality_of_service(&spec(json!({}))), "BestEffort");
        let same = json!({ "limits": { "cpu": "1", "memory": "1Mi" } });
        assert_eq!(quality_of_service(&spec(same)), "Guaranteed");
        let some = json!({ "requests": { "cpu": "1" } });
        assert_eq!(quality_of_service(&spec(some)), "Burstable");
    }

    #[test]
    fn mount_token_reaches_every_container_once() {
        let mut spec = json!({
            "containers": [{ "name": "a" }, { "name": "b", "volumeMounts": [{ "mountPath": TOKEN_PATH }] }],
        });
        mount_token(&mut spec);
        assert_eq!(
            spec["containers"][0]["volumeMounts"][0]["mountPath"],
            TOKEN_PATH
        );
        assert_eq!(
            spec["containers"][1]["volumeMounts"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
        assert_eq!(spec["volumes"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn tolerations_given_by_the_user_stay() {
        let mut pod = json!({ "spec": { "tolerations": [{ "operator": "Exists" }] } });
        tolerations(&mut pod);
        assert_eq!(pod["spec"]["tolerations"].as_array().map(Vec::len), Some(1));
    }
}

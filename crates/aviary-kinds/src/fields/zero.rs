//! What an object of a built-in kind has before anything is written into it.
//!
//! The real server compares typed objects. Their plain structs and fields without `omitempty` are
//! always there, so nobody is ever said to have added them: `f:spec` has no `.` of its own.

use serde_json::{Map, Value, json};

use crate::{Kind, kind::Rules};

/// The empty object of a kind.
///
/// Source: struct definitions of k8s.io/api v1.36.
fn zero(kind: &Kind) -> Value {
    if !matches!(kind.rules, Rules::BuiltIn) {
        return json!({});
    }
    let template = json!({"metadata": {}, "spec": {"containers": null}});
    match &*kind.kind {
        "Pod" => json!({"spec": {"containers": null}, "status": {}}),
        "Namespace" => json!({"spec": {}, "status": {}}),
        "Service" => json!({"spec": {}, "status": {"loadBalancer": {}}}),
        "Node" => json!({
            "spec": {},
            "status": {
                "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
                "nodeInfo": {
                    "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "",
                    "osImage": "", "containerRuntimeVersion": "", "kubeletVersion": "",
                    "kubeProxyVersion": "", "operatingSystem": "", "architecture": "",
                },
            },
        }),
        "Deployment" => json!({
            "spec": {"selector": null, "template": template, "strategy": {}},
            "status": {},
        }),
        "ReplicaSet" => json!({
            "spec": {"selector": null, "template": {"metadata": {}, "spec": {"containers": null}}},
            "status": {"replicas": 0},
        }),
        "Lease" => json!({"spec": {}}),
        "EndpointSlice" => json!({"addressType": "", "endpoints": null, "ports": null}),
        "Event" if kind.group.is_empty() => json!({
            "involvedObject": {}, "source": {}, "firstTimestamp": null, "lastTimestamp": null,
            "eventTime": null, "reportingComponent": "", "reportingInstance": "",
        }),
        "Event" => json!({
            "eventTime": null, "regarding": {}, "deprecatedSource": {},
            "deprecatedFirstTimestamp": null, "deprecatedLastTimestamp": null,
        }),
        "CustomResourceDefinition" => json!({
            "spec": {
                "group": "", "names": {"plural": "", "kind": ""}, "scope": "", "versions": null,
            },
            "status": {
                "conditions": null, "acceptedNames": {"plural": "", "kind": ""},
                "storedVersions": null,
            },
        }),
        _ => json!({}),
    }
}

/// The object as the typed server would hold it: with the parts that are never absent.
pub(super) fn completed(kind: &Kind, object: Option<&Value>) -> Value {
    let mut completed = object.cloned().unwrap_or_else(|| Value::Object(Map::new()));
    fill(&mut completed, zero(kind));
    completed
}

fn fill(target: &mut Value, zero: Value) {
    let (Value::Object(target), Value::Object(zero)) = (target, zero) else {
        return;
    };
    for (name, value) in zero {
        match target.get_mut(&name) {
            Some(present) => fill(present, value),
            None => {
                target.insert(name, value);
            }
        }
    }
}

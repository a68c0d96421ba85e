//! What may not change after a pod is made.

use serde_json::{Value, json};

use super::Report;

const DETAIL: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Compares the specifications with all that may change taken out.
pub(super) fn pod(report: &mut Report, new: &Value, old: &Value) {
    let added_only = |name: &str| {
        let all = |side: &Value| side["spec"][name].as_array().cloned().unwrap_or_default();
        let new = all(new);
        all(old).iter().all(|item| new.contains(item))
    };
    if !added_only("tolerations") {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        report.forbidden("spec.tolerations", detail);
    }
    let count = |side: &Value, name: &str| side["spec"][name].as_array().map_or(0, Vec::len);
    for name in ["containers", "initContainers"] {
        if count(new, name) != count(old, name) {
            let detail = "pod updates may not add or remove containers";
            report.forbidden(format!("spec.{name}"), detail);
            return;
        }
    }
    if fixed(new, old) != fixed(old, old) {
        report.forbidden("spec", DETAIL);
    }
}

/// The specification without the fields that may change. A node name may be set once (binding),
/// scheduling gates may go.
fn fixed(pod: &Value, old: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    for name in ["containers", "initContainers"] {
        for container in spec
            .get_mut(name)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            container["image"] = json!("");
            if let Some(map) = container.as_object_mut() {
                // In-place resize has its own rules in the node agent.
                map.shift_remove("resources");
            }
        }
    }
    if let Some(map) = spec.as_object_mut() {
        for name in [
            "activeDeadlineSeconds",
            "tolerations",
            "schedulingGates",
            "ephemeralContainers",
        ] {
            map.shift_remove(name);
        }
        let bound = old["spec"]["nodeName"]
            .as_str()
            .is_some_and(|node| !node.is_empty());
        if !bound {
            map.shift_remove("nodeName");
        }
        let was = old["spec"]["terminationGracePeriodSeconds"].as_i64();
        if was.is_some_and(|seconds| seconds < 0) {
            map.shift_remove("terminationGracePeriodSeconds");
        }
    }
    spec
}

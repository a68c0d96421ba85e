//! Nodes whose agent falls silent.
//!
//! Source: the documented behaviour of Kubernetes' node lifecycle controller.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};

use crate::kind::{NODE, POD};
use crate::object::{self, api_time, normal_event, to_value};
use crate::plan::{Action, Plan};
use crate::pod;

#[cfg(test)]
mod tests;

const COMPONENT: &str = "node-controller";
/// How long a lease may go without renewal.
const GRACE: SignedDuration = SignedDuration::from_secs(40);
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// What the planner looks at.
#[derive(Debug)]
pub struct View<'a> {
    /// The node.
    pub node: &'a Node,
    /// When the node's lease was last seen to change; `None` if it has no lease.
    pub renewed: Option<Timestamp>,
    /// The pods bound to it.
    pub pods: Vec<Arc<Pod>>,
}

/// Marks a silent node as unknown, tells its taints, and its pods as not ready.
pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let node = view.node;
    let status = node.status.as_ref();
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let Some(ready) = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
    else {
        return plan;
    };
    let seen = view
        .renewed
        .unwrap_or_else(|| object::created(&node.metadata));
    let silent_at = seen + GRACE;
    let silent = silent_at <= now;
    if !silent {
        plan.wake_by(silent_at);
    }
    if silent && ready.status != "Unknown" {
        let mut marked = node.clone();
        let conditions = marked
            .status
            .get_or_insert_default()
            .conditions
            .get_or_insert_default();
        for condition in conditions {
            silence(condition, now);
        }
        plan.actions.push(Action::UpdateStatus {
            kind: NODE,
            object: to_value(&marked),
        });
        let message = format!(
            "Node {} status is now: NodeNotReady",
            object::name(&node.metadata)
        );
        plan.actions.push(Action::Event(normal_event(
            &NODE,
            &node.metadata,
            COMPONENT,
            "NodeNotReady",
            message,
        )));
        // Taints follow when the changed node comes back in.
        return plan;
    }
    set_taints(node, &ready.status, &mut plan, now);
    if silent {
        let ready_pods = view.pods.iter().filter(|pod| pod::is_ready(pod));
        plan.actions
            .extend(ready_pods.map(|pod| not_ready(pod, now)));
    }
    plan
}

fn silence(condition: &mut NodeCondition, now: Timestamp) {
    if condition.status == "Unknown" {
        return;
    }
    "Unknown".clone_into(&mut condition.status);
    condition.reason = Some("NodeStatusUnknown".to_owned());
    condition.message = Some("Kubelet stopped posting node status.".to_owned());
    condition.last_transition_time = Some(api_time(now));
}

/// Both effects of the taint that goes with the node's readiness, and of no other.
fn set_taints(node: &Node, ready: &str, plan: &mut Plan, now: Timestamp) {
    let key = match ready {
        "True" => None,
        "Unknown" => Some(UNREACHABLE),
        _ => Some(NOT_READY),
    };
    let old = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    let ours = |taint: &Taint| taint.key == UNREACHABLE || taint.key == NOT_READY;
    let mut taints: Vec<Taint> = old
        .iter()
        .filter(|taint| !ours(taint) || Some(taint.key.as_str()) == key)
        .cloned()
        .collect();
    for effect in ["NoSchedule", "NoExecute"] {
        if let Some(key) = key
            && !taints
                .iter()
                .any(|taint| taint.key == key && taint.effect == effect)
        {
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                time_added: Some(api_time(now)),
                ..Taint::default()
            });
        }
    }
    if taints.as_slice() == old {
        return;
    }
    let mut changed = node.clone();
    changed.spec.get_or_insert_default().taints = Some(taints).filter(|taints| !taints.is_empty());
    plan.actions.push(Action::Update {
        kind: NODE,
        object: to_value(&changed),
    });
}

fn not_ready(pod: &Pod, now: Timestamp) -> Action {
    let mut pod = pod.clone();
    let status = pod.status.get_or_insert_default();
    for condition in status.conditions.iter_mut().flatten() {
        if condition.type_ == "Ready" {
            "False".clone_into(&mut condition.status);
            condition.last_transition_time = Some(api_time(now));
        }
    }
    Action::UpdateStatus {
        kind: POD,
        object: to_value(&pod),
    }
}

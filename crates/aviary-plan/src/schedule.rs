//! Scheduling: giving each waiting pod a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition, Taint, Toleration};

use crate::kind::POD;
use crate::object::{self, api_time, normal_event, to_value};
use crate::plan::{Action, Plan};
use crate::pod;
use crate::selector::contains_all;

#[cfg(test)]
mod tests;

const COMPONENT: &str = "default-scheduler";

/// What the planner looks at.
#[derive(Debug)]
pub struct View<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// All nodes, by name.
    pub nodes: Vec<Arc<Node>>,
    /// Pods per node.
    pub load: BTreeMap<String, usize>,
}

/// Whether the pod waits for a node from this scheduler.
pub fn is_waiting(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    pod::node(pod).is_none()
        && pod::is_active(pod)
        && spec
            .scheduler_name
            .as_deref()
            .is_none_or(|name| name == COMPONENT)
        && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
}

/// Binds the pod to the least loaded node that takes it, or says why none does.
pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if !is_waiting(view.pod) {
        return plan;
    }
    let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
    let mut best: Option<(usize, &str)> = None;
    for node in &view.nodes {
        let name = object::name(&node.metadata);
        if let Some(reason) = refusal(view.pod, node) {
            *refusals.entry(reason).or_default() += 1;
        } else {
            let load = (view.load.get(name).copied().unwrap_or(0), name);
            best = Some(best.map_or(load, |best| best.min(load)));
        }
    }
    let meta = &view.pod.metadata;
    let Some((_, node)) = best else {
        say_unschedulable(view, &refusals, &mut plan, now);
        return plan;
    };
    plan.actions.push(Action::Bind {
        pod: object::target(&POD, meta),
        node: node.to_owned(),
    });
    plan.actions.push(Action::Event(normal_event(
        &POD,
        meta,
        COMPONENT,
        "Scheduled",
        format!(
            "Successfully assigned {}/{} to {node}",
            object::namespace(meta),
            object::name(meta)
        ),
    )));
    plan
}

fn refusal(pod: &Pod, node: &Node) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let labels = node.metadata.labels.as_ref();
    if spec
        .node_selector
        .as_ref()
        .is_some_and(|wanted| !contains_all(wanted, labels))
    {
        return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
    }
    let node_spec = node.spec.as_ref();
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let taints = node_spec
        .and_then(|spec| spec.taints.as_deref())
        .unwrap_or_default();
    let hard = taints
        .iter()
        .filter(|taint| taint.effect != "PreferNoSchedule");
    for taint in hard {
        if !tolerations
            .iter()
            .any(|toleration| tolerates(toleration, taint))
        {
            return Some(format!(
                "node(s) had untolerated taint(s) {{{}: {}}}",
                taint.key,
                taint.value.as_deref().unwrap_or_default()
            ));
        }
    }
    if node_spec.and_then(|spec| spec.unschedulable) == Some(true) {
        return Some("node(s) were unschedulable".to_owned());
    }
    let status = node.status.as_ref();
    let conditions = status
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .any(|found| found.type_ == "Ready" && found.status == "True");
    (!ready).then(|| "node(s) were not ready".to_owned())
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let exists = toleration.operator.as_deref() == Some("Exists");
    (effect.is_empty() || effect == taint.effect)
        && (key == taint.key || (key.is_empty() && exists))
        && (exists
            || toleration.value.as_deref().unwrap_or_default()
                == taint.value.as_deref().unwrap_or_default())
}

fn say_unschedulable(
    view: &View<'_>,
    refusals: &BTreeMap<String, usize>,
    plan: &mut Plan,
    now: Timestamp,
) {
    let count = view.nodes.len();
    let message = if count == 0 {
        "no nodes available to schedule pods".to_owned()
    } else {
        let reasons: Vec<String> = refusals
            .iter()
            .map(|(reason, nodes)| format!("{nodes} {reason}"))
            .collect();
        format!("0/{count} nodes are available: {}.", reasons.join(", "))
    };
    plan.wait(message.clone());
    let known = pod::condition(view.pod, "PodScheduled").is_some_and(|condition| {
        condition.status == "False" && condition.message.as_ref() == Some(&message)
    });
    if known {
        return;
    }
    let mut event = normal_event(
        &POD,
        &view.pod.metadata,
        COMPONENT,
        "FailedScheduling",
        message.clone(),
    );
    event.warning = true;
    plan.actions.push(Action::Event(event));
    let mut pod = view.pod.clone();
    let status = pod.status.get_or_insert_default();
    let conditions = status.conditions.get_or_insert_default();
    conditions.retain(|condition| condition.type_ != "PodScheduled");
    conditions.push(PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("Unschedulable".to_owned()),
        message: Some(message),
        last_transition_time: Some(api_time(now)),
        ..PodCondition::default()
    });
    plan.actions.push(Action::UpdateStatus {
        kind: POD,
        object: to_value(&pod),
    });
}

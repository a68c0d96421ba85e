//! `ReplicaSets`: keeping a number of pods of one template.
//!
//! Source: the documented behaviour of Kubernetes' ReplicaSet controller, 1.36.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{
    ReplicaSet, ReplicaSetCondition, ReplicaSetSpec, ReplicaSetStatus,
};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::kind::{POD, REPLICA_SET};
use crate::object::{self, api_time, is_controlled_by, normal_event, to_value};
use crate::plan::{Action, Plan};
use crate::selector::{Labels, contains_all};
use crate::{ownership, pod};

mod rank;
#[cfg(test)]
mod tests;

const COMPONENT: &str = "replicaset-controller";
/// Most pods created or deleted in one plan.
const BURST: usize = 500;

/// What the planner looks at.
#[derive(Debug)]
pub struct View<'a> {
    /// The ReplicaSet.
    pub replica_set: &'a ReplicaSet,
    /// All pods of its namespace.
    pub pods: Vec<Arc<Pod>>,
    /// Why the last attempt to carry out a plan for it failed; `None` if it did not.
    pub failure: Option<&'a str>,
}

/// What to write so that the ReplicaSet has its pods and its status tells of them.
pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let set = view.replica_set;
    let Some(spec) = &set.spec else {
        return Plan::default();
    };
    let deleting = set.metadata.deletion_timestamp.is_some();
    let live = view.pods.iter().filter(|pod| pod::is_active(pod));
    let live: Vec<&Arc<Pod>> = live.collect();
    let claims = ownership::claim_all(
        &object::target(&REPLICA_SET, &set.metadata),
        deleting,
        &object::controller_reference::<ReplicaSet>(&set.metadata),
        &spec.selector,
        &POD,
        live.iter().map(|pod| &pod.metadata),
    );
    if !claims.actions.is_empty() {
        return Plan {
            actions: claims.actions,
            ..Plan::default()
        };
    }
    let owned = live
        .into_iter()
        .zip(claims.owned)
        .filter(|(_, owned)| *owned);
    let owned: Vec<&Pod> = owned.map(|(pod, _)| pod.as_ref()).collect();
    let mut plan = Plan::default();
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
    let status = status(view, spec, &owned, wanted, now);
    if view.failure.is_some() {
        // The creation may fail again and end the plan there; the status must say so first.
        report_failure(view, &status, &mut plan);
        write_status(set, status, &mut plan);
        manage(set, spec, &owned, wanted, deleting, &mut plan, now);
    } else {
        manage(set, spec, &owned, wanted, deleting, &mut plan, now);
        write_status(set, status, &mut plan);
    }
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let coming = owned
        .iter()
        .filter_map(|pod| pod::available_at(pod, min_ready));
    if let Some(next) = coming.filter(|at| *at > now).min() {
        // Reported times have whole seconds. One second later, the pod was ready for the whole of
        // its time, and pods that became ready side by side count together: a rollout then takes
        // one step for them and not one each.
        plan.wake_by(next + SignedDuration::from_secs(1));
    }
    plan
}

fn manage(
    set: &ReplicaSet,
    spec: &ReplicaSetSpec,
    owned: &[&Pod],
    wanted: usize,
    deleting: bool,
    plan: &mut Plan,
    now: Timestamp,
) {
    if deleting {
        return;
    }
    if owned.len() < wanted {
        let missing = (wanted - owned.len()).min(BURST);
        let create = Action::Create {
            kind: POD,
            object: to_value(&new_pod(set, spec)),
            event: Some(normal_event(
                &REPLICA_SET,
                &set.metadata,
                COMPONENT,
                "SuccessfulCreate",
                "Created pod: {name}".to_owned(),
            )),
        };
        plan.actions.extend(std::iter::repeat_n(create, missing));
    }
    if owned.len() > wanted {
        let surplus = (owned.len() - wanted).min(BURST);
        for pod in rank::first_to_go(owned, spec.min_ready_seconds.unwrap_or(0), now)
            .into_iter()
            .take(surplus)
        {
            plan.actions.push(Action::Delete {
                target: object::target(&POD, &pod.metadata),
                propagation: None,
                unless_any: Vec::new(),
                event: Some(normal_event(
                    &REPLICA_SET,
                    &set.metadata,
                    COMPONENT,
                    "SuccessfulDelete",
                    format!("Deleted pod: {}", object::name(&pod.metadata)),
                )),
            });
        }
    }
}

fn new_pod(set: &ReplicaSet, spec: &ReplicaSetSpec) -> Pod {
    let template = spec.template.clone().unwrap_or_default();
    let metadata = template.metadata.unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", object::name(&set.metadata))),
            namespace: set.metadata.namespace.clone(),
            labels: metadata.labels,
            annotations: metadata.annotations,
            finalizers: metadata.finalizers,
            owner_references: Some(vec![object::controller_reference::<ReplicaSet>(
                &set.metadata,
            )]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

fn status(
    view: &View<'_>,
    spec: &ReplicaSetSpec,
    owned: &[&Pod],
    wanted: usize,
    now: Timestamp,
) -> ReplicaSetStatus {
    let set = view.replica_set;
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let template = spec
        .template
        .as_ref()
        .and_then(|template| template.metadata.as_ref());
    let template_labels = template.and_then(|metadata| metadata.labels.as_ref());
    let no_labels = Labels::new();
    let template_labels = template_labels.unwrap_or(&no_labels);
    let uid = object::uid(&set.metadata);
    let count = |test: &dyn Fn(&Pod) -> bool| {
        i32::try_from(owned.iter().filter(|pod| test(pod)).count()).unwrap_or(i32::MAX)
    };
    let some = |number: i32| Some(number).filter(|number| *number != 0);
    let terminating = view.pods.iter().filter(|pod| {
        pod::is_terminating(pod) && !pod::is_finished(pod) && is_controlled_by(&pod.metadata, uid)
    });
    let replicas = i32::try_from(owned.len()).unwrap_or(i32::MAX);
    ReplicaSetStatus {
        replicas,
        fully_labeled_replicas: some(count(&|pod| {
            contains_all(template_labels, pod.metadata.labels.as_ref())
        })),
        ready_replicas: some(count(&pod::is_ready)),
        available_replicas: some(count(&|pod| pod::is_available(pod, min_ready, now))),
        terminating_replicas: i32::try_from(terminating.count()).ok(),
        observed_generation: set.metadata.generation,
        conditions: conditions(view, owned.len() < wanted, now),
    }
}

/// Conditions with `ReplicaFailure` present exactly as long as pods are missing after a failure.
fn conditions(view: &View<'_>, missing: bool, now: Timestamp) -> Option<Vec<ReplicaSetCondition>> {
    let old = view
        .replica_set
        .status
        .as_ref()
        .and_then(|status| status.conditions.clone());
    let Some(message) = view.failure.filter(|_| missing) else {
        let mut kept = old?;
        kept.retain(|condition| condition.type_ != "ReplicaFailure");
        return (!kept.is_empty()).then_some(kept);
    };
    let mut conditions = old.unwrap_or_default();
    if !conditions
        .iter()
        .any(|condition| condition.type_ == "ReplicaFailure")
    {
        conditions.push(ReplicaSetCondition {
            type_: "ReplicaFailure".to_owned(),
            status: "True".to_owned(),
            reason: Some("FailedCreate".to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(api_time(now)),
        });
    }
    Some(conditions)
}

/// An event for a failure that the status does not tell of yet.
fn report_failure(view: &View<'_>, status: &ReplicaSetStatus, plan: &mut Plan) {
    let set = view.replica_set;
    let known = set
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let failed = |conditions: Option<&Vec<ReplicaSetCondition>>| {
        conditions.is_some_and(|list| list.iter().any(|c| c.type_ == "ReplicaFailure"))
    };
    if let Some(message) = view.failure
        && failed(status.conditions.as_ref())
        && !failed(known)
    {
        let mut event = normal_event(
            &REPLICA_SET,
            &set.metadata,
            COMPONENT,
            "FailedCreate",
            format!("Error creating: {message}"),
        );
        event.warning = true;
        plan.actions.push(Action::Event(event));
    }
}

fn write_status(set: &ReplicaSet, status: ReplicaSetStatus, plan: &mut Plan) {
    if set.status.as_ref() != Some(&status) {
        let changed = ReplicaSet {
            status: Some(status),
            ..set.clone()
        };
        plan.actions.push(Action::UpdateStatus {
            kind: REPLICA_SET,
            object: to_value(&changed),
        });
    }
}

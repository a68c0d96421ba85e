//! Deployments: moving pods from one revision of a template to another.
//!
//! Source: the documented behaviour of Kubernetes' deployment controller, 1.36.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;

use crate::kind::{DEPLOYMENT, REPLICA_SET};
use crate::object::{self, normal_event, to_value};
use crate::plan::{Action, Plan};
use crate::{ownership, selector};

mod condition;
mod history;
mod recreate;
mod replicas;
mod revision;
mod rolling;
mod scale;
mod status;
#[cfg(test)]
mod tests;

/// The component named in a Deployment's events.
pub(crate) const COMPONENT: &str = "deployment-controller";

/// What the planner looks at.
#[derive(Debug)]
pub struct View<'a> {
    /// The Deployment.
    pub deployment: &'a Deployment,
    /// All `ReplicaSets` of its namespace, whoever owns them.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// All pods of its namespace.
    pub pods: Vec<Arc<Pod>>,
}

/// What to write so that the Deployment comes one step closer to its spec.
pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let Some(spec) = &view.deployment.spec else {
        return Plan::default();
    };
    if selector::is_empty(&spec.selector) {
        // It would adopt every ReplicaSet of the namespace; Kubernetes refuses to act on it.
        let mut plan = Plan::default();
        plan.wait("a selector that selects something");
        return plan;
    }
    let claims = ownership::claim_all(
        &object::target(&DEPLOYMENT, &view.deployment.metadata),
        view.deployment.metadata.deletion_timestamp.is_some(),
        &object::controller_reference::<Deployment>(&view.deployment.metadata),
        &spec.selector,
        &REPLICA_SET,
        view.replica_sets.iter().map(|set| &set.metadata),
    );
    if !claims.actions.is_empty() {
        return Plan {
            actions: claims.actions,
            ..Plan::default()
        };
    }
    let owned = view
        .replica_sets
        .iter()
        .zip(claims.owned)
        .filter(|(_, owned)| *owned);
    let mut sets: Vec<ReplicaSet> = owned.map(|(set, _)| ReplicaSet::clone(set)).collect();
    sets.sort_by(|left, right| age_order(left).cmp(&age_order(right)));
    Rollout::new(view, spec, sets, now).run()
}

fn age_order(set: &ReplicaSet) -> (Timestamp, &str) {
    (object::created(&set.metadata), object::name(&set.metadata))
}

/// The work on one Deployment: copies that take the planned writes, and the plan so far.
struct Rollout<'a> {
    view: &'a View<'a>,
    spec: &'a DeploymentSpec,
    /// The Deployment as it will be after the plan.
    deployment: Deployment,
    /// Own `ReplicaSets` as they will be, oldest first; a planned one is last.
    sets: Vec<ReplicaSet>,
    /// Index of the set whose template is the Deployment's.
    current: Option<usize>,
    now: Timestamp,
    plan: Plan,
}

impl<'a> Rollout<'a> {
    fn new(
        view: &'a View<'a>,
        spec: &'a DeploymentSpec,
        sets: Vec<ReplicaSet>,
        now: Timestamp,
    ) -> Self {
        let current = revision::find_current(spec, &sets);
        Self {
            view,
            spec,
            deployment: view.deployment.clone(),
            sets,
            current,
            now,
            plan: Plan::default(),
        }
    }

    fn run(mut self) -> Plan {
        if self.deployment.metadata.deletion_timestamp.is_some() {
            self.sync_revision(false);
            self.finish_status();
            return self.plan;
        }
        self.note_pause();
        if self.spec.paused == Some(true) || self.is_scaling_event() {
            self.sync_scale();
        } else if self.is_recreate() {
            self.recreate();
        } else {
            self.roll();
        }
        self.plan
    }

    fn is_recreate(&self) -> bool {
        let strategy = self
            .spec
            .strategy
            .as_ref()
            .and_then(|strategy| strategy.type_.as_deref());
        strategy == Some("Recreate")
    }

    /// Number of pods wanted.
    fn desired(&self) -> i32 {
        self.spec.replicas.unwrap_or(1)
    }

    /// Indices of the sets other than the current one, oldest first.
    fn old_sets(&self) -> Vec<usize> {
        (0..self.sets.len())
            .filter(|index| Some(*index) != self.current)
            .collect()
    }

    /// As [`Self::old_sets`], those with pods wanted only.
    fn active_old_sets(&self) -> Vec<usize> {
        let mut old = self.old_sets();
        old.retain(|index| replicas::wanted(&self.sets[*index]) > 0);
        old
    }

    /// Sets the size of a ReplicaSet and says so in an event; false if it has that size.
    fn resize(&mut self, index: usize, size: i32) -> bool {
        if replicas::wanted(&self.sets[index]) == size {
            return false;
        }
        self.resize_or_annotate(index, size)
    }

    /// As [`Self::resize`], but also brings the set's size annotations up to date.
    fn resize_or_annotate(&mut self, index: usize, size: i32) -> bool {
        let desired = self.desired();
        let most = desired + replicas::max_surge(self.spec);
        let set = &mut self.sets[index];
        let before = replicas::wanted(set);
        let annotated = replicas::annotate_sizes(set, desired, most);
        if before == size && !annotated {
            return false;
        }
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(size);
        }
        let name = object::name(&set.metadata).to_owned();
        self.write_set(index);
        if before == size {
            return false;
        }
        let direction = if size > before { "up" } else { "down" };
        self.event(format!(
            "Scaled {direction} replica set {name} from {before} to {size}"
        ));
        true
    }

    /// Plans the write of a set; several changes of one plan make one write.
    fn write_set(&mut self, index: usize) {
        let value = to_value(&self.sets[index]);
        for action in &mut self.plan.actions {
            if let Action::Update { kind, object } = action
                && *kind == REPLICA_SET
                && object["metadata"]["uid"] == value["metadata"]["uid"]
            {
                *object = value;
                return;
            }
        }
        self.plan.actions.push(Action::Update {
            kind: REPLICA_SET,
            object: value,
        });
    }

    fn event(&mut self, message: String) {
        let event = normal_event(
            &DEPLOYMENT,
            &self.deployment.metadata,
            COMPONENT,
            "ScalingReplicaSet",
            message,
        );
        self.plan.actions.push(Action::Event(event));
    }
}

//! The status of a Deployment: counts, availability, progress.

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{DeploymentStatus, ReplicaSet};

use super::condition::{self, NEW_SET_AVAILABLE, TIMED_OUT};
use super::{Rollout, replicas, revision};
use crate::kind::DEPLOYMENT;
use crate::object::{self, annotation, api_time, to_value};
use crate::plan::Action;

impl Rollout<'_> {
    /// Writes counts and availability, without judging progress.
    pub(super) fn finish_status(&mut self) {
        let status = self.calculate();
        self.write(status);
    }

    /// Writes counts, availability and progress.
    pub(super) fn finish_rollout_status(&mut self) {
        let mut status = self.calculate();
        if self.has_deadline() {
            self.judge_progress(&mut status);
        } else {
            condition::remove(&mut status, "Progressing");
        }
        let failure = self.replica_failure();
        condition::remove(&mut status, "ReplicaFailure");
        if let Some((reason, message)) = failure {
            let kept = condition::find(&self.deployment, "ReplicaFailure")
                .filter(|old| old.reason.as_deref() == Some(&reason))
                .cloned();
            let now = api_time(self.now);
            condition::set(
                &mut status,
                kept.unwrap_or_else(|| {
                    condition::new("ReplicaFailure", "True", &reason, message, now)
                }),
            );
        }
        self.wake_at_deadline(&status);
        self.write(status);
    }

    /// Whether the rollout is done as far as the reported status says.
    pub(super) fn is_complete(&self) -> bool {
        self.deployment
            .status
            .as_ref()
            .is_some_and(|status| self.completes(status))
    }

    fn completes(&self, status: &DeploymentStatus) -> bool {
        let desired = self.desired();
        status.updated_replicas.unwrap_or(0) == desired
            && status.replicas.unwrap_or(0) == desired
            && status.available_replicas.unwrap_or(0) == desired
            && status.observed_generation >= self.deployment.metadata.generation
    }

    fn calculate(&self) -> DeploymentStatus {
        let sum = |count: fn(&ReplicaSet) -> i32| self.sets.iter().map(count).sum::<i32>();
        let some = |count: i32| Some(count).filter(|count| *count != 0);
        let available = sum(replicas::available);
        let old = self.deployment.status.clone().unwrap_or_default();
        let terminating = |set: &ReplicaSet| {
            set.status
                .as_ref()
                .map_or(Some(0), |s| s.terminating_replicas)
        };
        let mut status = DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: some(sum(replicas::actual)),
            updated_replicas: some(self.current.map_or(0, |i| replicas::actual(&self.sets[i]))),
            ready_replicas: some(sum(replicas::ready)),
            available_replicas: some(available),
            unavailable_replicas: some((sum(replicas::wanted) - available).max(0)),
            terminating_replicas: self.sets.iter().map(terminating).sum(),
            collision_count: old.collision_count,
            conditions: old.conditions,
        };
        let enough = available >= self.desired() - replicas::max_unavailable(self.spec);
        let (value, reason, message) = if enough {
            (
                "True",
                "MinimumReplicasAvailable",
                "Deployment has minimum availability.",
            )
        } else {
            (
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.",
            )
        };
        let now = api_time(self.now);
        condition::set(
            &mut status,
            condition::new("Available", value, reason, message.to_owned(), now),
        );
        status
    }

    fn judge_progress(&self, status: &mut DeploymentStatus) {
        let current = condition::find(&self.deployment, "Progressing").cloned();
        let settled = status.replicas == status.updated_replicas
            && current
                .as_ref()
                .is_some_and(|c| c.reason.as_deref() == Some(NEW_SET_AVAILABLE));
        if settled {
            return;
        }
        let subject = self.current.map_or_else(
            || format!("Deployment \"{}\"", object::name(&self.deployment.metadata)),
            |index| {
                format!(
                    "ReplicaSet \"{}\"",
                    object::name(&self.sets[index].metadata)
                )
            },
        );
        let now = api_time(self.now);
        if self.completes(status) {
            let message = format!("{subject} has successfully progressed.");
            condition::set(
                status,
                condition::new("Progressing", "True", NEW_SET_AVAILABLE, message, now),
            );
        } else if self.progresses(status) {
            let message = format!("{subject} is progressing.");
            let mut next = condition::new("Progressing", "True", "ReplicaSetUpdated", message, now);
            if let Some(current) = current {
                if current.status == "True" {
                    next.last_transition_time = current.last_transition_time;
                }
                // Also with the same reason the time of the update must move on: the deadline
                // counts from it.
                condition::remove(status, "Progressing");
            }
            condition::set(status, next);
        } else if self.timed_out(status) {
            let message = format!("{subject} has timed out progressing.");
            condition::set(
                status,
                condition::new("Progressing", "False", TIMED_OUT, message, now),
            );
        }
    }

    fn progresses(&self, status: &DeploymentStatus) -> bool {
        let before = self.view.deployment.status.clone().unwrap_or_default();
        let count = |value: Option<i32>| value.unwrap_or(0);
        let old =
            |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
        count(status.updated_replicas) > count(before.updated_replicas)
            || old(status) < old(&before)
            || count(status.ready_replicas) > count(before.ready_replicas)
            || count(status.available_replicas) > count(before.available_replicas)
    }

    fn timed_out(&self, status: &DeploymentStatus) -> bool {
        let Some(progress) = condition::find_in(status, "Progressing") else {
            return false;
        };
        match progress.reason.as_deref() {
            Some(NEW_SET_AVAILABLE) => false,
            Some(TIMED_OUT) => true,
            _ => self
                .deadline(status)
                .is_some_and(|deadline| deadline < self.now),
        }
    }

    /// When a rollout without progress counts as stuck.
    fn deadline(&self, status: &DeploymentStatus) -> Option<jiff::Timestamp> {
        let progress = condition::find_in(status, "Progressing")?;
        let seconds = i64::from(self.spec.progress_deadline_seconds?);
        let since = progress.last_update_time.as_ref()?.0;
        since.checked_add(SignedDuration::from_secs(seconds)).ok()
    }

    fn wake_at_deadline(&mut self, status: &DeploymentStatus) {
        let reason = condition::find_in(status, "Progressing").and_then(|c| c.reason.as_deref());
        let open = !matches!(reason, None | Some(NEW_SET_AVAILABLE | TIMED_OUT));
        if self.has_deadline()
            && open
            && !self.completes(status)
            && let Some(deadline) = self.deadline(status)
        {
            // One second later, since times of conditions have whole seconds.
            self.plan.wake_by(deadline + SignedDuration::from_secs(1));
        }
    }

    /// Reason and message of a set that cannot make its pods.
    fn replica_failure(&self) -> Option<(String, String)> {
        let current = self.current.map(|index| &self.sets[index]);
        let old = self.old_sets();
        let others = old.iter().map(|index| &self.sets[*index]);
        current.into_iter().chain(others).find_map(|set| {
            let conditions = set.status.as_ref()?.conditions.as_ref()?;
            let failure = conditions.iter().find(|c| c.type_ == "ReplicaFailure")?;
            Some((failure.reason.clone()?, failure.message.clone()?))
        })
    }

    fn write(&mut self, status: DeploymentStatus) {
        let before = self.view.deployment;
        let key = revision::REVISION;
        let wanted = annotation(&self.deployment.metadata, key).map(ToOwned::to_owned);
        let revised = annotation(&before.metadata, key) != wanted.as_deref();
        if revised || before.status.as_ref() != Some(&status) {
            // A status write takes annotations along, as in Kubernetes.
            self.deployment.status = Some(status);
            self.plan.actions.push(Action::UpdateStatus {
                kind: DEPLOYMENT,
                object: to_value(&self.deployment),
            });
        }
    }
}

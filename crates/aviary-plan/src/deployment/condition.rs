//! Conditions of a Deployment.

use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Rollout;
use crate::object::api_time;

pub(super) const TIMED_OUT: &str = "ProgressDeadlineExceeded";
pub(super) const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const PAUSED: &str = "DeploymentPaused";
const RESUMED: &str = "DeploymentResumed";

/// A condition by type.
pub(super) fn find<'a>(deployment: &'a Deployment, kind: &str) -> Option<&'a DeploymentCondition> {
    find_in(deployment.status.as_ref()?, kind)
}

pub(super) fn find_in<'a>(
    status: &'a DeploymentStatus,
    kind: &str,
) -> Option<&'a DeploymentCondition> {
    status
        .conditions
        .as_ref()?
        .iter()
        .find(|condition| condition.type_ == kind)
}

pub(super) fn new(
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
    now: Time,
) -> DeploymentCondition {
    DeploymentCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_transition_time: Some(now.clone()),
        last_update_time: Some(now),
    }
}

/// Sets a condition unless one of the same status and reason is there; it then goes to the end.
pub(super) fn set(status: &mut DeploymentStatus, mut condition: DeploymentCondition) {
    let old = find_in(status, &condition.type_);
    if let Some(old) = old.filter(|old| old.status == condition.status) {
        if old.reason == condition.reason {
            return;
        }
        condition
            .last_transition_time
            .clone_from(&old.last_transition_time);
    }
    remove(status, &condition.type_);
    status.conditions.get_or_insert_default().push(condition);
}

pub(super) fn remove(status: &mut DeploymentStatus, kind: &str) {
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| condition.type_ != kind);
    }
}

impl Rollout<'_> {
    /// Whether progress is watched: `i32::MAX` seconds means it is not.
    pub(super) fn has_deadline(&self) -> bool {
        self.spec
            .progress_deadline_seconds
            .is_some_and(|seconds| seconds != i32::MAX)
    }

    pub(super) fn set_progress(&mut self, status: &str, reason: &str, message: String) {
        let now = api_time(self.now);
        set(
            self.deployment.status.get_or_insert_default(),
            new("Progressing", status, reason, message, now),
        );
    }

    /// Notes in the `Progressing` condition that the Deployment was paused or resumed, so that
    /// the time of the pause does not count against the deadline.
    pub(super) fn note_pause(&mut self) {
        if !self.has_deadline() {
            return;
        }
        let reason = find(&self.deployment, "Progressing").and_then(|found| found.reason.clone());
        let reason = reason.as_deref();
        if reason == Some(TIMED_OUT) {
            return;
        }
        let paused = self.spec.paused == Some(true);
        if paused && reason != Some(PAUSED) {
            self.set_progress("Unknown", PAUSED, "Deployment is paused".to_owned());
        } else if !paused && reason == Some(PAUSED) {
            self.set_progress("Unknown", RESUMED, "Deployment is resumed".to_owned());
        }
    }
}

//! Releases: moving traffic from one version of a Service to another, without losing a request.
//!
//! The status is the only memory. A plan is either one transition, written to the status together
//! with its journal entry, or the effects that the written status allows; so every effect has its
//! intent on record, and a controller that died anywhere goes on from the status it finds.
//! Read [`View`], [`plan`] and `aviary_api::release::Phase` first.

mod view;
mod traffic;
mod judge;
mod claim;
mod workload;
mod journal;
mod verbs;
mod prepare;
mod step;
mod takeover;
mod drain;
mod rest;
mod report;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;

use std::time::Duration;

use aviary_api::duration;
use aviary_api::release::{
    Overlay, Phase, Release, ReleaseSpec, ReleaseStatus, Role, VersionStatus,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

pub use claim::{guardian, lease_name};
pub use view::{Measurement, Observed, Proxy, Streams, View};

use crate::hash;
use crate::object::to_value;
use crate::plan::Plan;

/// The component named in a release's events.
const COMPONENT: &str = "release-controller";
/// Default of `limits.ackDeadline`.
const ACK_DEADLINE: Duration = Duration::from_secs(10);
/// Default of `limits.drainDeadline`.
const DRAIN_DEADLINE: Duration = Duration::from_mins(5);
/// Default of `limits.readyDeadline`.
const READY_DEADLINE: Duration = Duration::from_mins(10);
/// Default of `analysis.window`.
const WINDOW: Duration = Duration::from_secs(30);

/// What to write so that the release comes one step closer to what its spec wants.
pub fn plan(view: &View<'_>, now: Timestamp) -> Plan {
    let mut run = Run::new(view, now);
    run.transition();
    if !run.moved {
        run.effects();
    }
    run.report();
    run.write();
    run.plan
}

/// The work on one release: the status as it will be, and the plan so far.
struct Run<'a> {
    view: &'a View<'a>,
    release: &'a Release,
    spec: &'a ReleaseSpec,
    now: Timestamp,
    status: ReleaseStatus,
    plan: Plan,
    /// Whether a transition was made; its effects come after it is written.
    moved: bool,
    /// Why the release is not accepted, as reason and message.
    refused: Option<(&'static str, String)>,
}

impl<'a> Run<'a> {
    fn new(view: &'a View<'a>, now: Timestamp) -> Self {
        let release = view.release;
        Self {
            view,
            release,
            spec: &release.spec,
            now,
            status: release.status.clone().unwrap_or_default(),
            plan: Plan::default(),
            moved: false,
            refused: None,
        }
    }

    /// Makes at most one transition.
    fn transition(&mut self) {
        if self.answer_verbs() {
            return;
        }
        match self.status.phase {
            Phase::Draft => self.start(),
            Phase::Preparing => self.prepare(),
            Phase::Shifting | Phase::Analysing | Phase::Holding => self.advance(),
            Phase::TakenOver => self.stay_taken_over(),
            Phase::Draining | Phase::Aborting | Phase::Superseding => self.drain(),
            Phase::Completed | Phase::RolledBack | Phase::Offline => self.rest(),
        }
    }

    /// What the written status allows to be done.
    fn effects(&mut self) {
        match self.status.phase {
            Phase::Preparing if self.status.progress.pinned_at.is_some() => self.bring_up_new(),
            Phase::Draining | Phase::Aborting | Phase::Superseding => self.scale_for_drain(),
            Phase::Offline => self.delete_loser(),
            _ => {}
        }
        if self.status.phase.is_terminal() {
            self.settle_claim();
        }
    }

    fn version(&self, role: Role) -> Option<&VersionStatus> {
        match role {
            Role::Stable => self.status.stable.as_ref(),
            Role::New => self.status.new.as_ref(),
        }
    }

    /// The `version` label of a side; empty before it is known.
    fn label(&self, role: Role) -> String {
        let version = self.version(role);
        version.map_or_else(String::new, |version| version.version.clone())
    }

    /// Pods of a side when it serves, at least 1.
    fn full_size(&self, role: Role) -> u32 {
        self.version(role)
            .map_or(1, |version| version.replicas.max(1))
    }

    fn overlay(&self) -> Option<&Overlay> {
        self.status.overlay.as_ref()
    }

    /// Parts per million of the new version.
    fn new_parts(&self) -> u32 {
        let overlay = self.overlay();
        overlay.map_or(0, |overlay| overlay.parts_of(&self.label(Role::New)))
    }

    /// Hash of what makes another plan: the steps, and what they are judged by.
    fn plan_hash(&self) -> String {
        hash::value_hash(to_value(&(&self.spec.strategy, &self.spec.analysis)))
    }

    fn new_hash(&self) -> String {
        hash::value_hash(to_value(&self.spec.new))
    }

    /// The time for the status, which has microseconds.
    fn stamp(&self) -> MicroTime {
        MicroTime(Timestamp::from_microsecond(self.now.as_microsecond()).unwrap_or(self.now))
    }

    /// Whether `wait` has passed since `from`; asks to be woken at its end if not.
    fn has_passed(&mut self, from: Option<&MicroTime>, wait: Duration) -> bool {
        let Some(from) = from else { return false };
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        let end = from.0.checked_add(wait).unwrap_or(Timestamp::MAX);
        if end > self.now {
            self.plan.wake_by(end);
        }
        end <= self.now
    }
}

/// A duration of the spec; what validation refuses counts as absent.
fn time(text: Option<&str>, default: Duration) -> Duration {
    text.and_then(|text| duration::parse(text).ok())
        .unwrap_or(default)
}

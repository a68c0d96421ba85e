//! The side that lost: no traffic, acknowledged; no streams, or the deadline; no pods.

use std::time::Duration;

use aviary_api::release::{Drain, Phase, Role};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::journal::Cause;
use super::workload::wanted;
use super::{DRAIN_DEADLINE, Run, time};

impl Run<'_> {
    /// The side that gives up its traffic and pods in the present phase.
    fn loser(&self) -> Role {
        if self.status.phase == Phase::Draining {
            Role::Stable
        } else {
            Role::New
        }
    }

    /// Goes as far as the drain's gates allow.
    pub(super) fn drain(&mut self) {
        let loser = self.loser();
        let paused = self.spec.control.paused && !self.release.is_leaving();
        if paused && self.status.phase == Phase::Draining {
            self.plan.wait("the release to be resumed");
            return;
        }
        match self.status.progress.drain.clone() {
            None => self.withdraw_traffic(loser),
            Some(drain) if drain.acked_at.is_none() => self.await_acknowledgement(drain),
            Some(drain) if drain.done_at.is_none() => self.await_streams(drain),
            Some(_) => self.await_end(loser),
        }
    }

    fn withdraw_traffic(&mut self, loser: Role) {
        let winner = loser.other();
        if self.status.phase == Phase::Draining && !self.is_kept_long_enough() {
            self.plan
                .wait("the time that the old version is kept to end");
            return;
        }
        if winner == Role::Stable && self.status.progress.stable_retired {
            self.return_to_retired();
            return;
        }
        if !self.has_all(winner) && !self.is_ready(winner, 1) {
            return;
        }
        self.give_all(winner, false);
        self.status.progress.taken_over = None;
        self.status.progress.drain = Some(Drain {
            role: loser,
            revision: self.overlay().map_or(0, |overlay| overlay.revision),
            acked_at: None,
            deadline: None,
            done_at: None,
        });
        let message = format!("{} gets nothing any more", self.label(loser));
        self.enter(self.status.phase, "TrafficWithdrawn", message, Cause::Rule);
    }

    /// Gives everything back to a stable version whose pods were given up, once all are back.
    ///
    /// What proxies last said of its endpoints may be from before the pods ended. So the new
    /// version stands in until they have said it again under a split that was written since.
    fn return_to_retired(&mut self) {
        if !self.is_ready(Role::Stable, self.full_size(Role::Stable)) {
            return;
        }
        let stable = self.label(Role::Stable);
        let returned =
            self.new_parts() == 0 && self.overlay().is_some_and(|it| it.fallback.is_some());
        if !returned {
            self.give_all(Role::Stable, true);
            let message = format!("{stable} gets everything again");
            self.enter(self.status.phase, "TrafficReturned", message, Cause::Rule);
        } else if self.is_live() {
            self.status.progress.stable_retired = false;
            let message = format!("{stable} is up again in every proxy");
            self.enter(self.status.phase, "StableIsBack", message, Cause::Rule);
        }
    }

    fn is_kept_long_enough(&mut self) -> bool {
        let keep = self.spec.strategy.blue_green.as_ref();
        let keep = time(keep.and_then(|it| it.keep_old.as_deref()), Duration::ZERO);
        let since = self.status.progress.since.clone();
        let ends = self.release.is_leaving() || self.wants_offline();
        ends || self.has_passed(since.as_ref(), keep)
    }

    fn await_acknowledgement(&mut self, drain: Drain) {
        if !self.is_live() {
            return;
        }
        let limit = time(self.spec.limits.drain_deadline.as_deref(), DRAIN_DEADLINE);
        let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
        let deadline = self.stamp().0.checked_add(limit).unwrap_or(Timestamp::MAX);
        let message = format!("no proxy sends requests to {}", self.label(drain.role));
        self.status.progress.drain = Some(Drain {
            acked_at: Some(self.stamp()),
            deadline: Some(MicroTime(deadline)),
            ..drain
        });
        self.enter(self.status.phase, "TrafficGone", message, Cause::Rule);
    }

    fn await_streams(&mut self, drain: Drain) {
        let label = self.label(drain.role);
        // A proxy that came since must not lead to the version either.
        if !self.is_live() {
            return;
        }
        let open = self.open_streams(drain.role, drain.revision);
        let late = self.has_passed(drain.deadline.as_ref(), Duration::ZERO);
        let message = match open {
            Some(0) => format!("{label} has no open streams"),
            Some(open) if late => format!("{label} had {open} open streams at the deadline"),
            None if late => {
                format!("{label} had streams that not every proxy counted at the deadline")
            }
            Some(open) => {
                self.plan.wait(format!("{open} open streams to {label}"));
                return;
            }
            None => {
                self.plan
                    .wait(format!("every proxy to count its streams to {label}"));
                return;
            }
        };
        if drain.role == Role::Stable {
            self.status.progress.stable_retired = true;
        }
        self.status.progress.drain = Some(Drain {
            done_at: Some(self.stamp()),
            ..drain
        });
        self.enter(self.status.phase, "Drained", message, Cause::Rule);
    }

    fn await_end(&mut self, loser: Role) {
        let pods = self.deployment(loser).map_or(0, wanted);
        if pods > 0 && !self.keeps_pods(loser) {
            self.plan
                .wait(format!("the pods of {} to end", self.label(loser)));
            return;
        }
        match self.status.phase {
            Phase::Draining => {
                let message = format!("{} is the stable version", self.label(Role::New));
                self.enter(Phase::Completed, "Completed", message, Cause::Rule);
            }
            phase if phase == Phase::Aborting || self.reverts() => {
                let message = format!("{} is as it was before", self.label(Role::Stable));
                self.enter(Phase::RolledBack, "RolledBack", message, Cause::Rule);
            }
            _ => self.begin_anew(),
        }
    }

    /// Sizes of both sides while one is drained.
    pub(super) fn scale_for_drain(&mut self) {
        let loser = self.loser();
        let done = self.status.progress.drain.as_ref();
        if done.is_some_and(|drain| drain.role == loser && drain.done_at.is_some()) {
            if !self.keeps_pods(loser) {
                self.scale(loser, 0);
            }
        } else if loser == Role::New && self.status.progress.stable_retired {
            let replicas = self
                .version(Role::Stable)
                .map_or(1, |stable| stable.replicas.max(1));
            self.scale(Role::Stable, replicas);
        }
    }

    /// Without the overlay users' rules count again: what they name must have pods then.
    fn keeps_pods(&self, role: Role) -> bool {
        let named = self.view.references.get(&self.label(role));
        self.release.is_leaving() && named.is_some_and(|rules| !rules.is_empty())
    }
}

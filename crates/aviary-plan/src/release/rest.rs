//! A release that has ended: retire the loser, go back after all, begin anew, or leave.

use aviary_api::release::{Phase, Progress, Role};

use super::Run;
use super::journal::Cause;

/// What an ended release may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    GoBack,
    BeginAnew,
    Retire,
}

impl Run<'_> {
    /// Carries out what is asked of a release that has ended.
    pub(super) fn rest(&mut self) {
        if self.release.is_leaving() {
            self.leave();
            return;
        }
        let Some(wish) = self.wish() else {
            if self.spec.control.restart > self.status.seen.restart {
                self.plan.wait(
                    "another `spec.new.version`: this one is stable, there is nothing to restart",
                );
            }
            return;
        };
        if wish == Wish::Retire && self.is_named() {
            return;
        }
        if !self.reclaim() {
            return;
        }
        match wish {
            Wish::GoBack => self.abort("Aborted", "all traffic returns to stable", Cause::Asked),
            Wish::BeginAnew => self.begin_anew(),
            Wish::Retire => {
                let drain = self.status.progress.drain.as_ref();
                let loser = self.label(drain.map_or(Role::New, |drain| drain.role));
                let message = format!("the Deployment of {loser} is deleted");
                self.enter(Phase::Offline, "Offline", message, Cause::Asked);
            }
        }
    }

    /// Whether something is still to be done, so that the claim is needed.
    pub(super) fn wants_more(&self) -> bool {
        let loser = self.status.progress.drain.as_ref().map(|drain| drain.role);
        let deletes = self.status.phase == Phase::Offline
            && loser.is_some_and(|role| self.deployment(role).is_some());
        deletes || self.wish().is_some()
    }

    fn wish(&self) -> Option<Wish> {
        let control = &self.spec.control;
        let phase = self.status.phase;
        let back = control.aborted || control.take_over == Some(Role::Stable);
        // A promoted version is restarted by nothing but another one.
        let promoted = self
            .status
            .progress
            .drain
            .as_ref()
            .is_some_and(|it| it.role == Role::Stable);
        let other = self.label(Role::New) != self.spec.new.version;
        let again = control.restart > self.status.seen.restart && !promoted;
        // After a promotion the one that was stable may be wanted again, as a new version.
        let nothing_new = self.reverts() && !promoted;
        if (other || again) && !nothing_new {
            Some(Wish::BeginAnew)
        } else if phase == Phase::Completed && back {
            Some(Wish::GoBack)
        } else if phase != Phase::Offline && self.wants_offline() {
            Some(Wish::Retire)
        } else {
            None
        }
    }

    /// Whether live rules name the version that is to be retired; says which.
    pub(super) fn is_named(&mut self) -> bool {
        let drain = self.status.progress.drain.as_ref();
        let loser = self.label(drain.map_or(Role::New, |drain| drain.role));
        let Some(rules) = self.view.references.get(&loser).filter(|it| !it.is_empty()) else {
            return false;
        };
        let rules = rules.join(", ");
        self.plan.wait(format!(
            "{rules} to name {loser} no more, before it goes offline"
        ));
        true
    }

    /// Another attempt: everything is looked for again, while traffic stays as it is.
    pub(super) fn begin_anew(&mut self) {
        self.status.stable = None;
        self.status.new = None;
        self.status.progress = Progress::default();
        self.enter(
            Phase::Draft,
            "BeginsAnew",
            format!("another attempt, with {}", self.spec.new.version),
            Cause::Asked,
        );
    }
}

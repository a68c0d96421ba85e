//! What persons want, in order of precedence: the way back first.

use aviary_api::release::{Phase, Role};

use super::Run;
use super::journal::Cause;

impl Run<'_> {
    /// Carries out a verb; true if the phase itself has no say now.
    pub(super) fn answer_verbs(&mut self) -> bool {
        let phase = self.status.phase;
        if phase == Phase::Draft || phase.is_terminal() {
            return false;
        }
        if phase != Phase::Aborting && self.wants_stable_for_good() {
            self.abort("Aborted", "all traffic returns to stable", Cause::Asked);
            return true;
        }
        let succeeds =
            phase == Phase::Preparing || phase.is_stepping() || phase == Phase::TakenOver;
        if succeeds && !self.release.is_leaving() && self.wants_other_attempt() {
            if self.reverts() {
                let message = "the version wanted is the stable one";
                self.abort("Reverted", message, Cause::Asked);
                return true;
            }
            let message = if self.label(Role::New) == self.spec.new.version {
                "begins anew".to_owned()
            } else {
                let (old, new) = (self.label(Role::New), &self.spec.new.version);
                format!("{new} supersedes {old}, which is drained first")
            };
            self.enter(Phase::Superseding, "Superseded", message, Cause::Asked);
            return true;
        }
        succeeds && self.take_over()
    }

    /// Returns all traffic to stable, for good.
    pub(super) fn abort(&mut self, reason: &'static str, message: &str, cause: Cause) {
        let drain = &mut self.status.progress.drain;
        // From `Draining` the loser is the other side now.
        if drain
            .as_ref()
            .is_some_and(|drain| drain.role == Role::Stable)
        {
            *drain = None;
        }
        self.enter(Phase::Aborting, reason, message, cause);
    }

    /// Whether stable is to have everything, without a way forward.
    fn wants_stable_for_good(&self) -> bool {
        let control = &self.spec.control;
        match self.status.phase {
            // The switch was made: deleting the release does not undo it.
            Phase::Draining => control.aborted || control.take_over == Some(Role::Stable),
            // Whoever took over keeps everything when the release is deleted.
            Phase::TakenOver => control.aborted,
            _ => {
                let leaves = self.release.is_leaving() && self.spec.on_delete == Role::Stable;
                control.aborted || leaves
            }
        }
    }

    /// Whether the spec asks for a version or a beginning other than that under way.
    pub(super) fn wants_other_attempt(&self) -> bool {
        self.label(Role::New) != self.spec.new.version
            || self.spec.control.restart > self.status.seen.restart
    }

    /// Whether the version wanted is stable already, so that there is nothing to try.
    pub(super) fn reverts(&self) -> bool {
        self.label(Role::Stable) == self.spec.new.version
    }

    /// The side that is to have everything, while that may be taken back.
    pub(super) fn wanted_side(&self) -> Option<Role> {
        if self.release.is_leaving() {
            return match self.status.phase {
                Phase::TakenOver => self.status.progress.taken_over,
                _ => Some(self.spec.on_delete),
            };
        }
        let side = self.spec.control.take_over?;
        (side == Role::Stable || self.is_for_this_attempt()).then_some(side)
    }

    /// Whether verbs that move traffic to the new version, or destroy, name this attempt.
    pub(super) fn is_for_this_attempt(&self) -> bool {
        self.spec.control.is_for(self.status.attempt)
    }

    /// Whether the loser is to be retired.
    pub(super) fn wants_offline(&self) -> bool {
        self.spec.control.offline && self.is_for_this_attempt()
    }
}

//! One side has everything on command, until that is taken back or the other side is retired.

use aviary_api::release::{Phase, Role};

use super::Run;
use super::journal::Cause;

impl Run<'_> {
    /// Gives everything to the side that is asked for; true if that leaves nothing else to do.
    pub(super) fn take_over(&mut self) -> bool {
        let Some(side) = self.wanted_side() else {
            return false;
        };
        let phase = self.status.phase;
        if phase == Phase::TakenOver && self.status.progress.taken_over == Some(side) {
            return false;
        }
        if phase == Phase::Preparing && (side == Role::Stable || !self.is_brought_up()) {
            // Stable has everything already, or the new version cannot serve yet.
            return false;
        }
        let needed = match side {
            Role::Stable => 1,
            Role::New => self.full_size(Role::New),
        };
        if (side == Role::New && !self.is_live()) || !self.is_ready(side, needed) {
            return self.status.phase == Phase::TakenOver;
        }
        // Stable stays as the way back from a new version that fails; not the other way round,
        // since that is why stable is called to take over.
        self.give_all(side, side == Role::New);
        self.status.progress.taken_over = Some(side);
        let message = format!("{} takes over", self.label(side));
        self.enter(Phase::TakenOver, "TakenOver", message, Cause::Asked);
        true
    }

    /// Waits for the takeover to be taken back, or for the other side to be retired.
    pub(super) fn stay_taken_over(&mut self) {
        let Some(side) = self.status.progress.taken_over else {
            return;
        };
        if !self.is_live() {
            return;
        }
        let retires = self.release.is_leaving() || self.wants_offline();
        if retires && self.wanted_side() == Some(side) {
            match side {
                Role::New => {
                    let message = format!("{} is the stable version now", self.label(side));
                    self.enter(Phase::Draining, "Promoted", message, Cause::Asked);
                }
                Role::Stable => {
                    self.abort("Aborted", "the new version is retired", Cause::Asked);
                }
            }
        } else if self.spec.control.take_over.is_none() {
            // A takeover that names another attempt does not count, but is no restoration either.
            self.restore();
        } else {
            self.plan
                .wait("the takeover to be taken back, or `control.offline`");
        }
    }

    /// Back to the split from before the takeover.
    fn restore(&mut self) {
        if !self.is_ready(Role::New, self.full_size(Role::New)) {
            return;
        }
        // In a plan that was changed meanwhile, the number means another weight.
        let changed = self.status.seen.plan != self.plan_hash();
        let step = self.status.progress.step.as_ref().filter(|_| !changed);
        let number = step.map_or(1, |step| step.number.max(1));
        self.enter_step(number, "Restored", Cause::Asked);
    }
}

//! Transitions: each is written with what led to it, before anything follows from it.

use aviary_api::release::{Entry, HoldReason, Phase};

use super::{COMPONENT, Run};
use crate::kind::RELEASE;
use crate::object;
use crate::plan::Action;

/// Entries kept in the status; the shell copies them elsewhere, by their sequence.
const ENTRIES_MAX: usize = 20;

/// Whose idea a transition was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The controller's.
    Rule,
    /// That of whoever wrote the spec.
    Asked,
}

impl Run<'_> {
    /// Makes the transition to a phase, which may be the present one.
    pub(super) fn enter(
        &mut self,
        to: Phase,
        reason: &'static str,
        message: impl Into<String>,
        cause: Cause,
    ) {
        let message = message.into();
        let from = self.status.phase;
        if from != to {
            self.status.progress.since = Some(self.stamp());
        }
        if to != Phase::Holding {
            self.status.progress.hold = None;
        }
        self.status.phase = to;
        let asked_by = (cause == Cause::Asked).then(|| {
            let name = self.spec.control.requested_by.as_deref();
            name.unwrap_or("unknown").to_owned()
        });
        let entry = Entry {
            sequence: self.status.journal.last().map_or(0, |last| last.sequence) + 1,
            at: Some(self.stamp()),
            attempt: self.status.attempt,
            from,
            to,
            step: self.status.progress.step.as_ref().map(|step| step.number),
            revision: self.overlay().map_or(0, |overlay| overlay.revision),
            new_parts: self.new_parts(),
            reason: reason.to_owned(),
            message: message.clone(),
            asked_by,
            proxies: self.acknowledgements(),
            verdicts: self.verdicts(),
        };
        self.status.journal.push(entry);
        let surplus = self.status.journal.len().saturating_sub(ENTRIES_MAX);
        self.status.journal.drain(..surplus);
        self.event(
            reason,
            message,
            matches!(to, Phase::Aborting | Phase::Holding),
        );
        self.moved = true;
    }

    /// Stays at a step for a reason, which becomes a transition when it is a new one.
    pub(super) fn hold(&mut self, reason: HoldReason, message: impl Into<String>) {
        let message = message.into();
        self.plan.wait(message.clone());
        if self.status.phase != Phase::Holding || self.status.progress.hold != Some(reason) {
            self.status.progress.hold = Some(reason);
            self.enter(
                Phase::Holding,
                "Holding",
                format!("waits for {message}"),
                Cause::Rule,
            );
        }
    }

    fn event(&mut self, reason: &'static str, message: String, warning: bool) {
        let mut event =
            object::normal_event(&RELEASE, &self.release.metadata, COMPONENT, reason, message);
        event.warning = warning;
        self.plan.actions.push(Action::Event(event));
    }
}

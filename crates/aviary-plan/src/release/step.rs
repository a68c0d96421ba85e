//! A step: weights written, acknowledged by all, observed, decided.

use aviary_api::duration;
use aviary_api::release::{HoldReason, Phase, Role, Stage, StepStatus, WHOLE};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::Run;
use super::journal::Cause;
use super::judge::Judgement;

impl Run<'_> {
    /// Goes as far with the step under way as its gates allow.
    pub(super) fn advance(&mut self) {
        let Some(step) = self.status.progress.step.clone() else {
            return;
        };
        let stages = self.spec.strategy.stages();
        let stage = self.stage(step.number, &stages);
        if self.withdraws(&stage, &step) {
            return;
        }
        if self.spec.control.paused {
            self.hold(HoldReason::User, "the release to be resumed");
            return;
        }
        if self.spec.new.version == self.label(Role::New) && self.status.seen.new != self.new_hash()
        {
            self.plan.wait(
                "another `spec.new.version`: a version under trial is not given another meaning",
            );
        }
        if self
            .spec
            .stable
            .as_ref()
            .is_some_and(|it| *it != self.label(Role::Stable))
        {
            self.plan
                .wait("`spec.stable` as it was: it cannot change while a release runs");
        }
        if !self.acknowledged(&step) || self.change_plan(&stages) || self.jump(&step, &stages) {
            return;
        }
        let Some(acked_at) = step.acked_at.clone() else {
            let stamp = self.stamp();
            if let Some(step) = &mut self.status.progress.step {
                step.acked_at = Some(stamp);
            }
            let message = format!("step {} is live in every proxy", step.summary);
            self.enter(Phase::Analysing, "StepLive", message, Cause::Rule);
            return;
        };
        if self.may_leave(&step, &stage, &acked_at) {
            self.leave_step(&step, &stages);
        }
    }

    /// The stage of a step; step 0 keeps the present split.
    fn stage<'s>(&self, number: u32, stages: &[Stage<'s>]) -> Stage<'s> {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let found = index.checked_sub(1).and_then(|index| stages.get(index));
        found.cloned().unwrap_or_else(|| Stage {
            parts: self.new_parts(),
            matches: &[],
            mirror: None,
            duration: None,
            approval: false,
        })
    }

    /// Withdraws a version that fails, or that nobody can reach; acknowledgements do not matter.
    fn withdraws(&mut self, stage: &Stage<'_>, step: &StepStatus) -> bool {
        if !has_traffic(stage) {
            return false;
        }
        if self.is_unreachable(Role::New) {
            self.abort(
                "NoEndpoints",
                "the new version has no ready endpoint",
                Cause::Rule,
            );
            return true;
        }
        if let Judgement::RollBack(message) = self.judge(step.acked_at.as_ref()) {
            self.abort("CheckFailed", &message, Cause::Rule);
            return true;
        }
        false
    }

    /// Whether the step is live everywhere; holds once a proxy is too slow.
    fn acknowledged(&mut self, step: &StepStatus) -> bool {
        if self.is_live() {
            return true;
        }
        if self.has_passed(step.entered_at.as_ref(), self.ack_deadline()) {
            let waits = self.plan.waits.pop();
            let message = waits.map_or_else(String::new, |wait| wait.message);
            self.hold(HoldReason::ProxyLag, message);
        }
        false
    }

    /// Moves to the step of a changed plan that has no more weight than the present one.
    fn change_plan(&mut self, stages: &[Stage<'_>]) -> bool {
        if self.status.seen.plan == self.plan_hash() {
            return false;
        }
        let present = self.new_parts();
        let number = (1..)
            .zip(stages)
            .filter(|(_, stage)| stage.parts <= present)
            .map(|(number, _)| number)
            .last();
        self.enter_step(number.unwrap_or(0), "PlanChanged", Cause::Asked);
        true
    }

    fn jump(&mut self, step: &StepStatus, stages: &[Stage<'_>]) -> bool {
        let wish = self.spec.control.jump_to;
        if wish == self.status.seen.jump_to || !self.is_for_this_attempt() {
            return false;
        }
        let within = |number: &u32| (1..=step.of).contains(number) && *number != step.number;
        let Some(number) = wish.filter(within) else {
            self.status.seen.jump_to = wish;
            return false;
        };
        let raises = self.stage(number, stages).parts > self.new_parts();
        if raises && !self.is_ready(Role::New, self.full_size(Role::New)) {
            return true;
        }
        self.status.seen.jump_to = wish;
        self.enter_step(number, "Jumped", Cause::Asked);
        true
    }

    /// Whether all gates of a step that is live are open; holds at the first that is not.
    fn may_leave(&mut self, step: &StepStatus, stage: &Stage<'_>, acked_at: &MicroTime) -> bool {
        if let Some(found) = self.view.observed
            && Some(found.revision) == self.overlay().map(|overlay| overlay.revision)
            && found.least > stage.parts
        {
            let message = "the observed split to come down to what was given out";
            self.hold(HoldReason::Overshoot, message);
            return false;
        }
        let judgement = if has_traffic(stage) {
            self.judge(Some(acked_at))
        } else {
            Judgement::Pass
        };
        match judgement {
            Judgement::Pass => {}
            Judgement::Hold(reason, message) => {
                self.hold(reason, message);
                return false;
            }
            Judgement::Observing | Judgement::RollBack(_) => {
                self.observe("the window of observation to end");
                return false;
            }
        }
        let pause = stage.duration.and_then(|text| duration::parse(text).ok());
        if pause.is_some_and(|pause| !self.has_passed(Some(acked_at), pause)) {
            self.observe("the pause of the step to end");
            return false;
        }
        let approved = self.spec.control.approved_step.unwrap_or(0) >= step.number;
        if stage.approval && !(approved && self.is_for_this_attempt()) {
            let attempt = self.status.attempt;
            let number = step.number;
            self.hold(
                HoldReason::Gate,
                format!("step {number} of attempt {attempt} to be approved"),
            );
            return false;
        }
        true
    }

    /// Waits at a live step without anything being wrong.
    fn observe(&mut self, wait: &str) {
        self.plan.wait(wait);
        if self.status.phase != Phase::Analysing {
            self.enter(Phase::Analysing, "Observing", wait, Cause::Rule);
        }
    }

    fn leave_step(&mut self, step: &StepStatus, stages: &[Stage<'_>]) {
        if self.new_parts() == WHOLE {
            let message = format!(
                "{} has everything and is the stable version now",
                self.label(Role::New)
            );
            self.enter(Phase::Draining, "Promoted", message, Cause::Rule);
            return;
        }
        let next = step.number + 1;
        let raises = self.stage(next, stages).parts > self.new_parts();
        if raises && !self.is_ready(Role::New, self.full_size(Role::New)) {
            let wait = self.plan.waits.pop();
            let message = wait.map_or_else(String::new, |wait| wait.message);
            self.hold(HoldReason::Capacity, message);
            return;
        }
        self.enter_step(next, "StepEntered", Cause::Rule);
    }

    /// Writes the weights of a step.
    pub(super) fn enter_step(&mut self, number: u32, reason: &'static str, cause: Cause) {
        let hash = self.plan_hash();
        if self.status.seen.plan != hash {
            // Approvals and jumps were for other steps.
            self.status.seen.plan = hash;
            self.status.seen.jump_to = None;
            self.status.attempt += 1;
        }
        let stages = self.spec.strategy.stages();
        let of = self.spec.strategy.step_count();
        let number = number.min(of);
        let stage = self.stage(number, &stages);
        if number > 0 {
            self.give_stage(&stage);
        }
        self.status.progress.taken_over = None;
        self.status.progress.step = Some(StepStatus {
            number,
            of,
            entered_at: Some(self.stamp()),
            acked_at: None,
            summary: format!("{number}/{of}"),
        });
        let message = format!("step {number} of {of}");
        self.enter(Phase::Shifting, reason, message, cause);
    }
}

/// Whether requests or copies reach the new version, so that there is something to judge.
fn has_traffic(stage: &Stage<'_>) -> bool {
    stage.parts > 0 || !stage.matches.is_empty() || stage.mirror.is_some()
}

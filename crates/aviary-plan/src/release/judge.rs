//! What the verdicts of a step's checks add up to.

use std::time::Duration;

use aviary_api::release::{Check, CheckAction, HoldReason, Verdict};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

use super::view::Measurement;
use super::{Run, WINDOW, time};

/// What the checks say of leaving a step. The strictest is the greatest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Everything passed, over the whole window.
    Pass,
    /// The window is open.
    Observing,
    /// The step cannot be left.
    Hold(HoldReason, String),
    /// The new version is to be withdrawn.
    RollBack(String),
}

impl Run<'_> {
    /// Judges the step whose observation began at `acked_at`, if it did.
    pub(super) fn judge(&mut self, acked_at: Option<&MicroTime>) -> Judgement {
        let Some(analysis) = &self.spec.analysis else {
            return Judgement::Pass;
        };
        let window = time(analysis.window.as_deref(), WINDOW);
        let over = self.has_passed(acked_at, window);
        let mut worst = if over {
            Judgement::Pass
        } else {
            Judgement::Observing
        };
        for check in analysis.checks.iter().filter(|check| !check.dry_run) {
            let one = self.judge_check(check, acked_at.filter(|_| over), window);
            if strictness(&one) > strictness(&worst) {
                worst = one;
            }
        }
        worst
    }

    /// `closed` is the begin of a window that is over.
    fn judge_check(
        &self,
        check: &Check,
        closed: Option<&MicroTime>,
        window: Duration,
    ) -> Judgement {
        let name = &check.name;
        let found = self.measurement(name);
        if let Some(found) = found
            && found.verdict.new == Verdict::Fail
        {
            return blame(check, found);
        }
        let Some(begin) = closed else {
            return Judgement::Observing;
        };
        // What was measured before the last acknowledgement mixes two splits, and what ended
        // before the window's end says nothing of the whole window.
        let covers = |found: &&Measurement| {
            found.from >= begin.0 && found.at.duration_since(begin.0).unsigned_abs() >= window
        };
        match found.filter(covers).map(|found| found.verdict.new) {
            Some(Verdict::Pass | Verdict::Fail) => Judgement::Pass,
            Some(Verdict::Inconclusive) => Judgement::Hold(
                HoldReason::Inconclusive,
                format!("check `{name}` to have enough data"),
            ),
            Some(Verdict::Unavailable) | None => Judgement::Hold(
                HoldReason::Unavailable,
                format!("check `{name}` to be measured"),
            ),
        }
    }

    /// The measurement of a check under the present overlay.
    pub(super) fn measurement(&self, check: &str) -> Option<&Measurement> {
        let revision = self.overlay()?.revision;
        let all = self.view.measurements.iter();
        all.filter(|found| found.verdict.check == check && found.revision == revision)
            .max_by_key(|found| found.at)
    }
}

/// What a failed check leads to.
fn blame(check: &Check, found: &Measurement) -> Judgement {
    let name = &check.name;
    let numbers = format!(
        "{} where {} is wanted, stable has {}",
        number(found.verdict.value),
        found.verdict.bound,
        number(found.verdict.baseline)
    );
    if found.verdict.stable == Verdict::Fail {
        return Judgement::Hold(
            HoldReason::StableFailing,
            format!("stable to recover: check `{name}` fails on both versions ({numbers})"),
        );
    }
    match check.action {
        CheckAction::RollBack => Judgement::RollBack(format!("check `{name}` failed: {numbers}")),
        CheckAction::Hold => Judgement::Hold(
            HoldReason::Failed,
            format!("check `{name}` to pass: {numbers}"),
        ),
        CheckAction::Notify => Judgement::Pass,
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}

fn strictness(judgement: &Judgement) -> u8 {
    match judgement {
        Judgement::Pass => 0,
        Judgement::Observing => 1,
        Judgement::Hold(..) => 2,
        Judgement::RollBack(_) => 3,
    }
}

//! How traffic moves to the new version.

use serde::{Deserialize, Serialize};

use super::{WHOLE, parts};
use crate::virtual_service::HttpMatch;

/// Methods that are mirrored unless others are named: those that change nothing.
/// Source: RFC 9110, section 9.2.1 (safe methods), without `TRACE`.
pub const MIRRORED_METHODS: [&str; 3] = ["GET", "HEAD", "OPTIONS"];

/// The plan; exactly one field is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strategy {
    /// Step by step, by ratio, by request content, or both.
    pub canary: Option<Canary>,
    /// All at once, with a way back.
    pub blue_green: Option<BlueGreen>,
    /// Copies only, until it is approved to take all traffic.
    pub mirror: Option<Mirror>,
}

/// Step by step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Canary {
    /// Steps in order. After the last one the new version gets all traffic, as a step of its own
    /// if the last has less. Without steps `matches` alone hold until they are approved.
    pub steps: Vec<CanaryStep>,
    /// Requests that go to the new version whatever the weight, from the first step until it has
    /// everything: `AND` within a block, `OR` between blocks, as in a `VirtualService`.
    pub matches: Vec<HttpMatch>,
}

/// One step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CanaryStep {
    /// Share of the new version in percent, 0 to 100 in steps of 0.0001.
    pub weight: f64,
    /// What is awaited before the next step, beside the analysis; absent is nothing.
    pub pause: Option<Pause>,
}

/// What is awaited at a step. Both may be set: the time first, then the approval.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pause {
    /// Time from the last acknowledgement of the step, such as `5m`.
    pub duration: Option<String>,
    /// Waits until [`super::Control::approved_step`] reaches this step.
    pub approval: bool,
}

/// All at once: the new version is brought up without traffic, then gets everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlueGreen {
    /// What is awaited before the switch; absent switches once the new version is ready.
    pub pause: Option<Pause>,
    /// How long the old version stays up after the switch was judged, as an instant way back;
    /// absent or zero drains it at once.
    pub keep_old: Option<String>,
}

/// Copies of requests go to the new version, whose answers are thrown away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mirror {
    /// Share of requests that are copied, in percent, above 0; 100 when absent.
    pub percentage: Option<f64>,
    /// Methods that are copied; [`MIRRORED_METHODS`] when empty.
    pub methods: Vec<String>,
    /// Least time of copying before an approval counts.
    pub duration: Option<String>,
}

/// One stage of any strategy, as the planner carries it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage<'a> {
    /// Share of the new version in parts per million.
    pub parts: u32,
    /// Requests that go to the new version whatever the weight.
    pub matches: &'a [HttpMatch],
    /// Copies to the new version.
    pub mirror: Option<&'a Mirror>,
    /// Time that is awaited from the last acknowledgement.
    pub duration: Option<&'a str>,
    /// Whether an approval is awaited.
    pub approval: bool,
}

impl Stage<'_> {
    fn of(parts: u32, pause: Option<&Pause>) -> Stage<'_> {
        Stage {
            parts,
            matches: &[],
            mirror: None,
            duration: pause.and_then(|pause| pause.duration.as_deref()),
            approval: pause.is_some_and(|pause| pause.approval),
        }
    }
}

impl Strategy {
    /// The steps of the strategy in order, of which the last gives the new version everything:
    /// - a canary has its steps, and one of 100 % if the last has less;
    /// - blue-green has one without traffic, and one of 100 %;
    /// - mirroring has one with copies that waits for an approval, and one of 100 %.
    pub fn stages(&self) -> Vec<Stage<'_>> {
        let mut stages = Vec::new();
        if let Some(canary) = &self.canary {
            stages.extend(
                canary
                    .steps
                    .iter()
                    .map(|step| Stage::of(parts(step.weight), step.pause.as_ref())),
            );
            if stages.is_empty() {
                stages.push(Stage {
                    approval: true,
                    ..Stage::of(0, None)
                });
            }
            for stage in stages.iter_mut().filter(|stage| stage.parts < WHOLE) {
                stage.matches = &canary.matches;
            }
        } else if let Some(blue_green) = &self.blue_green {
            stages.push(Stage::of(0, blue_green.pause.as_ref()));
        } else if let Some(mirror) = &self.mirror {
            stages.push(Stage {
                mirror: Some(mirror),
                duration: mirror.duration.as_deref(),
                approval: true,
                ..Stage::of(0, None)
            });
        }
        if stages.last().is_none_or(|stage| stage.parts < WHOLE) {
            stages.push(Stage::of(WHOLE, None));
        }
        stages
    }

    /// Number of steps, the implied last one included.
    pub fn step_count(&self) -> u32 {
        u32::try_from(self.stages().len()).unwrap_or(u32::MAX)
    }
}

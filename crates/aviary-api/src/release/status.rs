//! How far a release has come.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::{Deserialize, Serialize};

use super::{Overlay, Role};

/// What the controller knows and has decided. It alone is the controller's memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReleaseStatus {
    /// Generation of the specification that was last looked at.
    pub observed_generation: i64,
    /// Where it stands.
    pub phase: Phase,
    /// Counts beginnings: a restart, another version, and a changed plan each begin anew. From 1.
    pub attempt: u32,
    /// The version that served before; `None` until it was found.
    pub stable: Option<VersionStatus>,
    /// The version under trial; `None` until it was found.
    pub new: Option<VersionStatus>,
    /// Steps, takeovers and drains under way.
    pub progress: Progress,
    /// What the translator composes onto routes; `None` until traffic is pinned for the first time.
    pub overlay: Option<Overlay>,
    /// Shares of the new version, for people.
    pub weights: Weights,
    /// Acknowledgements of the overlay.
    pub proxies: ProxyCount,
    /// Why nothing moves, in plain words, the most important first; empty when at rest.
    pub waits: Vec<String>,
    /// The last verdict of each check.
    pub verdicts: Vec<VerdictStatus>,
    /// `Accepted`, `Live`, `Succeeded`.
    pub conditions: Vec<Condition>,
    /// What of the specification was already carried out.
    pub seen: Seen,
    /// The last transitions, oldest first.
    pub journal: Vec<Entry>,
}

/// Where a release stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing has been done.
    #[default]
    Draft,
    /// Traffic is pinned to stable, the new version is brought up.
    Preparing,
    /// A step is written; proxies acknowledge it.
    Shifting,
    /// A step is live everywhere and observed.
    Analysing,
    /// A step cannot be left yet; see [`Progress::hold`].
    Holding,
    /// One side has everything, on command.
    TakenOver,
    /// The new version has everything; the old one is kept, drained, and ends.
    Draining,
    /// The new version is the stable one now.
    Completed,
    /// Traffic returns to stable; the new version is drained and ends.
    Aborting,
    /// Stable has everything again; the new version has no pods.
    RolledBack,
    /// As `Aborting`, and then another attempt begins.
    Superseding,
    /// The side that lost was deleted.
    Offline,
}

impl Phase {
    /// Whether a step is under way.
    pub fn is_stepping(self) -> bool {
        matches!(self, Self::Shifting | Self::Analysing | Self::Holding)
    }

    /// Whether it ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::RolledBack | Self::Offline)
    }
}

/// One of the two versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VersionStatus {
    /// Its `version` label.
    pub version: String,
    /// Name of its Deployment.
    pub deployment: String,
    /// Pods it has when it serves.
    pub replicas: u32,
    /// Pods ready.
    pub ready: u32,
}

/// Steps, takeovers and drains under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// When the phase was entered.
    pub since: Option<MicroTime>,
    /// When all proxies had acknowledged that stable has everything; pods of the new version may
    /// be made from then on.
    pub pinned_at: Option<MicroTime>,
    /// The step under way.
    pub step: Option<StepStatus>,
    /// Why the step cannot be left.
    pub hold: Option<HoldReason>,
    /// The side that took over.
    pub taken_over: Option<Role>,
    /// The side that loses its traffic for good, and how far that is.
    pub drain: Option<Drain>,
    /// Whether pods of stable were given up in this attempt, so that traffic may return only when
    /// all are ready again.
    pub stable_retired: bool,
}

/// The step under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepStatus {
    /// Counted from 1; 0 keeps the split of a plan that was changed.
    pub number: u32,
    /// Number of steps.
    pub of: u32,
    /// When its weights were written.
    pub entered_at: Option<MicroTime>,
    /// When the last proxy acknowledged; observation begins here.
    pub acked_at: Option<MicroTime>,
    /// `2/4`, for lists.
    pub summary: String,
}

/// Why a step cannot be left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HoldReason {
    /// An approval is awaited.
    Gate,
    /// A person paused it.
    User,
    /// A proxy has not acknowledged in time.
    ProxyLag,
    /// The new version has not all of its pods.
    Capacity,
    /// Measurements do not decide.
    Inconclusive,
    /// Measurements are missing.
    Unavailable,
    /// The new version failed a check whose action is to hold.
    Failed,
    /// The stable version fails, too: the new one cannot be blamed.
    StableFailing,
    /// More traffic than was given out reaches the new version.
    Overshoot,
}

/// A version on its way to no traffic and no pods.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// The side.
    pub role: Role,
    /// Overlay revision that first gave it nothing.
    pub revision: u64,
    /// When all proxies had acknowledged that.
    #[serde(default)]
    pub acked_at: Option<MicroTime>,
    /// From when on open streams no longer keep its pods.
    #[serde(default)]
    pub deadline: Option<MicroTime>,
    /// When it had no streams, or the deadline passed; its pods may end from then on.
    #[serde(default)]
    pub done_at: Option<MicroTime>,
}

/// Shares of the new version in parts per million.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Weights {
    /// Written to the overlay.
    pub wanted: u32,
    /// Acknowledged by every live proxy.
    pub acknowledged: u32,
    /// Measured of requests since the last acknowledgement, matched ones left out; `None` without
    /// data.
    pub observed: Option<u32>,
    /// The three in percent, for lists: `20 / 10 / 9.8`.
    pub summary: String,
}

/// Live proxies that lead to the Service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyCount {
    /// Those that acknowledged the overlay's revision.
    pub acked: u32,
    /// All.
    pub total: u32,
}

/// What a measurement says of a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Within bounds.
    Pass,
    /// Out of bounds.
    Fail,
    /// Too little data to decide.
    Inconclusive,
    /// No data could be had. An outage is not a failure.
    #[default]
    Unavailable,
}

/// The last verdict of one check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VerdictStatus {
    /// Name of the check.
    pub check: String,
    /// Of the new version.
    pub new: Verdict,
    /// Of the stable version, by the same bounds.
    pub stable: Verdict,
    /// Measured of the new version, in the metric's unit.
    pub value: Option<f64>,
    /// Measured of the stable version.
    pub baseline: Option<f64>,
    /// What it was compared with, in words: `at least 99`.
    pub bound: String,
    /// Requests of the new version in the window.
    pub samples: u64,
}

/// A condition, as Kubernetes' objects have them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// `Accepted`, `Live` or `Succeeded`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word for programs.
    pub reason: String,
    /// Sentence for people.
    pub message: String,
    /// When `status` last changed.
    pub last_transition_time: Option<MicroTime>,
}

/// What of the specification was already carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seen {
    /// `control.restart` of this attempt.
    pub restart: u64,
    /// `control.jumpTo` last carried out.
    pub jump_to: Option<u32>,
    /// Hash of the strategy and analysis of this attempt.
    pub plan: String,
    /// Hash of `spec.new` of this attempt.
    pub new: String,
    /// The claim on the Service.
    pub claim: Option<Claim>,
}

/// A claim on the Service; lost when another release took it since.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Claim {
    /// Uid of the `Lease`.
    pub uid: String,
    /// Its `leaseTransitions` when it was taken.
    pub transitions: i32,
}

/// A transition with everything that led to it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// Counts all entries of the release, from 1.
    pub sequence: u64,
    /// When it was decided.
    pub at: Option<MicroTime>,
    /// The attempt it belongs to.
    pub attempt: u32,
    /// Phase before.
    pub from: Phase,
    /// Phase after; the same when the overlay, the step or a drain moved within it.
    pub to: Phase,
    /// Step after; `None` when there is none.
    pub step: Option<u32>,
    /// Revision of the overlay after; 0 when there is none.
    pub revision: u64,
    /// Share of the new version after, in parts per million.
    pub new_parts: u32,
    /// One word for programs, such as `StepEntered`.
    pub reason: String,
    /// Sentence for people.
    pub message: String,
    /// Who asked; `None` when the controller decided by itself.
    pub asked_by: Option<String>,
    /// Acknowledgements seen.
    pub proxies: ProxyCount,
    /// Verdicts seen, with values and bounds.
    pub verdicts: Vec<VerdictStatus>,
}

//! What is measured while the new version has traffic.

use serde::{Deserialize, Serialize};

/// Checks of every step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Analysis {
    /// Least time that a step is observed, from the last acknowledgement; 30 s when absent. Every
    /// check must pass at or after its end.
    pub window: Option<String>,
    /// All are judged; the strictest outcome counts.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Check {
    /// Name, unique within the release.
    pub name: String,
    /// What is measured of both versions.
    pub metric: Metric,
    /// What is acceptable.
    pub bound: Bound,
    /// What follows when the new version fails.
    pub action: CheckAction,
    /// Reports a verdict that decides nothing.
    pub dry_run: bool,
}

/// A measured quantity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    /// Requests answered without a server error, in percent.
    #[default]
    SuccessRate,
    /// Median duration in milliseconds.
    DurationP50,
    /// 90th percentile of the duration in milliseconds.
    DurationP90,
    /// 99th percentile of the duration in milliseconds.
    DurationP99,
    /// Requests in the window.
    Requests,
}

/// What is acceptable; at least one field is set, all that are must hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Bound {
    /// Least value, in the metric's unit.
    pub min: Option<f64>,
    /// Greatest value, in the metric's unit.
    pub max: Option<f64>,
    /// How much worse than the stable version in the same window, in percent of its value.
    pub worse_than_stable: Option<f64>,
}

/// What follows when the new version fails a check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CheckAction {
    /// All traffic back to the stable version.
    #[default]
    RollBack,
    /// Stay at the step.
    Hold,
    /// Say so and go on.
    Notify,
}

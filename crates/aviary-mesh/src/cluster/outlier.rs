//! Ejecting endpoints that fail.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::is_default;

/// Ejecting endpoints that fail.
///
/// Source: Envoy `OutlierDetection`, with Istio's fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outlier {
    /// 5xx in a row that eject; `None` turns this counter off.
    pub consecutive_5xx: Option<u32>,
    /// 502, 503, 504 in a row that eject; `None` turns this counter off.
    pub consecutive_gateway_errors: Option<u32>,
    /// Failures without an answer in a row that eject, when they are counted apart
    /// (`split_local_origin`); `None` turns this counter off.
    #[serde(skip_serializing_if = "is_default")]
    pub consecutive_local_failures: Option<u32>,
    /// Connections that fail and answers that do not come count apart from the upstream's answers;
    /// otherwise they count as 503 and 504.
    #[serde(skip_serializing_if = "is_default")]
    pub split_local_origin: bool,
    /// Ejects the endpoints whose share of good answers is far below that of the others.
    #[serde(skip_serializing_if = "is_default")]
    pub success_rate: Option<SuccessRate>,
    /// Ejects the endpoints whose share of failures is too large.
    #[serde(skip_serializing_if = "is_default")]
    pub failure_percentage: Option<FailurePercentage>,
    /// Time between sweeps that bring endpoints back.
    pub interval: Duration,
    /// Ejected for this long times the number of ejections.
    pub base_ejection_time: Duration,
    /// But never longer than this, unless the base time is; zero means five minutes.
    #[serde(skip_serializing_if = "is_default")]
    pub max_ejection_time: Duration,
    /// At most this share of the endpoints is ejected, 0 to 100.
    pub max_ejection_percent: u32,
    /// One endpoint may be ejected whatever the share is.
    pub always_eject_one: bool,
    /// What each kind of ejection is carried out for, 0 to 100 % of the times it comes up.
    #[serde(skip_serializing_if = "is_default")]
    pub enforcing: Enforcing,
}

impl Default for Outlier {
    fn default() -> Self {
        Self::ISTIO
    }
}

impl Outlier {
    /// What an empty section of Istio's means: five 5xx in a row; one endpoint may always be ejected.
    pub const ISTIO: Self = Self {
        consecutive_5xx: Some(5),
        consecutive_gateway_errors: None,
        consecutive_local_failures: None,
        split_local_origin: false,
        success_rate: None,
        failure_percentage: None,
        interval: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_time: Duration::ZERO,
        max_ejection_percent: 10,
        always_eject_one: true,
        enforcing: Enforcing::ALL,
    };
}

/// The share of ejections by a counter in a row that is carried out, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names of what is enforced")]
pub struct Enforcing {
    /// Of [`Outlier::consecutive_5xx`].
    pub consecutive_5xx: u32,
    /// Of [`Outlier::consecutive_gateway_errors`].
    pub consecutive_gateway_errors: u32,
    /// Of [`Outlier::consecutive_local_failures`].
    pub consecutive_local_failures: u32,
}

impl Enforcing {
    /// Everything.
    pub const ALL: Self = Self {
        consecutive_5xx: 100,
        consecutive_gateway_errors: 100,
        consecutive_local_failures: 100,
    };
}

impl Default for Enforcing {
    fn default() -> Self {
        Self::ALL
    }
}

/// Ejecting by the share of good answers, compared with the other endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SuccessRate {
    /// Endpoints with enough requests that are needed to compare.
    pub minimum_hosts: u32,
    /// Requests of an interval that are enough.
    pub request_volume: u32,
    /// An endpoint is ejected below mean − deviation × this / 1,000.
    pub deviation_factor: u32,
    /// Share of ejections that is carried out, for answers, 0 to 100.
    pub enforcing: u32,
    /// The same for failures without an answer, when they count apart.
    pub enforcing_local_origin: u32,
}

impl Default for SuccessRate {
    /// Envoy's.
    fn default() -> Self {
        Self {
            minimum_hosts: 5,
            request_volume: 100,
            deviation_factor: 1_900,
            enforcing: 100,
            enforcing_local_origin: 100,
        }
    }
}

/// Ejecting by the share of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailurePercentage {
    /// Share of failures from which on an endpoint is ejected, 0 to 100.
    pub threshold: u32,
    /// Endpoints with enough requests that are needed.
    pub minimum_hosts: u32,
    /// Requests of an interval that are enough.
    pub request_volume: u32,
    /// Share of ejections that is carried out, for answers, 0 to 100.
    pub enforcing: u32,
    /// The same for failures without an answer, when they count apart.
    pub enforcing_local_origin: u32,
}

impl Default for FailurePercentage {
    /// Envoy's, where it enforces nothing.
    fn default() -> Self {
        Self {
            threshold: 85,
            minimum_hosts: 5,
            request_volume: 50,
            enforcing: 0,
            enforcing_local_origin: 0,
        }
    }
}

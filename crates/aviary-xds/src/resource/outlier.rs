//! Ejecting endpoints, as Envoy's outlier detection.

use std::time::Duration;

use aviary_mesh::cluster::{Enforcing, FailurePercentage, Outlier, SuccessRate};
use envoy_types::pb::envoy::config::cluster::v3::OutlierDetection;
use envoy_types::pb::google::protobuf::Duration as ProtoDuration;

use super::value::{boolean, duration, duration_of, number, number_of};
use super::{Fault, Within, nothing_left};

const IN_A_ROW: u32 = 5;
const INTERVAL: Duration = Duration::from_secs(10);
const BASE_EJECTION_TIME: Duration = Duration::from_secs(30);
const MAX_EJECTION_TIME: Duration = Duration::from_mins(5);
const MAX_EJECTION_PERCENT: u32 = 10;

/// What is turned off is enforced for no host, as Istio does.
pub(super) fn to_proto(outlier: &Outlier) -> OutlierDetection {
    let share = |on: bool, percent| number(if on { percent } else { 0 });
    let rate = outlier.success_rate.unwrap_or_else(|| SuccessRate {
        enforcing: 0,
        enforcing_local_origin: 0,
        ..SuccessRate::default()
    });
    let failures = outlier.failure_percentage.unwrap_or_default();
    let longest = outlier.max_ejection_time;
    OutlierDetection {
        consecutive_5xx: outlier.consecutive_5xx.and_then(number),
        enforcing_consecutive_5xx: share(
            outlier.consecutive_5xx.is_some(),
            outlier.enforcing.consecutive_5xx,
        ),
        consecutive_gateway_failure: outlier.consecutive_gateway_errors.and_then(number),
        enforcing_consecutive_gateway_failure: share(
            outlier.consecutive_gateway_errors.is_some(),
            outlier.enforcing.consecutive_gateway_errors,
        ),
        consecutive_local_origin_failure: outlier.consecutive_local_failures.and_then(number),
        enforcing_consecutive_local_origin_failure: share(
            outlier.consecutive_local_failures.is_some(),
            outlier.enforcing.consecutive_local_failures,
        ),
        split_external_local_origin_errors: outlier.split_local_origin,
        interval: duration(outlier.interval),
        base_ejection_time: duration(outlier.base_ejection_time),
        max_ejection_time: (!longest.is_zero()).then_some(longest).and_then(duration),
        max_ejection_percent: number(outlier.max_ejection_percent),
        always_eject_one_host: boolean(outlier.always_eject_one),
        enforcing_success_rate: number(rate.enforcing),
        enforcing_local_origin_success_rate: number(rate.enforcing_local_origin),
        success_rate_minimum_hosts: number(rate.minimum_hosts),
        success_rate_request_volume: number(rate.request_volume),
        success_rate_stdev_factor: number(rate.deviation_factor),
        enforcing_failure_percentage: number(failures.enforcing),
        enforcing_failure_percentage_local_origin: number(failures.enforcing_local_origin),
        failure_percentage_threshold: number(failures.threshold),
        failure_percentage_minimum_hosts: number(failures.minimum_hosts),
        failure_percentage_request_volume: number(failures.request_volume),
        ..OutlierDetection::default()
    }
}

pub(super) fn from_proto(mut proto: OutlierDetection) -> Result<Outlier, Fault> {
    let or = |value: Option<ProtoDuration>, default: Duration, field: &str| {
        duration_of(value)
            .within(field)
            .map(|it| it.unwrap_or(default))
    };
    let full = |value| number_of(value).unwrap_or(100);
    let none = |value| number_of(value).unwrap_or(0);
    let row = |value, enforcing: u32| (enforcing > 0).then(|| number_of(value).unwrap_or(IN_A_ROW));
    let enforcing = Enforcing {
        consecutive_5xx: full(proto.enforcing_consecutive_5xx.take()),
        consecutive_gateway_errors: none(proto.enforcing_consecutive_gateway_failure.take()),
        consecutive_local_failures: full(proto.enforcing_consecutive_local_origin_failure.take()),
    };
    let split = std::mem::take(&mut proto.split_external_local_origin_errors);
    let base = or(
        proto.base_ejection_time.take(),
        BASE_EJECTION_TIME,
        "base_ejection_time",
    )?;
    let longest = or(
        proto.max_ejection_time.take(),
        MAX_EJECTION_TIME,
        "max_ejection_time",
    )?;
    let on = |enforcing: u32| if enforcing > 0 { enforcing } else { 100 };
    let local = if split {
        enforcing.consecutive_local_failures
    } else {
        0
    };
    let outlier = Outlier {
        consecutive_5xx: row(proto.consecutive_5xx.take(), enforcing.consecutive_5xx),
        consecutive_gateway_errors: row(
            proto.consecutive_gateway_failure.take(),
            enforcing.consecutive_gateway_errors,
        ),
        consecutive_local_failures: row(proto.consecutive_local_origin_failure.take(), local),
        split_local_origin: split,
        success_rate: success_rate_of(&mut proto, split),
        failure_percentage: failure_percentage_of(&mut proto),
        interval: or(proto.interval.take(), INTERVAL, "interval")?,
        base_ejection_time: base,
        max_ejection_time: if longest == MAX_EJECTION_TIME {
            Duration::ZERO
        } else {
            longest
        },
        max_ejection_percent: number_of(proto.max_ejection_percent.take())
            .unwrap_or(MAX_EJECTION_PERCENT),
        always_eject_one: proto
            .always_eject_one_host
            .take()
            .is_some_and(|it| it.value),
        enforcing: Enforcing {
            consecutive_5xx: on(enforcing.consecutive_5xx),
            consecutive_gateway_errors: on(enforcing.consecutive_gateway_errors),
            consecutive_local_failures: on(local),
        },
    };
    nothing_left(&proto)?;
    Ok(outlier)
}

/// Without a share to enforce there is nothing to do.
fn success_rate_of(proto: &mut OutlierDetection, split: bool) -> Option<SuccessRate> {
    let default = SuccessRate::default();
    let or = |value, default| number_of(value).unwrap_or(default);
    let rate = SuccessRate {
        minimum_hosts: or(
            proto.success_rate_minimum_hosts.take(),
            default.minimum_hosts,
        ),
        request_volume: or(
            proto.success_rate_request_volume.take(),
            default.request_volume,
        ),
        deviation_factor: or(
            proto.success_rate_stdev_factor.take(),
            default.deviation_factor,
        ),
        enforcing: or(proto.enforcing_success_rate.take(), default.enforcing),
        enforcing_local_origin: or(
            proto.enforcing_local_origin_success_rate.take(),
            default.enforcing_local_origin,
        ),
    };
    (rate.enforcing > 0 || split && rate.enforcing_local_origin > 0).then_some(rate)
}

fn failure_percentage_of(proto: &mut OutlierDetection) -> Option<FailurePercentage> {
    let default = FailurePercentage::default();
    let or = |value, default| number_of(value).unwrap_or(default);
    let failures = FailurePercentage {
        threshold: or(proto.failure_percentage_threshold.take(), default.threshold),
        minimum_hosts: or(
            proto.failure_percentage_minimum_hosts.take(),
            default.minimum_hosts,
        ),
        request_volume: or(
            proto.failure_percentage_request_volume.take(),
            default.request_volume,
        ),
        enforcing: or(proto.enforcing_failure_percentage.take(), 0),
        enforcing_local_origin: or(proto.enforcing_failure_percentage_local_origin.take(), 0),
    };
    (failures.enforcing > 0 || failures.enforcing_local_origin > 0).then_some(failures)
}

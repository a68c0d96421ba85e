//! Retry policies.

use aviary_mesh::retry::CONDITIONS;
use aviary_mesh::route::Retry;
use envoy_types::pb::envoy::config::route::v3::RetryPolicy;
use envoy_types::pb::envoy::config::route::v3::retry_policy::{
    RetryBackOff, RetryHostPredicate, retry_host_predicate,
};
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;

use super::matches::{header, header_of};
use super::value::{any, duration, duration_of, number, number_of, status_of, unpack};
use super::{Fault, Within, each, nothing_left};

/// Envoy's first pause.
const BASE_INTERVAL_MS: u64 = 25;
/// Longest pause, in first pauses.
const MAX_FACTOR: u32 = 10;

pub(super) fn to_proto(retry: &Retry) -> RetryPolicy {
    let previous = RetryHostPredicate {
        name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
        config_type: Some(retry_host_predicate::ConfigType::TypedConfig(any(
            &PreviousHostsPredicate {},
        ))),
    };
    let max_interval = if retry.max_interval.is_zero() {
        retry.base_interval.saturating_mul(MAX_FACTOR)
    } else {
        retry.max_interval
    };
    RetryPolicy {
        retry_on: retry.on.join(","),
        num_retries: number(retry.attempts),
        per_try_timeout: retry.per_try_timeout.and_then(duration),
        per_try_idle_timeout: retry.per_try_idle_timeout.and_then(duration),
        retriable_status_codes: retry.status_codes.iter().copied().map(u32::from).collect(),
        retriable_headers: retry.response_headers.iter().map(header).collect(),
        retriable_request_headers: retry.request_headers.iter().map(header).collect(),
        retry_host_predicate: if retry.avoid_previous > 0 {
            vec![previous]
        } else {
            Vec::new()
        },
        host_selection_retry_max_attempts: i64::from(retry.avoid_previous),
        retry_back_off: Some(RetryBackOff {
            base_interval: duration(retry.base_interval),
            max_interval: duration(max_interval),
        }),
        ..RetryPolicy::default()
    }
}

pub(super) fn from_proto(mut proto: RetryPolicy, guarded: bool) -> Result<Retry, Fault> {
    use std::mem::take;
    let avoid_previous = avoid_previous(&mut proto)?;
    let (base_interval, max_interval) = match proto.retry_back_off.take() {
        None => (std::time::Duration::from_millis(BASE_INTERVAL_MS), None),
        Some(pause) => back_off(pause).within("retry_back_off")?,
    };
    let retry = Retry {
        attempts: number_of(proto.num_retries.take()).unwrap_or(1),
        on: conditions(&take(&mut proto.retry_on)).within("retry_on")?,
        status_codes: each(
            "retriable_status_codes",
            take(&mut proto.retriable_status_codes),
            status_of,
        )?,
        per_try_timeout: duration_of(proto.per_try_timeout.take())
            .within("per_try_timeout")?
            .filter(|it| !it.is_zero()),
        per_try_idle_timeout: duration_of(proto.per_try_idle_timeout.take())
            .within("per_try_idle_timeout")?
            .filter(|it| !it.is_zero()),
        avoid_previous,
        base_interval,
        max_interval: max_interval
            .filter(|it| *it != base_interval.saturating_mul(MAX_FACTOR))
            .unwrap_or_default(),
        guarded,
        response_headers: each(
            "retriable_headers",
            take(&mut proto.retriable_headers),
            header_of,
        )?,
        request_headers: each(
            "retriable_request_headers",
            take(&mut proto.retriable_request_headers),
            header_of,
        )?,
    };
    nothing_left(&proto)?;
    Ok(retry)
}

/// Draws only repeat with a predicate that refuses the hosts before.
fn avoid_previous(proto: &mut RetryPolicy) -> Result<u32, Fault> {
    let attempts = std::mem::take(&mut proto.host_selection_retry_max_attempts);
    let attempts = u32::try_from(attempts)
        .map_err(|_| Fault::new("is negative").at("host_selection_retry_max_attempts"))?;
    let predicates = std::mem::take(&mut proto.retry_host_predicate);
    let any = !predicates.is_empty();
    each(
        "retry_host_predicate",
        predicates,
        |predicate| match predicate.config_type {
            Some(retry_host_predicate::ConfigType::TypedConfig(config)) => {
                unpack::<PreviousHostsPredicate>(&config).within("typed_config")
            }
            _ => Err(Fault::new("a configuration in place is missing").at("typed_config")),
        },
    )?;
    // Source: Envoy's router tries once more to find another host unless told otherwise.
    Ok(if any { attempts.max(1) } else { 0 })
}

fn back_off(
    pause: RetryBackOff,
) -> Result<(std::time::Duration, Option<std::time::Duration>), Fault> {
    let base = duration_of(pause.base_interval)
        .within("base_interval")?
        .ok_or_else(|| Fault::new("a duration is missing").at("base_interval"))?;
    Ok((
        base,
        duration_of(pause.max_interval).within("max_interval")?,
    ))
}

fn conditions(list: &str) -> Result<Vec<String>, Fault> {
    let names = list.split(',').map(str::trim).filter(|it| !it.is_empty());
    names
        .map(|name| {
            if CONDITIONS.contains(&name) {
                return Ok(name.to_owned());
            }
            Err(Fault::new(format!(
                "condition `{name}` is not supported; known are {}",
                CONDITIONS.join(", ")
            )))
        })
        .collect()
}

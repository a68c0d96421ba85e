//! Endpoints whose share of good answers stands out.
//!
//! Source: Envoy `DetectorImpl::processSuccessRateEjections`.

use std::net::SocketAddr;

use super::{Reason, Record};
use crate::cluster::Outlier;
use crate::names::AddressMap;

/// Good ones of all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Rate {
    good: u32,
    all: u32,
}

impl Rate {
    pub(super) fn count(&mut self, good: bool) {
        self.good += u32::from(good);
        self.all += 1;
    }

    fn percent(self) -> f64 {
        100.0 * f64::from(self.good) / f64::from(self.all)
    }
}

/// The endpoints that stand out, sorted, with the reason and how many of such are to be ejected, in
/// percent.
pub(super) fn outliers(
    policy: &Outlier,
    records: &AddressMap<Record>,
) -> Vec<(SocketAddr, Reason, u32)> {
    let mut found = Vec::new();
    compare(policy, records, false, &mut found);
    if policy.split_local_origin {
        compare(policy, records, true, &mut found);
    }
    found
}

/// Compares the shares of good answers, or of attempts to get one.
fn compare(
    policy: &Outlier,
    records: &AddressMap<Record>,
    local: bool,
    found: &mut Vec<(SocketAddr, Reason, u32)>,
) {
    let mut rates: Vec<_> = records
        .iter()
        .filter(|(_, record)| record.ejected_at.is_none())
        .map(|(endpoint, record)| {
            (
                *endpoint,
                if local {
                    record.connects
                } else {
                    record.answers
                },
            )
        })
        .collect();
    rates.sort_unstable_by_key(|(endpoint, _)| *endpoint);
    let enough = |volume: u32| {
        let busy = rates
            .iter()
            .filter(move |(_, rate)| rate.all > 0 && rate.all >= volume);
        busy.map(|(endpoint, rate)| (*endpoint, rate.percent()))
            .collect::<Vec<_>>()
    };
    if let Some(wanted) = &policy.success_rate {
        let rates = enough(wanted.request_volume);
        if !rates.is_empty() && rates.len() >= wanted.minimum_hosts as usize {
            let bound = bound(&rates, f64::from(wanted.deviation_factor) / 1_000.0);
            let percent = if local {
                wanted.enforcing_local_origin
            } else {
                wanted.enforcing
            };
            let below = rates.iter().filter(|(_, rate)| *rate < bound);
            found.extend(below.map(|(endpoint, _)| (*endpoint, Reason::SuccessRate, percent)));
        }
    }
    if let Some(wanted) = &policy.failure_percentage {
        let rates = enough(wanted.request_volume);
        if !rates.is_empty() && rates.len() >= wanted.minimum_hosts as usize {
            let percent = if local {
                wanted.enforcing_local_origin
            } else {
                wanted.enforcing
            };
            let bad = |rate: f64| 100.0 - rate >= f64::from(wanted.threshold);
            let above = rates.iter().filter(|(_, rate)| bad(*rate));
            found
                .extend(above.map(|(endpoint, _)| (*endpoint, Reason::FailurePercentage, percent)));
        }
    }
}

/// So many standard deviations below the mean.
#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of endpoints are far below 2^52"
)]
fn bound(rates: &[(SocketAddr, f64)], deviations: f64) -> f64 {
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let squares = rates.iter().map(|(_, rate)| (rate - mean).powi(2));
    mean - (squares.sum::<f64>() / count).sqrt() * deviations
}

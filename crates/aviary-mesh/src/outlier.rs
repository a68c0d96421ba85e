//! Ejecting endpoints that fail and bringing them back.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::cluster::Outlier;

/// An ejection never lasts longer than this, unless the base time does.
/// Source: Envoy `max_ejection_time`.
const MAX_EJECTION_TIME: Duration = Duration::from_mins(5);

/// What came of a request, as ejection sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered with this status.
    Status(u16),
    /// No connection, or it broke before an answer: counts as 503.
    ConnectionFailed,
    /// No answer in time: counts as 504.
    TimedOut,
}

impl Outcome {
    fn status(self) -> u16 {
        match self {
            Self::Status(status) => status,
            Self::ConnectionFailed => 503,
            Self::TimedOut => 504,
        }
    }
}

/// Why an endpoint was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// [`Outlier::consecutive_5xx`].
    Consecutive5xx,
    /// [`Outlier::consecutive_gateway_errors`].
    ConsecutiveGatewayErrors,
}

/// What is known of an endpoint that failed or was ejected.
#[derive(Debug, Clone, Default)]
struct Record {
    consecutive_5xx: u32,
    consecutive_gateway_errors: u32,
    /// When it was ejected; `None` while it takes part.
    ejected_at: Option<Duration>,
    /// How often it was ejected, less one for each sweep that it went through in health.
    ejections: u32,
}

/// The ejections of one cluster; outlives changes of its configuration.
///
/// Source: Envoy's outlier detection: consecutive counters, base time times ejections, sweeps.
#[derive(Debug, Clone, Default)]
pub struct Ejector {
    records: HashMap<SocketAddr, Record>,
    next_sweep: Option<Duration>,
}

impl Ejector {
    /// Counts an outcome at `now` (since any epoch that stays the same).
    ///
    /// `endpoints` is the size of the cluster. Gives the reason when the endpoint is ejected by this.
    pub fn on_response(
        &mut self,
        policy: &Outlier,
        endpoints: usize,
        endpoint: SocketAddr,
        outcome: Outcome,
        now: Duration,
    ) -> Option<Reason> {
        self.next_sweep.get_or_insert(now + policy.interval);
        let status = outcome.status();
        if status < 500 {
            if let Some(record) = self.records.get_mut(&endpoint) {
                record.consecutive_5xx = 0;
                record.consecutive_gateway_errors = 0;
            }
            return None;
        }
        let reason = self.count_failure(policy, endpoint, status)?;
        let ejected = self.ejected().count();
        let share = ejected * 100;
        let allowed = (policy.always_eject_one && ejected == 0)
            || share < endpoints * policy.max_ejection_percent as usize;
        let record = self.records.get_mut(&endpoint)?;
        if !allowed || record.ejected_at.is_some() {
            return None;
        }
        record.ejected_at = Some(now);
        record.ejections += 1;
        Some(reason)
    }

    fn count_failure(
        &mut self,
        policy: &Outlier,
        endpoint: SocketAddr,
        status: u16,
    ) -> Option<Reason> {
        let record = self.records.entry(endpoint).or_default();
        record.consecutive_5xx += 1;
        record.consecutive_gateway_errors = if matches!(status, 502..=504) {
            record.consecutive_gateway_errors + 1
        } else {
            0
        };
        let reached = |limit: Option<u32>, count| limit.is_some_and(|limit| count >= limit.max(1));
        if reached(
            policy.consecutive_gateway_errors,
            record.consecutive_gateway_errors,
        ) {
            record.consecutive_gateway_errors = 0;
            return Some(Reason::ConsecutiveGatewayErrors);
        }
        if reached(policy.consecutive_5xx, record.consecutive_5xx) {
            record.consecutive_5xx = 0;
            return Some(Reason::Consecutive5xx);
        }
        None
    }

    /// Sweeps when the interval is over; gives the endpoints that take part again, sorted.
    pub fn poll(&mut self, policy: &Outlier, now: Duration) -> Vec<SocketAddr> {
        match self.next_sweep {
            Some(due) if due > now => return Vec::new(),
            None => return Vec::new(),
            Some(_) => {}
        }
        let mut back = Vec::new();
        for (endpoint, record) in &mut self.records {
            let Some(since) = record.ejected_at else {
                record.ejections = record.ejections.saturating_sub(1);
                continue;
            };
            let longest = MAX_EJECTION_TIME.max(policy.base_ejection_time);
            let sentence = policy
                .base_ejection_time
                .saturating_mul(record.ejections)
                .min(longest);
            if now.saturating_sub(since) >= sentence {
                record.ejected_at = None;
                record.consecutive_5xx = 0;
                record.consecutive_gateway_errors = 0;
                back.push(*endpoint);
            }
        }
        self.records.retain(|_, record| {
            record.ejected_at.is_some()
                || record.ejections > 0
                || record.consecutive_5xx > 0
                || record.consecutive_gateway_errors > 0
        });
        self.next_sweep = (!self.records.is_empty()).then(|| now + policy.interval);
        back.sort_unstable();
        back
    }

    /// When [`Self::poll`] next has something to do; `None` while there is nothing to sweep.
    pub fn next_poll(&self) -> Option<Duration> {
        self.next_sweep
    }

    /// Whether an endpoint is ejected.
    pub fn is_ejected(&self, endpoint: SocketAddr) -> bool {
        self.records
            .get(&endpoint)
            .is_some_and(|record| record.ejected_at.is_some())
    }

    /// The ejected endpoints, in no order.
    pub fn ejected(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.records
            .iter()
            .filter(|(_, record)| record.ejected_at.is_some())
            .map(|(endpoint, _)| *endpoint)
    }

    /// Forgets the endpoints that are not in the cluster any more.
    pub fn retain(&mut self, mut keep: impl FnMut(SocketAddr) -> bool) {
        self.records.retain(|endpoint, _| keep(*endpoint));
    }

    /// Brings everything back, for a cluster whose detection was turned off.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests;

//! Ejecting endpoints that fail and bringing them back.

mod rate;

use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng;

use self::rate::Rate;
use crate::cluster::Outlier;
use crate::names::AddressMap;
use crate::resolve::draw;

/// An ejection never lasts longer than this, unless the base time does.
/// Source: Envoy `max_ejection_time`.
const MAX_EJECTION_TIME: Duration = Duration::from_mins(5);

/// What came of a request, as ejection sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered with this status.
    Status(u16),
    /// No connection, or it broke before an answer: counts as 503, unless such failures count apart.
    ConnectionFailed,
    /// No answer in time: counts as 504, unless such failures count apart.
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
    /// [`Outlier::consecutive_local_failures`].
    ConsecutiveLocalFailures,
    /// [`Outlier::success_rate`].
    SuccessRate,
    /// [`Outlier::failure_percentage`].
    FailurePercentage,
}

/// What is known of an endpoint that failed or was ejected, or of every one where they are compared.
#[derive(Debug, Clone, Default)]
struct Record {
    consecutive_5xx: u32,
    consecutive_gateway_errors: u32,
    consecutive_local_failures: u32,
    /// Of this interval: answers, and failures to get one where they count apart.
    answers: Rate,
    connects: Rate,
    /// When it was ejected; `None` while it takes part.
    ejected_at: Option<Duration>,
    /// How often it was ejected, less one for each sweep that it went through in health.
    ejections: u32,
}

/// What a sweep changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Endpoints that take part again, sorted.
    pub back: Vec<SocketAddr>,
    /// Endpoints that stand out among the others, with the reason.
    pub ejected: Vec<(SocketAddr, Reason)>,
}

impl Swept {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.back.is_empty() && self.ejected.is_empty()
    }
}

/// The ejections of one cluster; outlives changes of its configuration.
///
/// Source: Envoy's outlier detection: consecutive counters, rates compared each interval, base time
/// times ejections, sweeps.
#[derive(Debug, Clone, Default)]
pub struct Ejector {
    records: AddressMap<Record>,
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
        rng: &mut impl Rng,
    ) -> Option<Reason> {
        self.next_sweep.get_or_insert(now + policy.interval);
        let compares = policy.success_rate.is_some() || policy.failure_percentage.is_some();
        let local = policy.split_local_origin && !matches!(outcome, Outcome::Status(_));
        let failed = local || outcome.status() >= 500;
        let record = if compares || failed {
            self.records.entry(endpoint).or_default()
        } else {
            self.records.get_mut(&endpoint)?
        };
        let reasons = if local {
            record.on_local_failure(policy)
        } else {
            record.on_answer(policy, outcome.status())
        };
        let enforcing = &policy.enforcing;
        reasons.into_iter().flatten().find(|reason| {
            let percent = match reason {
                Reason::ConsecutiveGatewayErrors => enforcing.consecutive_gateway_errors,
                Reason::ConsecutiveLocalFailures => enforcing.consecutive_local_failures,
                _ => enforcing.consecutive_5xx,
            };
            self.eject(policy, endpoints, endpoint, percent, now, rng)
        })
    }

    /// Ejects an endpoint, when so many may be, in `percent` of the cases.
    fn eject(
        &mut self,
        policy: &Outlier,
        endpoints: usize,
        endpoint: SocketAddr,
        percent: u32,
        now: Duration,
        rng: &mut impl Rng,
    ) -> bool {
        let ejected = self.ejected().count();
        let share = ejected * 100;
        let allowed = (policy.always_eject_one && ejected == 0)
            || share < endpoints * policy.max_ejection_percent as usize;
        let Some(record) = self.records.get_mut(&endpoint) else {
            return false;
        };
        if !allowed || record.ejected_at.is_some() || !draw(f64::from(percent), rng) {
            return false;
        }
        record.ejected_at = Some(now);
        record.ejections += 1;
        true
    }

    /// Sweeps when the interval is over: brings endpoints back, and ejects those whose rates stand
    /// out.
    pub fn poll(
        &mut self,
        policy: &Outlier,
        endpoints: usize,
        now: Duration,
        rng: &mut impl Rng,
    ) -> Swept {
        match self.next_sweep {
            Some(due) if due <= now => {}
            _ => return Swept::default(),
        }
        let mut swept = Swept {
            back: self.bring_back(policy, now),
            ejected: Vec::new(),
        };
        for (endpoint, reason, percent) in rate::outliers(policy, &self.records) {
            if self.eject(policy, endpoints, endpoint, percent, now, rng) {
                swept.ejected.push((endpoint, reason));
            }
        }
        self.records.retain(|_, record| {
            record.answers = Rate::default();
            record.connects = Rate::default();
            record.ejected_at.is_some()
                || record.ejections > 0
                || record.consecutive_5xx > 0
                || record.consecutive_gateway_errors > 0
                || record.consecutive_local_failures > 0
        });
        self.next_sweep = (!self.records.is_empty()).then(|| now + policy.interval);
        swept
    }

    fn bring_back(&mut self, policy: &Outlier, now: Duration) -> Vec<SocketAddr> {
        let longest = match policy.max_ejection_time {
            Duration::ZERO => MAX_EJECTION_TIME,
            longest => longest,
        };
        let longest = longest.max(policy.base_ejection_time);
        let mut back = Vec::new();
        for (endpoint, record) in &mut self.records {
            let Some(since) = record.ejected_at else {
                record.ejections = record.ejections.saturating_sub(1);
                continue;
            };
            let sentence = policy
                .base_ejection_time
                .saturating_mul(record.ejections)
                .min(longest);
            if now.saturating_sub(since) >= sentence {
                record.ejected_at = None;
                record.consecutive_5xx = 0;
                record.consecutive_gateway_errors = 0;
                record.consecutive_local_failures = 0;
                back.push(*endpoint);
            }
        }
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

impl Record {
    fn on_answer(&mut self, policy: &Outlier, status: u16) -> [Option<Reason>; 2] {
        self.answers.count(status < 500);
        if policy.split_local_origin {
            // There was a connection.
            self.connects.count(true);
            self.consecutive_local_failures = 0;
        }
        if status < 500 {
            self.consecutive_5xx = 0;
            self.consecutive_gateway_errors = 0;
            return [None; 2];
        }
        self.consecutive_5xx += 1;
        self.consecutive_gateway_errors = match status {
            502..=504 => self.consecutive_gateway_errors + 1,
            _ => 0,
        };
        [
            reached(
                policy.consecutive_gateway_errors,
                &mut self.consecutive_gateway_errors,
                Reason::ConsecutiveGatewayErrors,
            ),
            reached(
                policy.consecutive_5xx,
                &mut self.consecutive_5xx,
                Reason::Consecutive5xx,
            ),
        ]
    }

    fn on_local_failure(&mut self, policy: &Outlier) -> [Option<Reason>; 2] {
        self.connects.count(false);
        self.consecutive_local_failures += 1;
        let reason = reached(
            policy.consecutive_local_failures,
            &mut self.consecutive_local_failures,
            Reason::ConsecutiveLocalFailures,
        );
        [reason, None]
    }
}

/// Begins again when the limit is reached.
fn reached(limit: Option<u32>, count: &mut u32, reason: Reason) -> Option<Reason> {
    let limit = limit?.max(1);
    (*count >= limit).then(|| {
        *count = 0;
        reason
    })
}

#[cfg(test)]
mod tests;

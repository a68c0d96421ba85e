//! When to try again.

use std::time::Duration;

use jiff::Timestamp;

/// Source: kubelet, container restart back-off.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_mins(5);
/// A run of this length is no failure any more. Source: kubelet forgets a back-off after twice its longest delay.
const GOOD_RUN: Duration = Duration::from_mins(10);

/// Doubling delay; the first failure after a good run is forgiven.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
    until: Option<Timestamp>,
}

impl Backoff {
    /// What so many restarts amount to, for a pod whose agent has forgotten it.
    pub(crate) fn after(restarts: u32) -> Self {
        Self {
            failures: restarts,
            until: None,
        }
    }

    /// Notes the end of a run: at once again the first time, then after 10 s, 20 s … 300 s.
    pub(crate) fn failed(&mut self, started_at: Timestamp, finished_at: Timestamp) {
        let run = finished_at.duration_since(started_at).unsigned_abs();
        if run >= GOOD_RUN {
            self.failures = 0;
        }
        self.until = self.delay().map(|delay| finished_at + delay);
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes a try that could not even begin: after 10 s, 20 s … 300 s.
    pub(crate) fn refused(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        self.until = self.delay().map(|delay| now + delay);
    }

    /// As [`Backoff::refused`] with a fixed delay, for what is likely to come soon.
    pub(crate) fn retry_in(&mut self, now: Timestamp, delay: Duration) {
        self.until = Some(now + delay);
    }

    /// `None`: no reason to wait.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// The present delay, `None` before the first failure that counts.
    pub(crate) fn delay(&self) -> Option<Duration> {
        let doubled = self.failures.checked_sub(1)?.min(10);
        Some(LONGEST.min(FIRST * 2_u32.pow(doubled)))
    }

    /// The delay that runs at present, as the status prints it.
    pub(crate) fn current_delay(&self) -> Duration {
        let before = Self {
            failures: self.failures.saturating_sub(1),
            until: None,
        };
        before.delay().unwrap_or_default()
    }
}

/// A duration as Go prints it: `10s`, `2m40s`, `5m0s`.
pub(crate) fn go_duration(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    if minutes > 0 {
        format!("{minutes}m{seconds}s")
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn failed_doubles_up_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut delays = Vec::new();
        for _ in 0..8 {
            backoff.failed(at(0), at(1));
            delays.push(backoff.until().map(|until| until.as_second() - 1));
        }
        let expected = [
            None,
            Some(10),
            Some(20),
            Some(40),
            Some(80),
            Some(160),
            Some(300),
            Some(300),
        ];
        assert_eq!(delays, expected);
        assert_eq!(go_duration(backoff.current_delay()), "5m0s");
    }

    #[test]
    fn failed_after_a_good_run_starts_at_once() {
        let mut backoff = Backoff::default();
        backoff.failed(at(0), at(1));
        backoff.failed(at(1), at(2));
        backoff.failed(at(2), at(1000));
        assert_eq!(backoff.until(), None);
    }

    #[test]
    fn refused_waits_from_the_first_time() {
        let mut backoff = Backoff::default();
        backoff.refused(at(0));
        assert_eq!(backoff.until(), Some(at(10)));
        backoff.refused(at(10));
        assert_eq!(backoff.until(), Some(at(30)));
    }
}

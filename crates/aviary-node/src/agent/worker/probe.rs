//! Startup, liveness and readiness probes.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Probe};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::{Note, hook};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// As often in a row as asked for, after it had not been so.
    Passed,
    /// `reached` once it failed as often in a row as is allowed.
    Failed { message: String, reached: bool },
}

/// What is probed.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) container: Container,
    pub(super) attempt: u32,
    pub(super) since: Timestamp,
    /// The last known result.
    pub(super) passing: bool,
    pub(super) address: Ipv4Addr,
    pub(super) socket: PathBuf,
}

/// Counts results in a row.
#[derive(Debug)]
struct Counter {
    passing: bool,
    passes: u32,
    failures: u32,
    success_threshold: u32,
    failure_threshold: u32,
}

impl Counter {
    /// Gives what is to be told, if anything.
    fn count(&mut self, result: Result<(), String>) -> Option<Outcome> {
        match result {
            Ok(()) => {
                self.failures = 0;
                self.passes = self.passes.saturating_add(1);
                if self.passing || self.passes < self.success_threshold {
                    return None;
                }
                self.passing = true;
                Some(Outcome::Passed)
            }
            Err(message) => {
                self.passes = 0;
                self.failures = self.failures.saturating_add(1);
                let reached = self.failures >= self.failure_threshold;
                self.passing &= !reached;
                Some(Outcome::Failed { message, reached })
            }
        }
    }
}

/// Probes until dropped; a startup probe ends when it passed.
pub(super) async fn run(
    place: Place,
    kind: Kind,
    probe: Probe,
    notes: mpsc::UnboundedSender<Note>,
) {
    let positive = |value: Option<i32>, default: u32| {
        value
            .and_then(|value| u32::try_from(value).ok())
            .filter(|value| *value > 0)
            .unwrap_or(default)
    };
    let period = Duration::from_secs(positive(probe.period_seconds, 10).into());
    let patience = Duration::from_secs(positive(probe.timeout_seconds, 1).into());
    let delay = Duration::from_secs(positive(probe.initial_delay_seconds, 0).into());
    let mut counter = Counter {
        passing: place.passing,
        passes: 0,
        failures: 0,
        success_threshold: positive(probe.success_threshold, 1),
        failure_threshold: positive(probe.failure_threshold, 3),
    };
    let age = Duration::try_from(Timestamp::now().duration_since(place.since)).unwrap_or_default();
    sleep(delay.saturating_sub(age)).await;
    // Most programs are up within milliseconds: until the first period is over, a failure is no news and the next try is
    // soon.
    let grace_end = Instant::now() + period;
    let mut soon = Duration::from_millis(20);
    loop {
        let result = timeout(patience, check(&place, &probe))
            .await
            .unwrap_or_else(|_| {
                Err(format!(
                    "context deadline exceeded after {} s",
                    patience.as_secs()
                ))
            });
        if result.is_err()
            && kind != Kind::Liveness
            && !counter.passing
            && Instant::now() < grace_end
        {
            sleep(soon).await;
            soon = (soon * 2).min(Duration::from_millis(200));
            continue;
        }
        if let Some(outcome) = counter.count(result) {
            let done = kind == Kind::Startup && outcome == Outcome::Passed;
            let (container, attempt) = (place.container.name.clone(), place.attempt);
            if notes
                .send(Note::Probe {
                    container,
                    attempt,
                    kind,
                    outcome,
                })
                .is_err()
                || done
            {
                return;
            }
        }
        sleep(period).await;
    }
}

async fn check(place: &Place, probe: &Probe) -> Result<(), String> {
    if let Some(action) = &probe.http_get {
        return hook::get(action, &place.container, place.address).await;
    }
    if let Some(action) = &probe.tcp_socket {
        let port = hook::port(&action.port, &place.container)?;
        let host = action
            .host
            .clone()
            .unwrap_or_else(|| place.address.to_string());
        return hook::connect(&host, port).await.map(drop);
    }
    if let Some(action) = &probe.exec {
        let argv = action.command.clone().unwrap_or_default();
        return hook::execute(&place.socket, &place.container.name, argv).await;
    }
    Err("only httpGet, tcpSocket and exec probes are served".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(success_threshold: u32, failure_threshold: u32) -> Counter {
        Counter {
            passing: false,
            passes: 0,
            failures: 0,
            success_threshold,
            failure_threshold,
        }
    }

    fn failed(reached: bool) -> Outcome {
        Outcome::Failed {
            message: "no".to_owned(),
            reached,
        }
    }

    #[test]
    fn count_passes_tells_once_when_enough_in_a_row() {
        let mut counter = counter(2, 3);
        assert_eq!(counter.count(Ok(())), None);
        assert_eq!(counter.count(Err("no".to_owned())), Some(failed(false)));
        assert_eq!(counter.count(Ok(())), None);
        assert_eq!(counter.count(Ok(())), Some(Outcome::Passed));
        assert_eq!(counter.count(Ok(())), None);
    }

    #[test]
    fn count_failures_reach_the_threshold() {
        let mut counter = counter(1, 2);
        counter.count(Ok(()));
        assert_eq!(counter.count(Err("no".to_owned())), Some(failed(false)));
        assert_eq!(counter.count(Err("no".to_owned())), Some(failed(true)));
        assert_eq!(counter.count(Ok(())), Some(Outcome::Passed));
    }
}

//! Whether, and after which pause, a request is tried again.

mod asked;

use std::time::Duration;

use rand::Rng;

use crate::route::Retry;

pub use asked::Asked;

/// What a try ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The upstream answered.
    Status {
        /// HTTP status.
        status: u16,
        /// `grpc-status` when the answer carried one in its head.
        grpc_status: Option<u16>,
    },
    /// No connection could be opened.
    ConnectFailed,
    /// The connection closed or reset after the request was (partly) sent, before an answer began.
    Reset,
    /// The connection closed before any byte of the request was sent on it.
    ResetBeforeRequest,
    /// The upstream said that it did not look at the request (HTTP/2 `REFUSED_STREAM`).
    Refused,
    /// The try's own timeout ran out.
    PerTryTimeout,
    /// Decided here before anything was tried: a circuit breaker is open, or there is no endpoint.
    NotTried,
}

impl Outcome {
    /// Whether something of the request may have reached the upstream.
    pub fn reached_upstream(self) -> bool {
        match self {
            Self::ConnectFailed | Self::ResetBeforeRequest | Self::Refused | Self::NotTried => {
                false
            }
            Self::Status { .. } | Self::Reset | Self::PerTryTimeout => true,
        }
    }
}

/// A request as the decision sees it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attempt<'a> {
    /// Request method.
    pub method: &'a str,
    /// Tries made so far, at least 1.
    pub tries: u32,
    /// The request can be sent again: its body was kept, and no byte of an answer went downstream.
    pub repeatable: bool,
    /// The answer has one of [`Retry::response_headers`].
    pub retriable_header: bool,
    /// The answer says that a limit of requests was reached (`x-envoy-ratelimited`): only the
    /// condition of that name holds then.
    pub rate_limited: bool,
}

/// Whether another try is made, the budget and circuit breaker permitting.
///
/// Source: Envoy `x-envoy-retry-on` and `x-envoy-retry-grpc-on`. With [`Retry::guarded`] only
/// while nothing reached the upstream, or for a method that changes nothing. What was not tried is
/// not tried again: load that a circuit breaker keeps away must not come back as retries.
pub fn should_retry(outcome: Outcome, policy: &Retry, attempt: &Attempt<'_>) -> bool {
    if outcome == Outcome::NotTried || !attempt.repeatable || attempt.tries > policy.attempts {
        return false;
    }
    // Most answers are, and the conditions are texts.
    if is_fine(outcome, &policy.status_codes) && !attempt.rate_limited && !attempt.retriable_header
    {
        return false;
    }
    if policy.guarded && outcome.reached_upstream() && !is_safe(attempt.method) {
        return false;
    }
    if attempt.rate_limited {
        return policy.on.iter().any(|it| it == "envoy-ratelimited");
    }
    policy.on.iter().any(|condition| match condition.as_str() {
        "retriable-headers" => attempt.retriable_header,
        condition => condition_holds(condition, outcome, &policy.status_codes),
    })
}

/// Whether an answer is such that no condition on statuses holds.
fn is_fine(outcome: Outcome, codes: &[u16]) -> bool {
    match outcome {
        Outcome::Status {
            status,
            grpc_status: None | Some(0),
        } => status < 400 && !codes.contains(&status),
        _ => false,
    }
}

/// Methods that change nothing. Source: RFC 9110 section 9.2.1.
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// The names that [`Retry::on`] may hold.
pub const CONDITIONS: [&str; 15] = [
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "refused-stream",
    "retriable-4xx",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

fn condition_holds(condition: &str, outcome: Outcome, codes: &[u16]) -> bool {
    use Outcome::{ConnectFailed, PerTryTimeout, Refused, Reset, ResetBeforeRequest, Status};
    let no_answer = !matches!(outcome, Status { .. });
    let grpc = |wanted| matches!(outcome, Status { grpc_status: Some(code), .. } if code == wanted);
    match condition {
        "5xx" => {
            no_answer
                || matches!(
                    outcome,
                    Status {
                        status: 500..=599,
                        ..
                    }
                )
        }
        "gateway-error" => {
            no_answer
                || matches!(
                    outcome,
                    Status {
                        status: 502..=504,
                        ..
                    }
                )
        }
        "reset" => matches!(
            outcome,
            Reset | ResetBeforeRequest | ConnectFailed | Refused | PerTryTimeout
        ),
        "reset-before-request" => matches!(outcome, ResetBeforeRequest | ConnectFailed),
        "connect-failure" => outcome == ConnectFailed,
        "refused-stream" => outcome == Refused,
        "retriable-4xx" => matches!(outcome, Status { status: 409, .. }),
        "retriable-status-codes" => {
            matches!(outcome, Status { status, .. } if codes.contains(&status))
        }
        "cancelled" => grpc(1),
        "deadline-exceeded" => grpc(4),
        "internal" => grpc(13),
        "resource-exhausted" => grpc(8),
        "unavailable" => grpc(14),
        _ => false,
    }
}

/// The pause before try number `tries + 1`: drawn between nothing and the base interval, which
/// doubles with each try up to the longest.
///
/// Source: Envoy `JitteredExponentialBackOffStrategy`.
pub fn back_off(policy: &Retry, tries: u32, rng: &mut impl Rng) -> Duration {
    let most = if policy.max_interval.is_zero() {
        policy.base_interval.saturating_mul(10)
    } else {
        policy.max_interval
    };
    let factor = 2_u32.saturating_pow(tries.saturating_sub(1));
    let longest = policy.base_interval.saturating_mul(factor).min(most);
    let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rng.random_range(0..=micros))
}

/// Retries a cluster may make: a share of its requests and some more each second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// In thousandths of a retry.
    earned: u64,
    earned_until: Duration,
}

impl Budget {
    /// Retries earned by a hundred requests.
    pub const PERCENT_OF_REQUESTS: u64 = 20;
    /// Retries earned by a second.
    pub const PER_SECOND: u64 = 10;
    /// Seconds pass unused for at most this long.
    pub const WINDOW: Duration = Duration::from_secs(10);

    /// What 1,000 requests a second earn in the window, and the window itself.
    const MOST: u64 = 2_100_000;

    /// A budget with the first second's retries, at `now`.
    pub fn new(now: Duration) -> Self {
        Self {
            earned: Self::PER_SECOND * 1_000,
            earned_until: now,
        }
    }

    /// Counts a request.
    pub fn on_request(&mut self) {
        self.earned = (self.earned + Self::PERCENT_OF_REQUESTS * 10).min(Self::MOST);
    }

    /// Takes a retry, when there is one.
    #[must_use]
    pub fn withdraw(&mut self, now: Duration) -> bool {
        let elapsed = now.saturating_sub(self.earned_until).min(Self::WINDOW);
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(0);
        if millis > 0 {
            self.earned_until = now;
        }
        self.earned = (self.earned + millis * Self::PER_SECOND).min(Self::MOST);
        match self.earned.checked_sub(1_000) {
            Some(left) => {
                self.earned = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;

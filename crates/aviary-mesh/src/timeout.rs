//! How long a request may take, by its route and by what it asks for itself.

use std::time::Duration;

use crate::route::{Forward, Retry};

/// What a request asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Value of `x-envoy-upstream-rq-timeout-ms`.
    pub whole: Option<&'a str>,
    /// Value of `x-envoy-upstream-rq-per-try-timeout-ms`.
    pub per_try: Option<&'a str>,
    /// Value of `grpc-timeout`, when the request is one of gRPC.
    pub grpc: Option<&'a str>,
}

/// How long a request may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// From the end of the request to the end of the reply, over all tries.
    pub whole: Option<Duration>,
    /// For the head of the reply of each try.
    pub per_try: Option<Duration>,
    /// Between two pieces of the reply of a try.
    pub per_try_idle: Option<Duration>,
    /// From the head of the request to the end of the reply.
    pub stream: Option<Duration>,
    /// The request's own deadline, of gRPC, is `stream`: the endpoint is to be told.
    pub tells_grpc: bool,
}

impl Times {
    /// The times of a request on this route; `longest_stream` is that of its chain.
    ///
    /// A route with a longest duration of streams, or one that honours `grpc-timeout`, has no
    /// timeout beside it.
    ///
    /// Source: Envoy `FilterUtility::finalTimeout`,
    /// `ConnectionManagerImpl::ActiveStream::refreshDurationTimeout`.
    pub fn of(
        forward: &Forward,
        retry: Option<&Retry>,
        longest_stream: Option<Duration>,
        asked: &Asked<'_>,
    ) -> Self {
        let by_stream = forward.max_stream_duration.is_some() || forward.grpc_timeout_max.is_some();
        let whole = match asked.whole.and_then(millis) {
            Some(asked) => asked,
            None if by_stream => Duration::ZERO,
            None => forward.timeout.unwrap_or_default(),
        };
        let per_try = asked
            .per_try
            .and_then(millis)
            .or_else(|| retry.and_then(|retry| retry.per_try_timeout))
            .filter(|it| *it < whole || whole.is_zero());
        let grpc = asked
            .grpc
            .and_then(grpc_timeout)
            .zip(forward.grpc_timeout_max);
        let stream = match grpc {
            Some((asked, most)) if most.is_zero() => Some(asked),
            Some((asked, most)) => Some(asked.min(most)),
            None => forward
                .max_stream_duration
                .or(longest_stream)
                .and_then(some),
        };
        Self {
            whole: some(whole),
            per_try: per_try.and_then(some),
            per_try_idle: retry.and_then(|retry| retry.per_try_idle_timeout),
            stream,
            tells_grpc: grpc.is_some(),
        }
    }

    /// What a try is told of the time it has, when `elapsed` of the whole has passed; `None`
    /// without a limit.
    ///
    /// Source: Envoy `FilterUtility::setTimeoutHeaders`.
    pub fn expected(&self, elapsed: Duration) -> Option<Duration> {
        let left = self
            .whole
            .map(|whole| whole.saturating_sub(elapsed).max(Duration::from_millis(1)));
        match (self.per_try, left) {
            (Some(per_try), Some(left)) => Some(per_try.min(left)),
            (per_try, left) => per_try.or(left),
        }
    }
}

fn some(time: Duration) -> Option<Duration> {
    (!time.is_zero()).then_some(time)
}

fn millis(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(Duration::from_millis)
}

/// The time in a `grpc-timeout`.
///
/// Source: gRPC over HTTP/2, `Timeout`: up to eight digits and a unit.
pub fn grpc_timeout(text: &str) -> Option<Duration> {
    let unit = text.len().checked_sub(1)?;
    let (digits, unit) = (text.get(..unit)?, text.get(unit..)?);
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// A `grpc-timeout` of at least `time`, in the finest unit that holds it.
pub fn grpc_text(time: Duration) -> String {
    const MOST: u128 = 99_999_999;
    let millis = time.as_millis();
    match (millis, millis.div_ceil(1000)) {
        (..=MOST, _) => format!("{millis}m"),
        (_, seconds @ ..=MOST) => format!("{seconds}S"),
        (_, seconds) => format!("{}M", seconds.div_ceil(60).min(MOST)),
    }
}

#[cfg(test)]
mod tests;

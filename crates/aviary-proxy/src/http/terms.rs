//! What a client's connection may do, by its chain.

use std::time::Duration;

use aviary_http::parse::Limits;
use aviary_mesh::listener::{Codec, Http2, HttpChain};
use tokio::time::Instant;

/// A connection without a request is closed after this long.
const IDLE_TIMEOUT: Duration = Duration::from_hours(1);

/// A head that began must be complete after this long.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// HTTP/2 streams that one client may have open on a connection: inside the mesh, and at an edge.
const STREAM_LIMIT: u32 = 1000;
const EDGE_STREAM_LIMIT: u32 = 100;

/// What a client's connection may do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// It is closed after this long without a request.
    pub(crate) idle: Duration,
    /// A head that began must be complete after this long.
    pub(crate) head: Duration,
    /// What a head may be at most.
    pub(crate) limits: Limits,
    /// No more requests are taken from then on.
    pub(crate) end: Option<Instant>,
    /// Requests that it may carry.
    pub(crate) requests: Option<u32>,
    /// Streams at a time, of HTTP/2.
    pub(crate) streams: u32,
    /// Windows of HTTP/2.
    pub(crate) http2: Http2,
    /// What may be spoken.
    pub(crate) codec: Codec,
}

impl Default for Terms {
    fn default() -> Self {
        Self::of(&HttpChain::default())
    }
}

impl Terms {
    /// The terms of a connection that begins now.
    pub(crate) fn of(chain: &HttpChain) -> Self {
        let streams = if chain.use_remote_address {
            EDGE_STREAM_LIMIT
        } else {
            STREAM_LIMIT
        };
        let own = Limits::default();
        let kib = chain.max_head_kib.and_then(|kib| usize::try_from(kib).ok());
        let head_bytes = kib.map_or(own.head_bytes, |kib| kib << 10);
        let fields = chain.max_fields.and_then(|it| usize::try_from(it).ok());
        Self {
            idle: match chain.idle_timeout {
                // Zero never ends it.
                Some(Duration::ZERO) => Duration::MAX / 4,
                idle => idle.unwrap_or(IDLE_TIMEOUT),
            },
            head: chain.request_headers_timeout.unwrap_or(HEAD_TIMEOUT),
            limits: Limits {
                head_bytes,
                fields: fields.unwrap_or(own.fields),
                target_bytes: own.target_bytes.min(head_bytes),
            },
            end: chain
                .max_connection_duration
                .map(|longest| Instant::now() + longest),
            requests: chain.max_requests_per_connection,
            streams: chain.http2.max_concurrent_streams.unwrap_or(streams),
            http2: chain.http2,
            codec: chain.codec,
        }
    }

    /// Whether a connection that carried `requests` takes no more after this one.
    pub(crate) fn is_last(&self, requests: u32) -> bool {
        self.requests.is_some_and(|most| requests >= most)
            || self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Until when a request is waited for from now on.
    pub(crate) fn wait(&self) -> Instant {
        self.wait_from(Instant::now())
    }

    /// The same, where now is known.
    pub(crate) fn wait_from(&self, now: Instant) -> Instant {
        let idle = now.checked_add(self.idle);
        let idle = idle.unwrap_or_else(|| now + Duration::from_hours(24 * 365));
        self.end.map_or(idle, |end| end.min(idle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_of_a_chain_without_settings_are_the_proxys_own() {
        let inside = Terms::default();
        assert_eq!((inside.streams, inside.limits), (1000, Limits::default()));
        let edge = Terms::of(&HttpChain {
            use_remote_address: true,
            ..HttpChain::default()
        });
        assert_eq!((edge.streams, edge.idle), (100, IDLE_TIMEOUT));
    }

    #[test]
    fn terms_say_which_request_is_the_last() {
        let terms = Terms::of(&HttpChain {
            max_requests_per_connection: Some(2),
            ..HttpChain::default()
        });
        assert!(!terms.is_last(1));
        assert!(terms.is_last(2));
        let over = Terms::of(&HttpChain {
            max_connection_duration: Some(Duration::ZERO),
            ..HttpChain::default()
        });
        assert!(over.is_last(0));
    }

    #[test]
    fn terms_with_an_idle_timeout_of_zero_wait_for_ever() {
        let terms = Terms::of(&HttpChain {
            idle_timeout: Some(Duration::ZERO),
            ..HttpChain::default()
        });
        assert!(terms.wait() > Instant::now() + Duration::from_hours(24));
    }
}

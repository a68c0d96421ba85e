//! A guard against floods of HTTP/2 frames, which looks at their heads.
//!
//! The connection bounds windows, streams and decoded heads. What it answers or drops for free is
//! counted here, where each kind has a [`Rate`]. Honest clients do all of it too, so:
//!
//! - Resets have a burst of 100 and 50 a second: cancels at that pace pass for ever, and a rapid
//!   reset (CVE-2023-44487) ends after about a hundred. Resets that the guarded side sends count
//!   with them when the peer provoked them (CVE-2025-8671), which their error code tells; cancels
//!   and failures that come from further on do not.
//! - A PING is free when the guarded side sent DATA or HEADERS since: gRPC measures bandwidth that
//!   way (gRFC A8 forgives pings by the same rule).
//! - Acknowledgements are not counted: they answer what the guarded side sent.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use crate::http2::Reason;
use crate::http2::frame::{Head, flag, kind};

/// How often something may be done: at most `burst` at once, and `per_10s` in the long run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Most at once.
    pub burst: u32,
    /// Given back in ten seconds.
    pub per_10s: u32,
}

impl Rate {
    const fn even(number: u32) -> Self {
        Self {
            burst: number,
            per_10s: number,
        }
    }
}

/// What a peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloodLimits {
    /// `RST_STREAM`, by the peer or because of it; `None` does not count them.
    pub resets: Option<Rate>,
    /// `PING` without acknowledgement.
    pub pings: Rate,
    /// `SETTINGS` without acknowledgement.
    pub settings: Rate,
    /// `DATA` without a byte that does not end the stream.
    pub empty_data: Rate,
    /// `PRIORITY`, and frames of unknown types.
    pub priority: Rate,
    /// `CONTINUATION` frames of one head.
    pub continuations: u32,
    /// Bytes of one head before decompression.
    pub head_bytes: u32,
}

impl FloodLimits {
    /// For a connection that a client opened.
    pub const fn of_client() -> Self {
        Self {
            resets: Some(Rate {
                burst: 100,
                per_10s: 500,
            }),
            pings: Rate::even(100),
            settings: Rate::even(50),
            empty_data: Rate::even(100),
            priority: Rate::even(100),
            continuations: 16,
            head_bytes: 64 << 10,
        }
    }

    /// For a connection to an endpoint. Its resets are answers to requests, and not counted.
    pub const fn of_endpoint() -> Self {
        Self {
            resets: None,
            ..Self::of_client()
        }
    }
}

/// What there was too much of; the connection ends with GOAWAY `ENHANCE_YOUR_CALM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flood {
    /// `RST_STREAM`, sent or provoked.
    Resets,
    /// `PING`
    Pings,
    /// `SETTINGS`
    Settings,
    /// `DATA` without data.
    EmptyData,
    /// `PRIORITY`, or frames of unknown types.
    Priority,
    /// `CONTINUATION` frames in one head.
    Continuations,
    /// Bytes in one head.
    HeadBytes,
}

impl Flood {
    /// For the access log and the counter.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Resets => "http2.too_many_resets",
            Self::Pings => "http2.too_many_pings",
            Self::Settings => "http2.too_many_settings",
            Self::EmptyData => "http2.too_many_empty_data",
            Self::Priority => "http2.too_many_priority",
            Self::Continuations => "http2.too_many_continuations",
            Self::HeadBytes => "http2.head_too_large",
        }
    }
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail())
    }
}

impl std::error::Error for Flood {}

/// Counts what one peer of one connection does.
#[derive(Debug, Clone)]
pub struct Guard {
    limits: FloodLimits,
    resets: Bucket,
    pings: Bucket,
    settings: Bucket,
    empty_data: Bucket,
    priority: Bucket,
    /// `CONTINUATION` frames, and bytes, of the head under way.
    continuations: u32,
    head_bytes: u32,
    /// Whether DATA or HEADERS were sent since the last PING.
    gave: bool,
}

impl Guard {
    /// A guard at the start of a connection.
    pub fn new(limits: &FloodLimits) -> Self {
        Self {
            limits: *limits,
            resets: Bucket::default(),
            pings: Bucket::default(),
            settings: Bucket::default(),
            empty_data: Bucket::default(),
            priority: Bucket::default(),
            continuations: 0,
            head_bytes: 0,
            gave: false,
        }
    }

    /// DATA or HEADERS are sent.
    pub fn sent_message(&mut self) {
        self.gave = true;
    }

    /// A stream is reset; `now` as with [`Guard::see`].
    ///
    /// # Errors
    /// When the peer provoked too many resets.
    pub fn sent_reset(&mut self, reason: Reason, now: Duration) -> Result<(), Flood> {
        if reason.is_provoked() {
            self.take_reset(now)
        } else {
            Ok(())
        }
    }

    /// Looks at a frame that the peer sent; `now` is the time since any fixed moment.
    ///
    /// # Errors
    /// When there is too much of something. The frame must not be acted upon.
    pub fn see(&mut self, frame: Head, now: Duration) -> Result<(), Flood> {
        let limits = self.limits;
        let take = |bucket: &mut Bucket, rate: Rate, flood: Flood| {
            bucket.take(rate, now).then_some(()).ok_or(flood)
        };
        let acknowledges = frame.has(flag::ACK);
        match frame.kind {
            kind::DATA if frame.length == 0 && !frame.has(flag::END_STREAM) => {
                take(&mut self.empty_data, limits.empty_data, Flood::EmptyData)
            }
            kind::HEADERS | kind::PUSH_PROMISE => {
                self.continuations = 0;
                self.head_bytes = 0;
                self.add_head_bytes(frame.length)
            }
            kind::CONTINUATION => {
                self.continuations += 1;
                if self.continuations > limits.continuations {
                    return Err(Flood::Continuations);
                }
                self.add_head_bytes(frame.length)
            }
            kind::RST_STREAM => self.take_reset(now),
            kind::SETTINGS if !acknowledges => {
                take(&mut self.settings, limits.settings, Flood::Settings)
            }
            kind::PING if !acknowledges => {
                if std::mem::take(&mut self.gave) {
                    return Ok(());
                }
                take(&mut self.pings, limits.pings, Flood::Pings)
            }
            kind::DATA | kind::SETTINGS | kind::PING | kind::GOAWAY | kind::WINDOW_UPDATE => Ok(()),
            _ => take(&mut self.priority, limits.priority, Flood::Priority),
        }
    }

    fn add_head_bytes(&mut self, length: u32) -> Result<(), Flood> {
        self.head_bytes = self.head_bytes.saturating_add(length);
        if self.head_bytes > self.limits.head_bytes {
            return Err(Flood::HeadBytes);
        }
        Ok(())
    }

    fn take_reset(&mut self, now: Duration) -> Result<(), Flood> {
        match self.limits.resets {
            Some(rate) if !self.resets.take(rate, now) => Err(Flood::Resets),
            _ => Ok(()),
        }
    }
}

/// A token bucket: full at first.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// Tokens that are gone.
    used: u32,
    /// Until when tokens were given back.
    at: Duration,
}

impl Bucket {
    /// Takes a token; `false` when there is none.
    fn take(&mut self, rate: Rate, now: Duration) -> bool {
        let elapsed = now.saturating_sub(self.at).as_millis();
        let back = elapsed * u128::from(rate.per_10s) / 10_000;
        if back >= u128::from(self.used) {
            self.used = 0;
            self.at = now;
        } else if back > 0 {
            let taken_ms = back * 10_000 / u128::from(rate.per_10s);
            self.used -= u32::try_from(back).unwrap_or(self.used);
            self.at += Duration::from_millis(u64::try_from(taken_ms).unwrap_or(u64::MAX));
        }
        if self.used >= rate.burst {
            return false;
        }
        self.used += 1;
        true
    }
}

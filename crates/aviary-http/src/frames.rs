//! A guard against floods of HTTP/2 frames, which looks at frame heads as they pass by.
//!
//! The codec bounds windows, streams and decoded heads. What it answers or drops for free is
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
    /// Whether the peer begins with the client's preface.
    pub preface: bool,
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
            preface: true,
        }
    }

    /// For a connection to an endpoint. Its resets are answers to requests, and not counted.
    pub const fn of_endpoint() -> Self {
        Self {
            resets: None,
            preface: false,
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
    received: Frames,
    sent: Frames,
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
            received: Frames::after(if limits.preface { PREFACE } else { 0 }),
            sent: Frames::after(if limits.preface { 0 } else { PREFACE }),
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

    /// Looks at bytes that the peer sent; `now` is the time since any fixed moment.
    ///
    /// # Errors
    /// When there is too much of something. The bytes must not reach the codec.
    pub fn see(&mut self, bytes: &[u8], now: Duration) -> Result<(), Flood> {
        let mut rest = bytes;
        while let Some(frame) = self.received.next(&mut rest) {
            self.judge(frame, now)?;
        }
        Ok(())
    }

    /// Looks at bytes that are sent to the peer.
    ///
    /// # Errors
    /// When the peer provoked too many resets.
    pub fn see_sent(&mut self, bytes: &[u8], now: Duration) -> Result<(), Flood> {
        let mut rest = bytes;
        while let Some(frame) = self.sent.next(&mut rest) {
            match frame.kind {
                DATA | HEADERS => self.gave = true,
                RST_STREAM if is_provoked(frame.code) => {
                    self.take_reset(now)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn judge(&mut self, frame: Frame, now: Duration) -> Result<(), Flood> {
        let limits = self.limits;
        let take = |bucket: &mut Bucket, rate: Rate, flood: Flood| {
            bucket.take(rate, now).then_some(()).ok_or(flood)
        };
        let acknowledges = frame.flags & ACK != 0;
        match frame.kind {
            DATA if frame.length == 0 && frame.flags & END_STREAM == 0 => {
                take(&mut self.empty_data, limits.empty_data, Flood::EmptyData)
            }
            HEADERS | PUSH_PROMISE => {
                self.continuations = 0;
                self.head_bytes = 0;
                self.add_head_bytes(frame.length)
            }
            CONTINUATION => {
                self.continuations += 1;
                if self.continuations > limits.continuations {
                    return Err(Flood::Continuations);
                }
                self.add_head_bytes(frame.length)
            }
            RST_STREAM => self.take_reset(now),
            SETTINGS if !acknowledges => take(&mut self.settings, limits.settings, Flood::Settings),
            PING if !acknowledges => {
                if std::mem::take(&mut self.gave) {
                    return Ok(());
                }
                take(&mut self.pings, limits.pings, Flood::Pings)
            }
            DATA | SETTINGS | PING | GOAWAY | WINDOW_UPDATE => Ok(()),
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

/// Types of frames.
///
/// Source: RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Flags of frames.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
/// Bytes of a client's preface, and of a frame's head.
const PREFACE: u32 = 24;
const HEAD: usize = 9;

/// Whether an error code says that the peer did wrong: `PROTOCOL_ERROR`, `FLOW_CONTROL_ERROR`,
/// `STREAM_CLOSED`, `FRAME_SIZE_ERROR`, `REFUSED_STREAM`, `COMPRESSION_ERROR` and
/// `ENHANCE_YOUR_CALM`. Others (`NO_ERROR`, `INTERNAL_ERROR`, `CANCEL`) tell of an endpoint.
///
/// Source: RFC 9113 §7.
fn is_provoked(code: u32) -> bool {
    matches!(code, 1 | 3 | 5 | 6 | 7 | 9 | 11)
}

/// The head of a frame, with the error code of a reset.
#[derive(Debug, Clone, Copy)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    code: u32,
}

/// Finds frames in bytes that come piece by piece.
#[derive(Debug, Clone)]
struct Frames {
    /// The head, and behind it a reset's error code, as far as they came.
    held: [u8; HEAD + 4],
    have: usize,
    /// Bytes until the next head.
    skip: u32,
}

impl Frames {
    fn after(skip: u32) -> Self {
        Self {
            held: [0; HEAD + 4],
            have: 0,
            skip,
        }
    }

    /// The next frame whose head is complete; takes what it read away from `rest`.
    fn next(&mut self, rest: &mut &[u8]) -> Option<Frame> {
        let skipped = rest.len().min(self.skip as usize);
        *rest = &rest[skipped..];
        self.skip -= u32::try_from(skipped).unwrap_or(self.skip);
        if self.skip > 0 {
            return None;
        }
        self.fill(rest, HEAD)?;
        let [high, middle, low, kind, flags, ..] = self.held;
        let length = u32::from_be_bytes([0, high, middle, low]);
        // Only a reset's body matters; one of another length is an error for the codec.
        let body = if kind == RST_STREAM && length == 4 {
            4
        } else {
            0
        };
        self.fill(rest, HEAD + body)?;
        let [.., one, two, three, four] = self.held;
        self.have = 0;
        self.skip = length - u32::try_from(body).unwrap_or_default();
        Some(Frame {
            length,
            kind,
            flags,
            code: u32::from_be_bytes([one, two, three, four]),
        })
    }

    /// Takes bytes until there are `wanted`; `None` when there are too few.
    fn fill(&mut self, rest: &mut &[u8], wanted: usize) -> Option<()> {
        let take = wanted.saturating_sub(self.have).min(rest.len());
        let (taken, left) = rest.split_at(take);
        self.held[self.have..self.have + take].copy_from_slice(taken);
        self.have += take;
        *rest = left;
        (self.have >= wanted).then_some(())
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

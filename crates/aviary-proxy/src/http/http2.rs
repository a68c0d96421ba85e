//! HTTP/2 on the wire: many messages at a time on a connection.
//!
//! What the protocol is, `aviary_http::http2` knows. One task owns a connection's socket: it reads,
//! wakes the tasks whose streams moved on, and writes what all of them had to say at once.

pub(crate) mod client;
pub(crate) mod server;

mod core;
mod stream;
mod wire;
#[cfg(test)]
mod tests;

use std::time::Duration;

/// Windows in bytes: per stream, and for the connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes that a connection takes in before its neighbours have their turn.
const TURN: usize = 16 << 10;

/// The last word of a connection must go out in this time.
const FAREWELL: Duration = Duration::from_secs(1);

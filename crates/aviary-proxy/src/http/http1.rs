//! HTTP/1.1 on the wire: one message after the other on a connection.
//!
//! A head is read into a buffer, parsed where it lies, and goes on as the bytes it came in; a body
//! passes through the same buffer. A connection holds no memory while nothing is on its way.

pub(crate) mod client;
pub(crate) mod server;

mod receive;
mod send;
mod wire;

use aviary_http::parse::Limits;

/// Limits of heads, also those of replies.
pub(super) const LIMITS: Limits = Limits {
    head_bytes: 64 << 10,
    fields: 128,
    target_bytes: 16 << 10,
};

/// Interim replies to one request; an endpoint that gives more is at fault.
pub(super) const INTERIM_LIMIT: u8 = 32;

//! HTTP/2 as a state machine: bytes in, messages and bytes out.
//!
//! [`Connection`] is either side of a connection. It holds all rules of the protocol (states of
//! streams, windows, limits, floods) and no socket: whoever owns one gives it what was read, writes
//! what it has to say, and wakes the tasks whose streams moved on.
//!
//! Source: RFC 9113.
//!
//! Read first: [`Connection`].

pub mod frame;

mod connection;
mod memory;
mod reason;
mod request;
mod response;
mod settings;
mod stream;
mod trailers;
#[cfg(test)]
mod tests;

pub use connection::{Accepted, Body, Config, Connection, End, Failure, Role};
pub use memory::Memory;
pub use reason::Reason;

/// What a client begins with.
///
/// Source: RFC 9113 §3.4.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Window of a connection, and of a stream, before anybody says otherwise, in bytes.
pub(crate) const DEFAULT_WINDOW: u32 = 65_535;

/// Largest window, in bytes.
pub(crate) const MAX_WINDOW: u32 = 0x7fff_ffff;

//! HTTP/2 on the wire, by the `h2` crate: everything that knows it is in here, so that another
//! codec can take its place.

pub(crate) mod client;
pub(crate) mod guarded;
pub(crate) mod server;

mod receive;
mod send;

/// Windows in bytes: per stream, and for the connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes of one stream that wait to be written.
const SEND_BUFFER: usize = 64 << 10;

/// Longest list of header fields, decoded, in bytes.
const HEADER_LIST: u32 = 64 << 10;

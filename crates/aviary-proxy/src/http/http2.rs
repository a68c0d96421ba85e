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

/// Longest list of header fields of a reply, decoded, in bytes.
const HEADER_LIST: u32 = 64 << 10;

/// The same for requests. What is over `http1::LIMITS` is refused by ourselves, because the codec's
/// answer is not counted; and the codec takes 16 CONTINUATION frames only if a head may be so large.
const CODEC_HEADER_LIST: u32 = 208 << 10;

/// Bytes that a connection takes in before its neighbours have their turn.
const TURN: usize = 16 << 10;

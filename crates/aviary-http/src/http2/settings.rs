//! What the peer can do.

use super::frame::PAYLOAD_BYTES;
use super::{DEFAULT_WINDOW, MAX_WINDOW, Reason};
use crate::hpack::TABLE_BYTES;

/// Numbers of settings.
///
/// Source: RFC 9113 §6.5.2.
pub(super) mod name {
    pub(in crate::http2) const HEADER_TABLE_SIZE: u16 = 1;
    pub(in crate::http2) const ENABLE_PUSH: u16 = 2;
    pub(in crate::http2) const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub(in crate::http2) const INITIAL_WINDOW_SIZE: u16 = 4;
    pub(in crate::http2) const MAX_FRAME_SIZE: u16 = 5;
    pub(in crate::http2) const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// Largest payload that a side may say it takes.
const MAX_PAYLOAD: u32 = 0x00ff_ffff;

/// Streams that are opened before the peer said how many it takes.
///
/// Source: RFC 9113 §6.5.2 wants no less than 100 of a server.
const FIRST_STREAMS: u32 = 100;

/// What the peer can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settings {
    /// Bytes of the table of its decoder.
    pub(super) table_bytes: usize,
    /// Streams of ours at a time.
    pub(super) streams: u32,
    /// Window of a new stream.
    pub(super) window: u32,
    /// Payload of a frame.
    pub(super) payload: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            table_bytes: TABLE_BYTES,
            streams: FIRST_STREAMS,
            window: DEFAULT_WINDOW,
            payload: PAYLOAD_BYTES,
        }
    }
}

impl Settings {
    /// Takes over what a payload of SETTINGS says; `from_server` when a server sent it.
    ///
    /// # Errors
    /// Why the connection ends.
    pub(super) fn read(&mut self, payload: &[u8], from_server: bool) -> Result<(), Reason> {
        if !payload.len().is_multiple_of(6) {
            return Err(Reason::FRAME_SIZE_ERROR);
        }
        for entry in payload.chunks_exact(6) {
            let [high, low, a, b, c, d] = *entry.first_chunk().ok_or(Reason::FRAME_SIZE_ERROR)?;
            let value = u32::from_be_bytes([a, b, c, d]);
            match u16::from_be_bytes([high, low]) {
                name::HEADER_TABLE_SIZE => {
                    self.table_bytes = usize::try_from(value).unwrap_or(TABLE_BYTES);
                }
                name::ENABLE_PUSH if value > u32::from(!from_server) => {
                    return Err(Reason::PROTOCOL_ERROR);
                }
                name::MAX_CONCURRENT_STREAMS => self.streams = value,
                name::INITIAL_WINDOW_SIZE if value > MAX_WINDOW => {
                    return Err(Reason::FLOW_CONTROL_ERROR);
                }
                name::INITIAL_WINDOW_SIZE => self.window = value,
                name::MAX_FRAME_SIZE => {
                    if !(PAYLOAD_BYTES..=MAX_PAYLOAD).contains(&value) {
                        return Err(Reason::PROTOCOL_ERROR);
                    }
                    self.payload = value;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

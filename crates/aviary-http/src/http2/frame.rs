//! Frames: their heads, and the small ones as a whole.

use super::Reason;

/// Types of frames.
///
/// Source: RFC 9113 §6.
pub mod kind {
    /// Bytes of a body.
    pub const DATA: u8 = 0;
    /// A head, or its first part.
    pub const HEADERS: u8 = 1;
    /// Nothing that counts any more.
    pub const PRIORITY: u8 = 2;
    /// The end of a stream before its time.
    pub const RST_STREAM: u8 = 3;
    /// What a side can do.
    pub const SETTINGS: u8 = 4;
    /// A request that a server makes up.
    pub const PUSH_PROMISE: u8 = 5;
    /// Asks for an answer.
    pub const PING: u8 = 6;
    /// The end of a connection.
    pub const GOAWAY: u8 = 7;
    /// Room for more bytes.
    pub const WINDOW_UPDATE: u8 = 8;
    /// The next part of a head.
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    /// The message is over; of DATA and HEADERS.
    pub const END_STREAM: u8 = 1;
    /// An answer; of SETTINGS and PING.
    pub const ACK: u8 = 1;
    /// The head is whole.
    pub const END_HEADERS: u8 = 4;
    /// Bytes without meaning stand around the payload.
    pub const PADDED: u8 = 8;
    /// Priority stands before the head.
    pub const PRIORITY: u8 = 0x20;
}

/// Bytes of a frame's head.
pub const HEAD_BYTES: usize = 9;

/// Most bytes of a frame's payload, unless a side says that it takes more; ours does not.
///
/// Source: RFC 9113 §4.2.
pub const PAYLOAD_BYTES: u32 = 16_384;

/// What every frame begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Bytes that follow it.
    pub length: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// Of [`flag`].
    pub flags: u8,
    /// The stream; 0 is the connection.
    pub stream: u32,
}

impl Head {
    /// The head at the start of `bytes`; `None` when it is not whole.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [high, middle, low, kind, flags, a, b, c, d] = *bytes.first_chunk::<HEAD_BYTES>()?;
        Some(Self {
            length: u32::from_be_bytes([0, high, middle, low]),
            kind,
            flags,
            stream: u32::from_be_bytes([a & 0x7f, b, c, d]),
        })
    }

    /// Its bytes.
    pub fn bytes(self) -> [u8; HEAD_BYTES] {
        let [_, high, middle, low] = self.length.to_be_bytes();
        let [a, b, c, d] = self.stream.to_be_bytes();
        [high, middle, low, self.kind, self.flags, a, b, c, d]
    }

    /// Whether it has a flag.
    pub fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a frame whose payload is short.
fn write(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let head = Head {
        length: u32::try_from(payload.len()).unwrap_or_default(),
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
}

pub(super) fn write_reset(stream: u32, reason: Reason, out: &mut Vec<u8>) {
    write(kind::RST_STREAM, 0, stream, &reason.0.to_be_bytes(), out);
}

pub(super) fn write_window_update(stream: u32, count: u32, out: &mut Vec<u8>) {
    write(kind::WINDOW_UPDATE, 0, stream, &count.to_be_bytes(), out);
}

pub(super) fn write_ping(flags: u8, payload: &[u8], out: &mut Vec<u8>) {
    write(kind::PING, flags, 0, payload, out);
}

pub(super) fn write_settings_ack(out: &mut Vec<u8>) {
    write(kind::SETTINGS, flag::ACK, 0, &[], out);
}

pub(super) fn write_go_away(last: u32, reason: Reason, out: &mut Vec<u8>) {
    let mut payload = [0; 8];
    payload[..4].copy_from_slice(&last.to_be_bytes());
    payload[4..].copy_from_slice(&reason.0.to_be_bytes());
    write(kind::GOAWAY, 0, 0, &payload, out);
}

/// Appends SETTINGS with these entries.
pub(super) fn write_settings(entries: &[(u16, u32)], out: &mut Vec<u8>) {
    let head = Head {
        length: u32::try_from(entries.len() * 6).unwrap_or_default(),
        kind: kind::SETTINGS,
        flags: 0,
        stream: 0,
    };
    out.extend_from_slice(&head.bytes());
    for (name, value) in entries {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// Takes the padding off a payload; `None` when there is more of it than payload.
pub(super) fn without_padding(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(flag::PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

/// What a field counts beyond its bytes in the size of a list.
///
/// Source: RFC 9113 §6.5.2.
pub(super) const FIELD_OVERHEAD: usize = 32;

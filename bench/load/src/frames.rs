//! HTTP/2 frames, as much as fixed requests and fixed answers need.
//!
//! Source: RFC 9113 §4.1, §6.

/// What a client sends first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of a frame's head.
pub(crate) const HEAD: usize = 9;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;

/// What each side may send before it is told more, connection-wide, at first.
pub(crate) const FIRST_WINDOW: i64 = 65_535;
/// How much the connection's window grows at a time.
const WINDOW_STEP: u32 = 1 << 20;

/// One whole frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    payload: &'a [u8],
    /// Bytes with the head.
    pub(crate) len: usize,
}

impl<'a> Frame<'a> {
    /// The frame at the start of `input`, `None` while it is not whole.
    pub(crate) fn parse(input: &'a [u8]) -> Option<Self> {
        let (head, rest) = input.split_first_chunk::<HEAD>()?;
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *head;
        let size = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Self {
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
            payload: rest.get(..size)?,
            len: HEAD + size,
        })
    }

    /// Whether a flag is set.
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// What flow control counts.
    pub(crate) fn charged(&self) -> usize {
        self.payload.len()
    }

    /// The payload without padding and priority.
    pub(crate) fn content(&self) -> &'a [u8] {
        let mut content = self.payload;
        let mut padding = 0;
        if self.has(PADDED) && matches!(self.kind, DATA | HEADERS) {
            let Some((&length, rest)) = content.split_first() else {
                return &[];
            };
            (padding, content) = (usize::from(length), rest);
        }
        if self.has(PRIORITY) && self.kind == HEADERS {
            content = content.get(5..).unwrap_or_default();
        }
        let end = content.len().saturating_sub(padding);
        content.get(..end).unwrap_or_default()
    }

    /// The number in a `WINDOW_UPDATE`.
    pub(crate) fn increment(&self) -> i64 {
        let bytes = self.payload.first_chunk::<4>().copied();
        i64::from(u32::from_be_bytes(bytes.unwrap_or_default()) & 0x7fff_ffff)
    }
}

/// Writes one frame.
pub(crate) fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let size = u32::try_from(payload.len())
        .unwrap_or_default()
        .to_be_bytes();
    let [_, a, b, c] = size;
    out.extend_from_slice(&[a, b, c, kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Settings of a peer that can take much: 1,000 streams, 1 MiB for each, 16 MiB for all.
pub(crate) fn write_settings(out: &mut Vec<u8>) {
    // MAX_CONCURRENT_STREAMS 1000, INITIAL_WINDOW_SIZE 1 MiB.
    let settings = [0, 3, 0, 0, 3, 232, 0, 4, 0, 16, 0, 0];
    write(out, SETTINGS, 0, 0, &settings);
    write(out, WINDOW_UPDATE, 0, 0, &(16 * WINDOW_STEP).to_be_bytes());
}

/// Answers what a connection must answer, whatever it is for; `received` counts DATA since the last update.
pub(crate) fn write_duties(out: &mut Vec<u8>, frame: &Frame<'_>, received: &mut u32) {
    match frame.kind {
        SETTINGS if !frame.has(ACK) => write(out, SETTINGS, ACK, 0, &[]),
        PING if !frame.has(ACK) => write(out, PING, ACK, 0, frame.content()),
        DATA => {
            *received += u32::try_from(frame.charged()).unwrap_or_default();
            if *received >= WINDOW_STEP {
                write(out, WINDOW_UPDATE, 0, 0, &received.to_be_bytes());
                *received = 0;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{DATA, END_STREAM, Frame, HEADERS, PADDED, PRIORITY, write};

    #[test]
    fn frame_written_is_parsed_back_and_half_of_it_is_none() {
        let mut out = Vec::new();
        write(&mut out, DATA, END_STREAM, 5, b"abc");
        assert!(Frame::parse(&out[..11]).is_none());
        let frame = Frame::parse(&out).unwrap();
        assert_eq!((frame.kind, frame.stream, frame.len), (DATA, 5, 12));
        assert!(frame.has(END_STREAM));
        assert_eq!(frame.content(), b"abc");
    }

    #[test]
    fn frame_with_padding_and_priority_gives_its_content_only() {
        let mut out = Vec::new();
        let payload = [&[2, 0, 0, 0, 0, 16][..], b"\x88", &[0, 0]].concat();
        write(&mut out, HEADERS, PADDED | PRIORITY, 1, &payload);
        let frame = Frame::parse(&out).unwrap();
        assert_eq!(frame.content(), b"\x88");
        assert_eq!(frame.charged(), 9);
    }
}

//! Small gRPC-like calls over HTTP/2; header blocks are never decoded.

use crate::frames::{
    self, DATA, END_HEADERS, END_STREAM, FIRST_WINDOW, Frame, GOAWAY, HEADERS, PREFACE,
    WINDOW_UPDATE,
};

/// `:status 200` from the static table, `content-type` literally and not indexed.
const HEAD: &[u8] = b"\x88\x00\x0ccontent-type\x10application/grpc";
/// `grpc-status: 0`, not indexed.
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";
/// A message of 100 bytes with its head: one field of bytes that nobody knows, so that every call has
/// a valid answer, an export of spans too.
const MESSAGE: [u8; 105] = {
    let mut message = [b'g'; 105];
    // Protocol buffers: number 15, type LEN, 98 bytes.
    let head = [0, 0, 0, 0, 100, 15 << 3 | 2, 98];
    let mut at = 0;
    while at < head.len() {
        message[at] = head[at];
        at += 1;
    }
    message
};

/// The server's side of one connection.
#[derive(Debug)]
pub(super) struct Server {
    greeted: bool,
    /// What may still be sent on the connection.
    window: i64,
    /// Calls that wait for the window.
    waiting: Vec<u32>,
    /// DATA since the last window update.
    received: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            greeted: false,
            window: FIRST_WINDOW,
            waiting: Vec::new(),
            received: 0,
        }
    }
}

impl Server {
    /// Answers the whole calls in `input`; gives the bytes that are done with, `None` to end the connection.
    pub(super) fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<usize> {
        let mut consumed = 0;
        if !self.greeted {
            let Some(start) = input.get(..PREFACE.len()) else {
                return Some(0);
            };
            if start != PREFACE {
                return None;
            }
            consumed = PREFACE.len();
            self.greeted = true;
            frames::write_settings(out);
        }
        while let Some(frame) = Frame::parse(input.get(consumed..).unwrap_or_default()) {
            consumed += frame.len;
            frames::write_duties(out, &frame, &mut self.received);
            match frame.kind {
                HEADERS | DATA if frame.has(END_STREAM) => self.answer(frame.stream, out),
                WINDOW_UPDATE if frame.stream == 0 => {
                    self.window += frame.increment();
                    for stream in std::mem::take(&mut self.waiting) {
                        self.answer(stream, out);
                    }
                }
                GOAWAY => return None,
                _ => {}
            }
        }
        Some(consumed)
    }

    fn answer(&mut self, stream: u32, out: &mut Vec<u8>) {
        let size = i64::try_from(MESSAGE.len()).unwrap_or(i64::MAX);
        if self.window < size {
            self.waiting.push(stream);
            return;
        }
        self.window -= size;
        frames::write(out, HEADERS, END_HEADERS, stream, HEAD);
        frames::write(out, DATA, 0, stream, &MESSAGE);
        frames::write(out, HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS);
    }
}

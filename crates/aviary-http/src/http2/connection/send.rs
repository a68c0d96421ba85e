//! Messages as they go out.

use super::{Connection, Failure};
use crate::fields::{Fields, offset};
use crate::hpack::Encoder;
use crate::http2::frame::{HEAD_BYTES, Head, PAYLOAD_BYTES, flag, kind};
use crate::http2::stream::Stream;
use crate::http2::{request, response, trailers};
use crate::message::Framing;
use crate::request::{Method, RequestHead};
use crate::response::ResponseHead;

/// What one turn to send is good for, in bytes.
const TURN: usize = PAYLOAD_BYTES as usize;

impl Connection {
    /// Opens a stream with a request; `is_all` when it has no body. `None` when the peer takes no
    /// more streams for now.
    ///
    /// # Errors
    /// When it takes none any more.
    pub fn open(&mut self, head: &RequestHead, is_all: bool) -> Result<Option<usize>, Failure> {
        if let Some(end) = self.end {
            return Err(Failure::Ended(end));
        }
        if !self.is_usable() {
            return Err(Failure::Refused);
        }
        if self.streams.open() >= self.stream_limit() {
            return Ok(None);
        }
        let id = self.next_id;
        self.next_id += 2;
        let key = self.streams.insert(Stream {
            id,
            send_ended: is_all,
            is_head: head.known_method() == Method::Head,
            recv_window: i64::from(self.stream_window),
            send_window: i64::from(self.peer.window),
            ..Stream::default()
        });
        self.write_head(id, is_all, |encoder, out| {
            request::write(head, encoder, out);
        });
        Ok(Some(key))
    }

    /// Answers a request; `is_all` when the reply has no body.
    ///
    /// # Errors
    /// When nobody waits for it any more.
    pub fn respond(
        &mut self,
        key: usize,
        head: &ResponseHead,
        is_all: bool,
    ) -> Result<(), Failure> {
        let stream = self.sender(key)?;
        let id = stream.id;
        stream.send_ended = is_all;
        self.write_head(id, is_all, |encoder, out| {
            response::write(head, encoder, out);
        });
        self.settle(key);
        Ok(())
    }

    /// Ends our message, with trailers or without.
    ///
    /// # Errors
    /// When nobody waits for it any more.
    pub fn finish(&mut self, key: usize, fields: Option<&Fields>) -> Result<(), Failure> {
        let stream = self.sender(key)?;
        let id = stream.id;
        stream.send_ended = true;
        if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
            self.write_head(id, true, |encoder, out| {
                encoder.begin(out);
                trailers::write(fields, Framing::None, encoder, out);
            });
        } else {
            self.write_data(id, &[], true);
        }
        self.settle(key);
        Ok(())
    }

    /// Sends the start of `data`, as much as may go out now, and says how much that was; with
    /// `last` the message is over once all of it went out. With 0 the stream is woken when it is
    /// worth another try.
    ///
    /// # Errors
    /// When nobody waits for it any more.
    pub fn send(&mut self, key: usize, data: &[u8], last: bool) -> Result<usize, Failure> {
        let most = self.peer.payload.min(PAYLOAD_BYTES);
        let window = self.send_window.max(0);
        let is_free = self.waiting.is_empty() && self.granted == 0 && self.out.room() > 0;
        let stream = self.sender(key)?;
        let id = stream.id;
        let is_granted = std::mem::take(&mut stream.is_granted);
        let own = stream.send_window.max(0);
        if is_granted {
            self.granted -= 1;
        }
        if own == 0 {
            return Ok(0);
        }
        if window == 0 || !is_free && !is_granted {
            self.wait_for_turn(key);
            return Ok(0);
        }
        let room = window.min(own).min(i64::from(most));
        let count = data.len().min(usize::try_from(room).unwrap_or_default());
        let is_over = last && count == data.len();
        let piece = &data[..count];
        if let Some(stream) = self.streams.get_mut(key) {
            stream.send_window -= i64::from(offset(count));
            stream.send_ended = is_over;
        }
        self.send_window -= i64::from(offset(count));
        self.write_data(id, piece, is_over);
        self.settle(key);
        Ok(count)
    }

    fn wait_for_turn(&mut self, key: usize) {
        if let Some(stream) = self.streams.get_mut(key)
            && !std::mem::replace(&mut stream.is_waiting, true)
        {
            self.waiting.push_back(key);
        }
    }

    /// Gives those that wait their turn, as far as there is room: the owner of the socket calls it
    /// when it wrote or read something.
    pub fn grant(&mut self) {
        let mut room = self.out.room().saturating_sub(self.granted * TURN);
        let mut window = usize::try_from(self.send_window).unwrap_or_default();
        while room > 0 && window > 0 {
            let Some(key) = self.waiting.pop_front() else {
                return;
            };
            if let Some(stream) = self.streams.get_mut(key) {
                stream.is_waiting = false;
                stream.is_granted = true;
                self.granted += 1;
                room = room.saturating_sub(TURN);
                window = window.saturating_sub(TURN);
                self.wake(key);
            }
        }
    }

    /// Whether there is something to write, or somebody to give a turn to.
    pub fn wants_turn(&self) -> bool {
        !self.out.is_empty()
            || self.end.is_some()
            || self.granted == 0 && !self.waiting.is_empty() && self.send_window > 0
    }

    /// What is to be written.
    pub fn output(&self) -> &[u8] {
        self.out.rest()
    }

    /// So much of the output was written.
    pub fn wrote(&mut self, count: usize) {
        self.out.wrote(count);
    }

    /// Whether what comes may be read: not while the peer takes no answers.
    pub fn wants_input(&self) -> bool {
        self.end.is_none() && !self.out.is_full()
    }

    /// Gives the memory of the output in exchange for other memory, when nothing is in it.
    pub fn swap_output(&mut self, memory: &mut Vec<u8>) {
        if self.out.is_empty() {
            self.out.clear();
            std::mem::swap(&mut self.out.bytes, memory);
        }
    }

    /// A stream whose message is not over.
    fn sender(&mut self, key: usize) -> Result<&mut Stream, Failure> {
        let end = self.end;
        let stream = self.streams.get_mut(key).ok_or(Failure::Over)?;
        match (stream.failure, end) {
            (Some(failure), _) => Err(failure),
            (None, Some(end)) => Err(Failure::Ended(end)),
            (None, None) if stream.send_ended => Err(Failure::Over),
            (None, None) => Ok(stream),
        }
    }

    fn write_data(&mut self, stream: u32, data: &[u8], end_stream: bool) {
        let head = Head {
            length: offset(data.len()),
            kind: kind::DATA,
            flags: if end_stream { flag::END_STREAM } else { 0 },
            stream,
        };
        let out = &mut self.out.bytes;
        out.reserve(HEAD_BYTES + data.len());
        out.extend_from_slice(&head.bytes());
        out.extend_from_slice(data);
        self.guard.sent_message();
    }

    /// Writes a block into as many frames as it needs.
    fn write_head(
        &mut self,
        stream: u32,
        end_stream: bool,
        write: impl FnOnce(&mut Encoder, &mut Vec<u8>),
    ) {
        let out = &mut self.out.bytes;
        let start = out.len();
        out.extend_from_slice(&[0; HEAD_BYTES]);
        write(&mut self.encoder, out);
        let length = out.len() - start - HEAD_BYTES;
        let most = self.peer.payload.min(PAYLOAD_BYTES) as usize;
        let rest = match length {
            _ if length > most => out.split_off(start + HEAD_BYTES + most),
            _ => Vec::new(),
        };
        let head = |kind, length: usize, flags| Head {
            length: offset(length),
            kind,
            flags,
            stream,
        };
        let ends = |is_last| if is_last { flag::END_HEADERS } else { 0 };
        let end_stream = if end_stream { flag::END_STREAM } else { 0 };
        let flags = end_stream | ends(rest.is_empty());
        let first = head(kind::HEADERS, length.min(most), flags);
        out[start..start + HEAD_BYTES].copy_from_slice(&first.bytes());
        let mut parts = rest.chunks(most).peekable();
        while let Some(part) = parts.next() {
            let flags = ends(parts.peek().is_none());
            out.extend_from_slice(&head(kind::CONTINUATION, part.len(), flags).bytes());
            out.extend_from_slice(part);
        }
        self.guard.sent_message();
    }
}

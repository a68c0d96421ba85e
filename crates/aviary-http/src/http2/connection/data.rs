//! Bodies as they come in, and windows.

use super::frames::Fault;
use super::{Body, Connection, Failure, Role};
use crate::error::Error;
use crate::fields::{Fields, offset};
use crate::http2::frame::{self, Head, flag};
use crate::http2::memory::Memory;
use crate::http2::{DEFAULT_WINDOW, MAX_WINDOW, Reason};

impl Connection {
    pub(super) fn on_data(
        &mut self,
        head: Head,
        payload: &[u8],
        memory: &mut Memory,
    ) -> Result<(), Fault> {
        let id = head.stream;
        self.recv_window -= i64::from(head.length);
        if self.recv_window < 0 {
            return Err(Reason::FLOW_CONTROL_ERROR.into());
        }
        let data = frame::without_padding(head, payload).ok_or(Reason::PROTOCOL_ERROR)?;
        let Some(key) = self.streams.find(id) else {
            if self.is_idle(id) {
                return Err(Reason::PROTOCOL_ERROR.into());
            }
            self.release_connection(head.length);
            if self.forgotten.contains(&id) {
                return Ok(());
            }
            return Err(Fault::Stream(id, Reason::STREAM_CLOSED, None));
        };
        let taken = self.take_data(key, head, data, memory);
        if taken.is_err() {
            self.release_connection(head.length);
            return taken;
        }
        let padding = head.length - offset(data.len());
        if padding > 0 {
            self.release(key, 0, padding);
        }
        self.settle(key);
        self.wake(key);
        Ok(())
    }

    fn take_data(
        &mut self,
        key: usize,
        head: Head,
        data: &[u8],
        memory: &mut Memory,
    ) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(());
        };
        let fault = |reason, error| Err(Fault::Stream(head.stream, reason, error));
        if stream.recv_ended {
            return fault(Reason::STREAM_CLOSED, None);
        }
        if self.role == Role::Client && !stream.is_answered {
            return fault(Reason::PROTOCOL_ERROR, Some(Error::BadName));
        }
        // Before the peer knows our window, its streams have the default one.
        let unknown = DEFAULT_WINDOW.saturating_sub(self.stream_window);
        let slack = if self.is_known { 0 } else { i64::from(unknown) };
        stream.recv_window -= i64::from(head.length);
        if stream.recv_window < -slack {
            return fault(Reason::FLOW_CONTROL_ERROR, None);
        }
        let end_stream = head.has(flag::END_STREAM);
        if !stream.count(data.len()) || end_stream && !stream.is_whole() {
            return fault(Reason::PROTOCOL_ERROR, Some(Error::LengthMismatch));
        }
        if stream.body.capacity() == 0 && !data.is_empty() {
            stream.body = memory.body();
        }
        stream.body.extend_from_slice(data);
        stream.held += offset(data.len());
        stream.recv_ended = end_stream;
        Ok(())
    }

    /// Gives what came of a body, in exchange for `piece`, which is empty.
    ///
    /// # Errors
    /// Why it breaks off.
    pub fn take_body(&mut self, key: usize, piece: &mut Vec<u8>) -> Result<Body, Failure> {
        let end = self.end;
        let stream = self.streams.get_mut(key).ok_or(Failure::Over)?;
        if !stream.body.is_empty() {
            piece.clear();
            std::mem::swap(piece, &mut stream.body);
            let last = stream.recv_ended && stream.trailers.is_none();
            return Ok(Body::Data { last });
        }
        match (stream.failure, end) {
            _ if stream.recv_ended => Ok(Body::End),
            (Some(failure), _) => Err(failure),
            (None, Some(end)) => Err(Failure::Ended(end)),
            (None, None) => Ok(Body::Nothing),
        }
    }

    /// What came behind a body.
    pub fn take_trailers(&mut self, key: usize) -> Option<Fields> {
        self.streams.get_mut(key)?.trailers.take()
    }

    /// Whether the peer's message came to its end, and nothing of it is left to be taken.
    pub fn is_read(&self, key: usize) -> bool {
        let stream = self.streams.get(key);
        stream.is_none_or(|it| it.recv_ended && it.body.is_empty() && it.trailers.is_none())
    }

    /// Bytes of a body were used.
    pub fn used(&mut self, key: usize, count: usize) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        let count = stream.held.min(offset(count));
        stream.held -= count;
        self.release(key, count, 0);
    }

    /// The peer may send so many bytes more; `padding` is what it sent in vain.
    fn release(&mut self, key: usize, count: u32, padding: u32) {
        let count = count + padding;
        self.release_connection(count);
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.recv_ended || !stream.is_open {
            return;
        }
        stream.unannounced += count;
        if u64::from(stream.unannounced) * 2 >= u64::from(self.stream_window) {
            let more = std::mem::take(&mut stream.unannounced);
            stream.recv_window += i64::from(more);
            frame::write_window_update(stream.id, more, &mut self.out.bytes);
        }
    }

    /// The same for the connection alone.
    pub(super) fn release_connection(&mut self, count: u32) {
        self.unannounced += count;
        if self.unannounced >= self.whole_window / 2 && self.end.is_none() {
            let more = std::mem::take(&mut self.unannounced);
            self.recv_window += i64::from(more);
            frame::write_window_update(0, more, &mut self.out.bytes);
        }
    }

    pub(super) fn on_window_update(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let more = payload.first_chunk().filter(|_| payload.len() == 4);
        let more = u32::from_be_bytes(*more.ok_or(Reason::FRAME_SIZE_ERROR)?) & MAX_WINDOW;
        let id = head.stream;
        if id == 0 {
            if more == 0 {
                return Err(Reason::PROTOCOL_ERROR.into());
            }
            self.send_window += i64::from(more);
            if self.send_window > i64::from(MAX_WINDOW) {
                return Err(Reason::FLOW_CONTROL_ERROR.into());
            }
            return Ok(());
        }
        if self.is_idle(id) {
            return Err(Reason::PROTOCOL_ERROR.into());
        }
        let Some(key) = self.streams.find(id) else {
            return Ok(());
        };
        if more == 0 {
            return Err(Fault::Stream(id, Reason::PROTOCOL_ERROR, None));
        }
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(());
        };
        let had_none = stream.send_window <= 0;
        stream.send_window += i64::from(more);
        if stream.send_window > i64::from(MAX_WINDOW) {
            return Err(Fault::Stream(id, Reason::FLOW_CONTROL_ERROR, None));
        }
        if had_none && stream.send_window > 0 {
            self.wake(key);
        }
        Ok(())
    }
}

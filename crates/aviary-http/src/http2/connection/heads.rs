//! Heads as they come in, and what becomes of them.

use super::frames::Fault;
use super::life::Going;
use super::{Accepted, Connection, Failure, INTERIM_LIMIT, Role};
use crate::body::TRAILER_LIMIT;
use crate::error::Error;
use crate::http2::memory::Memory;
use crate::http2::stream::Stream;
use crate::http2::{Reason, request, response, trailers};
use crate::response::ResponseHead;

impl Connection {
    /// Takes in a whole block. Each is decompressed, whatever it is for.
    pub(super) fn on_block(
        &mut self,
        id: u32,
        end_stream: bool,
        block: &[u8],
        memory: &mut Memory,
    ) -> Result<(), Fault> {
        let stream = self.streams.find(id);
        match (
            stream.and_then(|key| Some((key, self.streams.get(key)?))),
            self.role,
        ) {
            (Some((key, stream)), Role::Client) if !stream.is_answered => {
                self.on_reply(key, end_stream, block, memory)
            }
            (Some((key, _)), _) => self.on_trailers(key, end_stream, block),
            (None, Role::Server) => self.on_request(id, end_stream, block, memory),
            (None, Role::Client) => self.on_stray(id, block),
        }
    }

    /// A head of nobody's: of a stream that is over, or never was.
    fn on_stray(&mut self, id: u32, block: &[u8]) -> Result<(), Fault> {
        self.skip(block)?;
        if self.is_idle(id) {
            Err(Reason::PROTOCOL_ERROR.into())
        } else if self.forgotten.contains(&id) {
            Ok(())
        } else {
            Err(Reason::STREAM_CLOSED.into())
        }
    }

    fn skip(&mut self, block: &[u8]) -> Result<(), Fault> {
        let decoded = self.decoder.decode(block, |_| {});
        decoded.map_err(|_| Reason::COMPRESSION_ERROR.into())
    }

    fn on_request(
        &mut self,
        id: u32,
        end_stream: bool,
        block: &[u8],
        memory: &mut Memory,
    ) -> Result<(), Fault> {
        if id.is_multiple_of(2) || id <= self.last_id {
            return self.on_stray(id, block);
        }
        if self.going == Going::Gone {
            self.forget(id);
            return self.skip(block);
        }
        self.last_id = id;
        // Those that are over on the wire, and being served still, count as well, but not at once:
        // a client may open a stream for each that it saw end.
        let held = self.streams.len() / 2;
        if self.streams.open() >= self.streams_limit || held >= self.streams_limit {
            self.skip(block)?;
            return Err(Fault::Stream(id, Reason::REFUSED_STREAM, None));
        }
        let mut head = memory.request();
        let mut reader = request::Reader::new(&mut head, &mut self.scratch, self.limits);
        let decoded = self.decoder.decode(block, |field| reader.take(field));
        decoded.map_err(|_| Reason::COMPRESSION_ERROR)?;
        let read = reader.finish(end_stream);
        if let Err(error) = read
            && error.status() == 400
        {
            memory.give_request(head);
            return Err(Fault::Stream(id, Reason::PROTOCOL_ERROR, Some(error)));
        }
        let key = self.streams.insert(Stream {
            id,
            recv_ended: end_stream,
            remaining: read.map_or(None, |()| head.framing.length()),
            recv_window: i64::from(self.stream_window),
            send_window: i64::from(self.peer.window),
            ..Stream::default()
        });
        let head = read.map(|()| head);
        self.accepted.push_back(Accepted { key, head });
        Ok(())
    }

    fn on_reply(
        &mut self,
        key: usize,
        end_stream: bool,
        block: &[u8],
        memory: &mut Memory,
    ) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(key) else {
            return self.skip(block);
        };
        let mut head = memory.reply();
        let mut reader = response::Reader::new(&mut head, self.limits, stream.is_head);
        let decoded = self.decoder.decode(block, |field| reader.take(field));
        decoded.map_err(|_| Reason::COMPRESSION_ERROR)?;
        let is_interim = match reader.finish(end_stream) {
            Ok(()) => head.is_interim(),
            Err(error) => {
                memory.give_reply(head);
                let reason = Reason::PROTOCOL_ERROR;
                return Err(Fault::Stream(stream.id, reason, Some(error)));
            }
        };
        if is_interim {
            memory.give_reply(head);
            return self.on_interim(key, end_stream);
        }
        stream.is_answered = true;
        stream.recv_ended = end_stream;
        stream.remaining = head.framing.length();
        stream.reply = Some(head);
        self.settle(key);
        self.wake(key);
        Ok(())
    }

    /// Counts a reply after which another one comes.
    fn on_interim(&mut self, key: usize, end_stream: bool) -> Result<(), Fault> {
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(());
        };
        let id = stream.id;
        if end_stream {
            let error = Some(Error::BadName);
            return Err(Fault::Stream(id, Reason::PROTOCOL_ERROR, error));
        }
        stream.interim += 1;
        if stream.interim > INTERIM_LIMIT {
            self.reset_id(id, Reason::ENHANCE_YOUR_CALM, Failure::Interim);
        }
        Ok(())
    }

    fn on_trailers(&mut self, key: usize, end_stream: bool, block: &[u8]) -> Result<(), Fault> {
        let mut reader = trailers::Reader::new(TRAILER_LIMIT);
        let decoded = self.decoder.decode(block, |field| reader.take(field));
        decoded.map_err(|_| Reason::COMPRESSION_ERROR)?;
        let Some(stream) = self.streams.get_mut(key) else {
            return Ok(());
        };
        let id = stream.id;
        let fault = |reason, error| Err(Fault::Stream(id, reason, error));
        if stream.recv_ended {
            return fault(Reason::STREAM_CLOSED, None);
        }
        let error = match reader.finish() {
            Err(error) => Some(error),
            Ok(_) if !end_stream => Some(Error::BadName),
            Ok(_) if !stream.is_whole() => Some(Error::LengthMismatch),
            Ok(fields) => {
                stream.trailers = (!fields.is_empty()).then_some(fields);
                None
            }
        };
        if error.is_some() {
            return fault(Reason::PROTOCOL_ERROR, error);
        }
        stream.recv_ended = true;
        self.settle(key);
        self.wake(key);
        Ok(())
    }

    /// Closes a stream of which both messages are over.
    pub(super) fn settle(&mut self, key: usize) {
        if let Some(stream) = self.streams.get(key)
            && stream.recv_ended
            && stream.send_ended
        {
            self.streams.close(key);
            self.has_freed = true;
        }
    }

    /// Gives the head of the reply, once it is there, in exchange for `head`; false before.
    ///
    /// # Errors
    /// Why it will not come.
    pub fn reply(
        &mut self,
        key: usize,
        head: &mut ResponseHead,
        memory: &mut Memory,
    ) -> Result<bool, Failure> {
        let end = self.end;
        let stream = self.streams.get_mut(key).ok_or(Failure::Over)?;
        if let Some(mut reply) = stream.reply.take() {
            std::mem::swap(head, &mut *reply);
            memory.give_reply(reply);
            return Ok(true);
        }
        match (stream.failure, end) {
            (Some(failure), _) => Err(failure),
            (None, Some(end)) => Err(Failure::Ended(end)),
            (None, None) => Ok(false),
        }
    }
}

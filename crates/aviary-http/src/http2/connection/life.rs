//! How streams and connections end.

use super::frames::Fault;
use super::{Connection, End, Failure, Role};
use crate::http2::frame::{self, Head};
use crate::http2::memory::Memory;
use crate::http2::{MAX_WINDOW, Reason};

/// How far we are in taking no more requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Going {
    /// We take them.
    #[default]
    Not,
    /// The client was told; those that are on their way are still taken.
    Told,
    /// No more come.
    Gone,
}

/// The ping whose answer says that the client heard of our going.
const LAST_PING: [u8; 8] = *b"farewell";

impl Connection {
    /// Takes no more requests than those that are on their way, and ends when all are answered.
    ///
    /// Source: RFC 9113 §6.8.
    pub fn shut_down(&mut self) {
        if self.going == Going::Not && self.end.is_none() {
            self.going = Going::Told;
            let out = &mut self.out.bytes;
            frame::write_go_away(MAX_WINDOW, Reason::NO_ERROR, out);
            frame::write_ping(0, &LAST_PING, out);
        }
    }

    pub(super) fn on_pong(&mut self, payload: &[u8]) {
        if self.going == Going::Told && payload == LAST_PING {
            self.going = Going::Gone;
            frame::write_go_away(self.last_id, Reason::NO_ERROR, &mut self.out.bytes);
        }
    }

    /// Ends it once nothing is left to be done on it: after both sides' farewells every stream is
    /// over.
    pub fn end_if_done(&mut self) {
        let is_leaving = match self.role {
            Role::Server => self.going == Going::Gone || self.peer_went.is_some(),
            Role::Client => self.peer_went.is_some(),
        };
        let is_done = self.streams.open() == 0 && self.accepted.is_empty();
        if is_leaving && is_done && self.out.is_empty() && self.end.is_none() {
            self.end_all(End::Done);
        }
    }

    /// Ends it at once.
    pub fn abort(&mut self, reason: Reason) {
        self.end_for(End::Ours(reason), reason);
    }

    pub(super) fn end_for(&mut self, end: End, reason: Reason) {
        if self.end.is_none() {
            frame::write_go_away(self.last_id, reason, &mut self.out.bytes);
            self.end_all(end);
        }
    }

    /// The socket is closed; nothing more is read or written.
    pub fn closed(&mut self) {
        self.out.clear();
        if self.end.is_none() {
            self.end_all(End::Closed);
        }
    }

    fn end_all(&mut self, end: End) {
        self.end = Some(end);
        for unserved in std::mem::take(&mut self.accepted) {
            self.streams.remove(unserved.key);
        }
        self.has_freed = true;
        let woken = &mut self.woken;
        for (key, stream) in self.streams.iter_mut() {
            if !std::mem::replace(&mut stream.is_woken, true) {
                woken.push_back(key);
            }
        }
    }

    pub(super) fn on_go_away(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR.into());
        }
        let [a, b, c, d, code @ ..] =
            *payload.first_chunk::<8>().ok_or(Reason::FRAME_SIZE_ERROR)?;
        let last = u32::from_be_bytes([a, b, c, d]) & MAX_WINDOW;
        self.peer_went = Some(Reason(u32::from_be_bytes(code)));
        self.has_freed = true;
        if self.role == Role::Server {
            return Ok(());
        }
        let streams = self.streams.iter_mut();
        let unseen = streams.filter(|(_, it)| it.is_open && it.id > last);
        let unseen: Vec<usize> = unseen.map(|(key, _)| key).collect();
        for key in unseen {
            self.fail(key, Failure::Refused);
        }
        Ok(())
    }

    /// Whether nobody waits for our message any more.
    pub fn is_unwanted(&self, key: usize) -> bool {
        let stream = self.streams.get(key);
        self.end.is_some() || stream.is_none_or(|stream| stream.failure.is_some())
    }

    /// Whether our message is over.
    pub fn is_sent(&self, key: usize) -> bool {
        self.streams.get(key).is_none_or(|stream| stream.send_ended)
    }

    /// Ends a stream before its time, unless it is over.
    pub fn reset(&mut self, key: usize, reason: Reason) {
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        stream.send_ended = true;
        if !stream.is_open || self.end.is_some() {
            return;
        }
        let id = stream.id;
        stream.failure = Some(Failure::Reset(reason));
        self.streams.close(key);
        self.has_freed = true;
        self.forget(id);
        frame::write_reset(id, reason, &mut self.out.bytes);
    }

    /// Nobody serves this stream any more; its memory, and that of its last piece, goes back. What
    /// is not over is reset: without blame if our message is whole, and the rest of the peer's is
    /// of no use (RFC 9113 §8.1).
    pub fn close(&mut self, key: usize, piece: Vec<u8>, memory: &mut Memory) {
        let Some(stream) = self.streams.get(key) else {
            return;
        };
        let reason = match self.role {
            Role::Server if stream.send_ended && !stream.recv_ended => Reason::NO_ERROR,
            _ => Reason::CANCEL,
        };
        self.reset(key, reason);
        let Some(stream) = self.streams.remove(key) else {
            return;
        };
        if stream.is_waiting {
            self.waiting.retain(|waiting| *waiting != key);
        }
        if stream.is_granted {
            self.granted -= 1;
        }
        if stream.is_woken {
            self.woken.retain(|woken| *woken != key);
        }
        if stream.held > 0 {
            self.release_connection(stream.held);
        }
        memory.give_body(stream.body);
        memory.give_body(piece);
        if let Some(reply) = stream.reply {
            memory.give_reply(reply);
        }
    }
}

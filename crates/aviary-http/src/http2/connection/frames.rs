//! Frames as they come in.

use std::time::Duration;

use super::life::Going;
use super::{Block, Connection, End, Failure, Role};
use crate::error::Error;
use crate::http2::frame::{self, HEAD_BYTES, Head, PAYLOAD_BYTES, flag, kind};
use crate::http2::memory::Memory;
use crate::http2::settings::Settings;
use crate::http2::{MAX_WINDOW, PREFACE, Reason};

/// What a frame did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The connection cannot go on.
    Connection(Reason),
    /// The stream cannot go on; perhaps because it carries no message.
    Stream(u32, Reason, Option<Error>),
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self::Connection(reason)
    }
}

impl Connection {
    /// Takes in what was read, and says how many bytes of it are done with: all but a frame that
    /// is not whole. `now` is the time since any fixed moment.
    pub fn receive(&mut self, bytes: &[u8], now: Duration, memory: &mut Memory) -> usize {
        self.now = now;
        let mut rest = bytes;
        if self.preface > 0 && !self.read_preface(&mut rest) {
            return bytes.len() - rest.len();
        }
        while self.end.is_none() {
            let Some(head) = Head::read(rest) else { break };
            if head.length > PAYLOAD_BYTES {
                self.abort(Reason::FRAME_SIZE_ERROR);
                break;
            }
            let end = HEAD_BYTES + head.length as usize;
            let Some(payload) = rest.get(HEAD_BYTES..end) else {
                break;
            };
            if let Err(flood) = self.guard.see(head, now) {
                self.end_for(End::Flood(flood), Reason::ENHANCE_YOUR_CALM);
                break;
            }
            if let Err(fault) = self.frame(head, payload, memory) {
                self.punish(fault);
            }
            rest = &rest[end..];
        }
        bytes.len() - rest.len()
    }

    /// Reads what is there of the preface; false when it is not over, or is none.
    fn read_preface(&mut self, rest: &mut &[u8]) -> bool {
        let awaited = &PREFACE[PREFACE.len() - self.preface..];
        let count = awaited.len().min(rest.len());
        let (part, left) = rest.split_at(count);
        if part != &awaited[..count] {
            self.abort(Reason::PROTOCOL_ERROR);
            return false;
        }
        *rest = left;
        self.preface -= count;
        self.preface == 0
    }

    fn punish(&mut self, fault: Fault) {
        match fault {
            Fault::Connection(reason) => self.abort(reason),
            Fault::Stream(id, reason, error) => {
                let failure = match (error, self.role) {
                    (Some(error), Role::Client) => Failure::Malformed(error),
                    _ => Failure::Reset(reason),
                };
                self.reset_id(id, reason, failure);
            }
        }
    }

    /// Resets a stream by its number, whether it is known or not.
    pub(super) fn reset_id(&mut self, id: u32, reason: Reason, failure: Failure) {
        frame::write_reset(id, reason, &mut self.out.bytes);
        self.forget(id);
        if let Some(key) = self.streams.find(id) {
            self.fail(key, failure);
        }
        if let Err(flood) = self.guard.sent_reset(reason, self.now) {
            self.end_for(End::Flood(flood), Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// Ends a stream before its time.
    pub(super) fn fail(&mut self, key: usize, failure: Failure) {
        self.streams.close(key);
        self.has_freed = true;
        if let Some(stream) = self.streams.get_mut(key) {
            stream.failure = Some(failure);
        }
        self.wake(key);
    }

    fn frame(&mut self, head: Head, payload: &[u8], memory: &mut Memory) -> Result<(), Fault> {
        if let Some(block) = &self.block
            && (head.kind != kind::CONTINUATION || head.stream != block.stream)
        {
            return Err(Reason::PROTOCOL_ERROR.into());
        }
        if !self.has_settings && (head.kind != kind::SETTINGS || head.has(flag::ACK)) {
            return Err(Reason::PROTOCOL_ERROR.into());
        }
        match head.kind {
            kind::DATA => self.on_data(head, payload, memory),
            kind::HEADERS => self.on_headers(head, payload, memory),
            kind::CONTINUATION => self.on_continuation(head, payload, memory),
            kind::RST_STREAM => self.on_reset(head, payload),
            kind::SETTINGS => self.on_settings(head, payload),
            kind::PING => self.on_ping(head, payload),
            kind::GOAWAY => self.on_go_away(head, payload),
            kind::WINDOW_UPDATE => self.on_window_update(head, payload),
            kind::PRIORITY if head.stream == 0 => Err(Reason::PROTOCOL_ERROR.into()),
            kind::PRIORITY if payload.len() != 5 => Err(Reason::FRAME_SIZE_ERROR.into()),
            // Nobody was told that it may.
            kind::PUSH_PROMISE => Err(Reason::PROTOCOL_ERROR.into()),
            _ => Ok(()),
        }
    }

    fn on_headers(&mut self, head: Head, payload: &[u8], memory: &mut Memory) -> Result<(), Fault> {
        if head.stream == 0 {
            return Err(Reason::PROTOCOL_ERROR.into());
        }
        let mut part = frame::without_padding(head, payload).ok_or(Reason::PROTOCOL_ERROR)?;
        if head.has(flag::PRIORITY) {
            part = part.get(5..).ok_or(Reason::FRAME_SIZE_ERROR)?;
        }
        let end_stream = head.has(flag::END_STREAM);
        if head.has(flag::END_HEADERS) {
            return self.on_block(head.stream, end_stream, part, memory);
        }
        self.block = Some(Block {
            stream: head.stream,
            end_stream,
            bytes: part.to_vec(),
        });
        Ok(())
    }

    fn on_continuation(
        &mut self,
        head: Head,
        payload: &[u8],
        memory: &mut Memory,
    ) -> Result<(), Fault> {
        let block = self.block.as_mut().ok_or(Reason::PROTOCOL_ERROR)?;
        block.bytes.extend_from_slice(payload);
        if !head.has(flag::END_HEADERS) {
            return Ok(());
        }
        match self.block.take() {
            Some(block) => self.on_block(block.stream, block.end_stream, &block.bytes, memory),
            None => Ok(()),
        }
    }

    fn on_reset(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        let code = payload.first_chunk().filter(|_| payload.len() == 4);
        let code = code.ok_or(Reason::FRAME_SIZE_ERROR)?;
        if self.is_idle(head.stream) {
            return Err(Reason::PROTOCOL_ERROR.into());
        }
        if let Some(key) = self.streams.find(head.stream) {
            self.fail(key, Failure::Reset(Reason(u32::from_be_bytes(*code))));
        }
        Ok(())
    }

    fn on_settings(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR.into());
        }
        if head.has(flag::ACK) {
            if !payload.is_empty() {
                return Err(Reason::FRAME_SIZE_ERROR.into());
            }
            self.is_known = true;
            return Ok(());
        }
        let mut peer = self.peer;
        if !std::mem::replace(&mut self.has_settings, true) {
            peer.streams = u32::MAX;
        }
        peer.read(payload, self.role == Role::Client)?;
        self.adopt(peer)?;
        frame::write_settings_ack(&mut self.out.bytes);
        Ok(())
    }

    /// Goes by what the peer can do from now on.
    fn adopt(&mut self, peer: Settings) -> Result<(), Fault> {
        let change = i64::from(peer.window) - i64::from(self.peer.window);
        self.peer = peer;
        self.encoder.resize(peer.table_bytes);
        self.has_freed = true;
        if change == 0 {
            return Ok(());
        }
        let woken = &mut self.woken;
        for (key, stream) in self.streams.iter_mut() {
            let before = stream.send_window;
            stream.send_window += change;
            if stream.send_window > i64::from(MAX_WINDOW) {
                return Err(Reason::FLOW_CONTROL_ERROR.into());
            }
            let has_room = before <= 0 && stream.send_window > 0;
            if has_room && !std::mem::replace(&mut stream.is_woken, true) {
                woken.push_back(key);
            }
        }
        Ok(())
    }

    fn on_ping(&mut self, head: Head, payload: &[u8]) -> Result<(), Fault> {
        if head.stream != 0 {
            return Err(Reason::PROTOCOL_ERROR.into());
        }
        if payload.len() != 8 {
            return Err(Reason::FRAME_SIZE_ERROR.into());
        }
        if head.has(flag::ACK) {
            self.on_pong(payload);
        } else {
            frame::write_ping(flag::ACK, payload, &mut self.out.bytes);
        }
        Ok(())
    }

    /// Whether no frame but HEADERS and PRIORITY may come for a stream with this number, which
    /// has not begun. There is none with an even number.
    pub(super) fn is_idle(&self, id: u32) -> bool {
        match self.role {
            _ if id.is_multiple_of(2) => true,
            Role::Server => id > self.last_id && self.going != Going::Gone,
            Role::Client => id >= self.next_id,
        }
    }
}

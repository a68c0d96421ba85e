//! One stream: a body as it comes in, and one as it goes out.

use std::rc::Rc;
use std::task::{Context, Poll};

use aviary_http::http2::{Body, Failure, Reason};
use aviary_http::{Fields, RequestHead, ResponseHead};

use super::core::{Shared, with_memory};
use crate::http::body::{Error, Fill, Sink, Source};

/// A stream that began.
pub(super) struct Stream {
    core: Shared,
    key: usize,
    /// Bytes of the peer's body, and how many of them were used.
    piece: Vec<u8>,
    used: usize,
    /// Nothing comes after the piece.
    received: bool,
    /// Our message is over.
    sent: bool,
}

impl Stream {
    /// A request that came; its reply has not begun.
    pub(super) fn accepted(core: &Shared, key: usize) -> Self {
        let received = core.borrow().get().is_read(key);
        Self {
            core: Rc::clone(core),
            key,
            piece: Vec::new(),
            used: 0,
            received,
            sent: false,
        }
    }

    /// Begins a request; `bodiless` when its head is all of it.
    pub(super) fn poll_open(
        core: &Shared,
        cx: &mut Context<'_>,
        head: &RequestHead,
        bodiless: bool,
    ) -> Poll<Result<Self, Error>> {
        let mut this = core.borrow_mut();
        let Some(key) = this.act().open(head, bodiless)? else {
            this.listen_for_room(cx);
            return Poll::Pending;
        };
        this.listen(key, cx);
        this.done();
        Poll::Ready(Ok(Self {
            core: Rc::clone(core),
            key,
            piece: Vec::new(),
            used: 0,
            received: false,
            sent: bodiless,
        }))
    }

    /// Waits for the head of the reply.
    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Error>> {
        let mut core = self.core.borrow_mut();
        core.listen(self.key, cx);
        if !with_memory(|memory| core.act().reply(self.key, head, memory))? {
            return Poll::Pending;
        }
        self.received = core.get().is_read(self.key);
        Poll::Ready(Ok(()))
    }

    /// Puts out the head of the reply; `bodiless` when it is all of it.
    pub(super) fn respond(&mut self, head: &ResponseHead, bodiless: bool) -> Result<(), Error> {
        let mut core = self.core.borrow_mut();
        let answered = core.act().respond(self.key, head, bodiless);
        core.done();
        answered?;
        self.sent = bodiless;
        Ok(())
    }

    /// Ready when nobody waits for our message any more.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut core = self.core.borrow_mut();
        if core.get().is_unwanted(self.key) {
            return Poll::Ready(());
        }
        core.listen(self.key, cx);
        Poll::Pending
    }

    /// Ends it before its time.
    pub(super) fn reset(&mut self, reason: Reason) {
        let mut core = self.core.borrow_mut();
        core.act().reset(self.key, reason);
        core.done();
        self.sent = true;
    }

    /// All of the peer's message was read and used.
    pub(super) fn is_received(&self) -> bool {
        self.received && self.used == self.piece.len()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        let mut core = self.core.borrow_mut();
        with_memory(|memory| core.act().close(self.key, piece, memory));
        core.forget(self.key);
        core.done();
        // The last but the owner itself: it may have nothing left to do.
        if Rc::strong_count(&self.core) <= 2 {
            core.call_owner();
        }
    }
}

impl Source for Stream {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        if self.used < self.piece.len() {
            return Poll::Ready(Ok(Fill::Data));
        }
        if self.received {
            return Poll::Ready(Ok(Fill::End));
        }
        let mut core = self.core.borrow_mut();
        match core.act().take_body(self.key, &mut self.piece)? {
            Body::Data { last } => {
                (self.used, self.received) = (0, last);
                Poll::Ready(Ok(Fill::Data))
            }
            Body::End => {
                self.received = true;
                Poll::Ready(Ok(Fill::End))
            }
            Body::Nothing => {
                core.listen(self.key, cx);
                Poll::Pending
            }
        }
    }

    fn data(&self) -> &[u8] {
        &self.piece[self.used..]
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
        let mut core = self.core.borrow_mut();
        core.act().used(self.key, count);
        core.done();
    }

    fn is_last(&self) -> bool {
        self.received
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.core.borrow_mut().act().take_trailers(self.key)
    }
}

impl Sink for Stream {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>> {
        let last = source.is_last();
        let wanted = source.data().len();
        let mut core = self.core.borrow_mut();
        let sent = core.act().send(self.key, source.data(), last);
        if sent == Ok(0) {
            core.listen(self.key, cx);
        }
        core.done();
        drop(core);
        let count = sent?;
        if count == 0 {
            return Poll::Pending;
        }
        self.sent = last && count == wanted;
        source.consume(count);
        Poll::Ready(Ok(count))
    }

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Error> {
        if self.sent {
            return Ok(());
        }
        let mut core = self.core.borrow_mut();
        let ended = core.act().finish(self.key, trailers);
        core.done();
        ended?;
        self.sent = true;
        Ok(())
    }

    fn is_ended(&self) -> bool {
        self.sent
    }

    /// The connection's owner writes.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Reset(reason) => Self::Reset(reason),
            Failure::Refused => Self::Refused,
            Failure::Malformed(error) => Self::Protocol(error),
            Failure::Interim => Self::InterimFlood,
            Failure::Ended(end) => Self::Ended(end),
            Failure::Over => Self::Closed,
        }
    }
}

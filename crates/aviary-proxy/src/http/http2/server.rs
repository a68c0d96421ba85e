//! A client's connection: many requests at a time.

use std::task::{Context, Poll};

use aviary_http::frames::FloodLimits;
use aviary_http::http2::{Config, End, Reason, Role};
use aviary_http::{Fields, RequestHead, ResponseHead};

use super::core::with_memory;
use super::stream;
use super::wire::Wire;
use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::http::body::{Error, Fill, Sink, Source};
use crate::http::terms::Terms;
use crate::stream::Stream as Socket;

/// A client's connection.
pub(crate) struct Connection {
    wire: Wire,
}

/// A request that came.
pub(crate) enum Request {
    /// It is to be answered.
    Whole(Box<RequestHead>, Stream),
    /// Its head is too large; it is to be answered so.
    TooLarge(aviary_http::Error, Stream),
}

impl Connection {
    /// Starts to speak HTTP/2, from the client's preface on.
    pub(crate) fn new(socket: Socket, terms: &Terms) -> Self {
        let windows = terms.http2;
        let config = Config {
            role: Role::Server,
            flood: FloodLimits::of_client(),
            stream_window: windows.stream_window_bytes.unwrap_or(STREAM_WINDOW),
            connection_window: windows.connection_window_bytes.unwrap_or(CONNECTION_WINDOW),
            streams: terms.streams,
            limits: terms.limits,
        };
        Self {
            wire: Wire::new(socket, &config),
        }
    }

    /// Ready when a request came, with `None`, or with why the connection ended. All requests are
    /// to be taken before the next poll.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<End>> {
        let polled = self.wire.poll(cx);
        if self.wire.core().borrow().get().has_accepted() {
            return Poll::Ready(None);
        }
        polled.map(Some)
    }

    /// The next request that came.
    pub(crate) fn take(&mut self) -> Option<Request> {
        let core = self.wire.core();
        let accepted = core.borrow_mut().act().accept()?;
        let stream = Stream(stream::Stream::accepted(core, accepted.key));
        Some(match accepted.head {
            Ok(head) => Request::Whole(head, stream),
            Err(error) => Request::TooLarge(error, stream),
        })
    }

    /// Whether the client's first words came.
    pub(crate) fn is_greeted(&self) -> bool {
        self.wire.core().borrow().get().is_greeted()
    }

    /// Requests that are being answered.
    pub(crate) fn streams(&self) -> usize {
        self.wire.core().borrow().get().held_streams()
    }

    /// Gives back what a connection needs on which something happens.
    pub(crate) fn rest(&mut self) {
        let mut core = self.wire.core().borrow_mut();
        core.arrange().rest();
        core.done();
    }

    /// Takes no more requests than those that are on their way.
    pub(crate) fn shut_down(&mut self) {
        let mut core = self.wire.core().borrow_mut();
        core.act().shut_down();
        core.done();
    }

    /// Ends it at once, with a last word.
    pub(crate) async fn end(self, reason: Reason) {
        {
            let mut core = self.wire.core().borrow_mut();
            core.act().abort(reason);
            core.done();
        }
        self.wire.part().await;
    }
}

/// Gives the memory of a request's head back.
pub(crate) fn give(head: Box<RequestHead>) {
    with_memory(|memory| memory.give_request(head));
}

/// One request with its reply.
pub(crate) struct Stream(stream::Stream);

impl Stream {
    /// Puts out the head of the reply; `bodiless` when it is all of it.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) fn respond(&mut self, head: &ResponseHead, bodiless: bool) -> Result<(), Error> {
        self.0.respond(head, bodiless)
    }

    /// Ready when the client does not want its reply any more.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_gone(cx)
    }

    /// Ends the stream in the middle of a reply.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.0.reset(reason);
    }
}

impl Source for Stream {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        self.0.poll_fill(cx)
    }

    fn data(&self) -> &[u8] {
        self.0.data()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }

    fn is_last(&self) -> bool {
        self.0.is_last()
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.0.trailers()
    }
}

impl Sink for Stream {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>> {
        self.0.poll_send(cx, source)
    }

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Error> {
        self.0.end(trailers)
    }

    fn is_ended(&self) -> bool {
        self.0.is_ended()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.poll_flush(cx)
    }
}

//! A connection to an endpoint: many requests at a time.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use aviary_http::frames::FloodLimits;
use aviary_http::http2::{Config, End, Reason, Role};
use aviary_http::{Fields, RequestHead, ResponseHead};

use super::core::Shared;
use super::stream;
use super::wire::Wire;
use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::http::body::{Error, Fill, Sink, Source};
use crate::http::http1::LIMITS;
use crate::stream::Stream as Socket;
use crate::tls::Peer;

/// A connection on which requests go out; clones share it.
pub(crate) struct Connection {
    core: Shared,
    about: Rc<About>,
}

/// What does not change, and how many requests there are.
struct About {
    local: Option<SocketAddr>,
    tls: Option<Rc<Peer>>,
    open: Cell<usize>,
}

/// What drives a connection; it ends when the connection does.
pub(crate) type Driver = std::pin::Pin<Box<dyn Future<Output = ()>>>;

impl Connection {
    /// Starts to speak HTTP/2 on `socket`.
    pub(crate) fn start(socket: Socket) -> (Self, Driver) {
        let about = Rc::new(About {
            local: socket.local_addr().ok(),
            tls: socket.tls().cloned(),
            open: Cell::new(0),
        });
        let config = Config {
            role: Role::Client,
            flood: FloodLimits::of_endpoint(),
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            streams: 0,
            limits: LIMITS,
        };
        let mut wire = Wire::new(socket, &config);
        let core = Rc::clone(wire.core());
        let driver = async move {
            let end = poll_fn(|cx| {
                // Nobody but this knows it any more.
                if Rc::strong_count(wire.core()) == 1 {
                    wire.core().borrow_mut().act().abort(Reason::NO_ERROR);
                    return Poll::Ready(End::Done);
                }
                wire.poll(cx)
            })
            .await;
            tracing::debug!(reason = %end, "upstream connection ended");
            wire.part().await;
        };
        (Self { core, about }, Box::pin(driver))
    }

    /// Our end.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.about.local
    }

    /// Whether it can be used still.
    pub(crate) fn is_open(&self) -> bool {
        self.core.borrow().get().is_usable()
    }

    /// Streams under way.
    pub(crate) fn streams(&self) -> usize {
        self.about.open.get()
    }

    /// Whether the peer allows another stream now.
    pub(crate) fn has_room(&self) -> bool {
        self.streams() < self.core.borrow().get().stream_limit()
    }
}

impl Clone for Connection {
    fn clone(&self) -> Self {
        Self {
            core: Rc::clone(&self.core),
            about: Rc::clone(&self.about),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The last but the driver itself: it has nothing left to do.
        if Rc::strong_count(&self.core) <= 2 {
            self.core.borrow_mut().call_owner();
        }
    }
}

/// One request with its reply.
pub(crate) struct Stream {
    /// `None` before the head went out.
    begun: Option<stream::Stream>,
    answered: bool,
    connection: Connection,
}

impl Stream {
    /// A stream that has not begun.
    pub(crate) fn new(connection: Connection) -> Self {
        let open = &connection.about.open;
        open.set(open.get() + 1);
        Self {
            begun: None,
            answered: false,
            connection,
        }
    }

    /// Begins a request; ready when its head is on its way. `bodiless` when the head is all of it.
    pub(crate) fn poll_start(
        &mut self,
        cx: &mut Context<'_>,
        head: &RequestHead,
        bodiless: bool,
    ) -> Poll<Result<(), Error>> {
        let core = &self.connection.core;
        let stream = ready!(stream::Stream::poll_open(core, cx, head, bodiless))?;
        self.begun = Some(stream);
        Poll::Ready(Ok(()))
    }

    /// Waits for the head of the reply.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Error>> {
        let Some(stream) = &mut self.begun else {
            return Poll::Ready(Err(Error::Closed));
        };
        ready!(stream.poll_head(cx, head))?;
        self.answered = true;
        Poll::Ready(Ok(()))
    }

    /// Whether anything of the reply came.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Our end of the connection.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.connection.local()
    }

    /// Who the endpoint is; `None` when nothing is encrypted.
    pub(crate) fn tls(&self) -> Option<&Rc<Peer>> {
        self.connection.about.tls.as_ref()
    }

    /// Both messages are over.
    pub(crate) fn is_over(&self) -> bool {
        self.answered
            && self.is_ended()
            && self.begun.as_ref().is_none_or(stream::Stream::is_received)
    }

    /// Tells the endpoint that nobody waits any more.
    pub(crate) fn cancel(&mut self) {
        if let Some(stream) = &mut self.begun {
            stream.reset(Reason::CANCEL);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let open = &self.connection.about.open;
        open.set(open.get().saturating_sub(1));
    }
}

impl Source for Stream {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        match &mut self.begun {
            Some(stream) if self.answered => stream.poll_fill(cx),
            _ => Poll::Ready(Ok(Fill::End)),
        }
    }

    fn data(&self) -> &[u8] {
        self.begun.as_ref().map_or(&[], Source::data)
    }

    fn consume(&mut self, count: usize) {
        if let Some(stream) = &mut self.begun {
            stream.consume(count);
        }
    }

    fn is_last(&self) -> bool {
        self.begun.as_ref().is_none_or(Source::is_last)
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.begun.as_mut()?.trailers()
    }
}

impl Sink for Stream {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>> {
        match &mut self.begun {
            Some(stream) => stream.poll_send(cx, source),
            None => Poll::Ready(Err(Error::Closed)),
        }
    }

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Error> {
        match &mut self.begun {
            Some(stream) => stream.end(trailers),
            None => Err(Error::Closed),
        }
    }

    fn is_ended(&self) -> bool {
        self.begun.as_ref().is_none_or(Sink::is_ended)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &mut self.begun {
            Some(stream) => stream.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

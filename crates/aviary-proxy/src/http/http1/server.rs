//! A client's connection: requests come in, replies go out, in order.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aviary_http::parse::{self, Limits, Scanner};
use aviary_http::{Connection as Said, Fields, Framing, RequestHead, ResponseHead, Version};
use tokio::io::AsyncWrite as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::receive::Receive;
use super::send::Send;
use super::wire::Wire;
use crate::http::body::{Error, Fill, Side, Sink, Source};
use crate::http::buffer::Buffer;
use crate::http::ending::Ending;
use crate::http::heads;
use crate::http::terms::Terms;
use crate::http::timer::Timer;
use crate::stream::Stream;

/// What is still to come of a request whose reply is out is thrown away up to this size, in bytes,
/// so that the client reads the reply and not a reset.
const LINGER_LIMIT: usize = 256 << 10;

/// … and for at most this long.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// What comes next on a connection.
#[derive(Debug)]
pub(crate) enum Next {
    /// A request; its head is in place.
    Request,
    /// Nothing: the client is done, or was quiet for too long, or the proxy ends.
    Closed,
    /// Nothing for a while; it may still come.
    Quiet,
    /// The preface of HTTP/2.
    Http2,
    /// Something that is no request.
    Refused(aviary_http::Error),
    /// A head that did not end in time.
    TimedOut,
}

/// A connection on which requests come in.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact of an exchange, and any of them can hold together"
)]
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Wire,
    scanner: Scanner,
    receive: Receive,
    send: Send,
    /// The client waits for a word before it sends the body.
    expects_continue: bool,
    /// The connection ends with the reply under way.
    closing: bool,
    /// A request came.
    used: bool,
    /// The client sends no more.
    stopped: bool,
    timer: Timer,
    /// Until when the next request is waited for, since the wait began.
    idle: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            wire: Wire::new(stream),
            scanner: Scanner::default(),
            receive: Receive::new(Framing::None),
            send: Send::new(Framing::None),
            expects_continue: false,
            closing: false,
            used: false,
            stopped: false,
            timer: Timer::default(),
            idle: None,
        }
    }

    /// The timer of the exchange under way.
    pub(crate) fn timer(&mut self) -> &mut Timer {
        &mut self.timer
    }

    /// Waits for the next request as long as `terms` say; `ending` ends a wait for its first byte,
    /// and `patience` interrupts it. `head` gets one when there is something to read.
    ///
    /// # Errors
    /// When the socket fails.
    pub(crate) async fn next(
        &mut self,
        head: &mut Option<Box<RequestHead>>,
        terms: &Terms,
        ending: &mut Ending<'_, impl Future<Output = ()>>,
        patience: Option<Duration>,
    ) -> io::Result<Next> {
        // Set at the first wait, and anew when a head begins to come.
        let mut deadline: Option<Instant> = None;
        let mut began = false;
        poll_fn(|cx| {
            loop {
                if !self.wire.input.is_empty() {
                    if self.is_preface() {
                        return Poll::Ready(Ok(Next::Http2));
                    }
                    match self.scan(head, &terms.limits) {
                        Ok(true) => return Poll::Ready(Ok(Next::Request)),
                        Ok(false) => {}
                        Err(error) => return Poll::Ready(Ok(Next::Refused(error))),
                    }
                    if !began {
                        began = true;
                        deadline = Some(Instant::now() + terms.head);
                    }
                }
                match self.wire.poll_read(cx)? {
                    Poll::Ready(0) => return Poll::Ready(Ok(Next::Closed)),
                    Poll::Ready(_) => continue,
                    Poll::Pending => {}
                }
                if began || !ending.poll(cx) {
                    let deadline = *deadline.get_or_insert_with(|| {
                        let now = Instant::now();
                        let idle = *self.idle.get_or_insert_with(|| terms.wait_from(now));
                        patience.map_or(idle, |patience| idle.min(now + patience))
                    });
                    ready!(self.timer.poll(cx, deadline));
                    if !began && self.idle.is_some_and(|idle| deadline < idle) {
                        return Poll::Ready(Ok(Next::Quiet));
                    }
                }
                if began {
                    return Poll::Ready(Ok(Next::TimedOut));
                }
                if self.wire.stream.has_input() {
                    // A request that nobody has noticed yet; its event is on the way.
                    return Poll::Pending;
                }
                return Poll::Ready(Ok(Next::Closed));
            }
        })
        .await
    }

    /// Whether the client begins with the preface of HTTP/2 and not with a request.
    fn is_preface(&self) -> bool {
        !self.used && self.wire.input.data().starts_with(b"PRI * HTTP/2.0\r\n")
    }

    /// Reads a head out of what is there; false when it is not whole.
    fn scan(
        &mut self,
        head: &mut Option<Box<RequestHead>>,
        limits: &Limits,
    ) -> Result<bool, aviary_http::Error> {
        let input = self.wire.input.data();
        let head = head.get_or_insert_with(heads::take);
        let at_once = if self.scanner.has_begun() {
            None
        } else {
            parse::request_at_once(input, limits, head)
        };
        let end = if let Some(end) = at_once {
            end
        } else {
            let Some(end) = self.scanner.end(input, limits)? else {
                return Ok(false);
            };
            parse::request(&input[..end], limits, head)?;
            end
        };
        self.wire.input.consume(end);
        self.used = true;
        self.idle = None;
        self.receive = Receive::new(head.framing);
        self.send = Send::new(Framing::None);
        self.expects_continue = head.connection.expect_continue;
        self.closing = !head.connection.persists(head.version());
        Ok(true)
    }

    /// Whether the whole request was read.
    pub(crate) fn is_request_over(&self) -> bool {
        self.receive.is_over()
    }

    /// Reads away what has come of the request's body. A client that waits for a word before it
    /// sends one is not given it.
    pub(crate) fn skip_body(&mut self, cx: &mut Context<'_>) {
        let mut skipped = 0;
        while !self.expects_continue && !self.receive.is_over() && skipped < LINGER_LIMIT {
            match self.poll_fill(cx) {
                Poll::Ready(Ok(Fill::Data)) => {
                    skipped += self.data().len();
                    self.consume(self.data().len());
                }
                Poll::Ready(Ok(Fill::End) | Err(_)) | Poll::Pending => return,
            }
        }
    }

    /// Ends the connection with this reply.
    pub(crate) fn close_after(&mut self) {
        self.closing = true;
    }

    /// Puts out the head of a reply to a request that came with `version`. How the body is framed
    /// follows from `head.framing` and from that version.
    pub(crate) fn respond(&mut self, head: &ResponseHead, version: Version) {
        let framing = match head.framing {
            Framing::Chunked | Framing::Close if version == Version::Http10 => Framing::Close,
            Framing::Chunked | Framing::Close => Framing::Chunked,
            known => known,
        };
        self.closing |= framing == Framing::Close;
        let said = Said {
            close: self.closing,
            keep_alive: !self.closing && version == Version::Http10,
            upgrade: head.connection.upgrade.filter(|_| head.status() == 101),
            ..Said::default()
        };
        head.write_http1(self.wire.output.bytes(), framing, said);
        self.send = Send::new(framing);
        // A final answer makes the word to go on superfluous.
        self.expects_continue = false;
    }

    /// Whether the client can be given another reply: the exchange is over on both sides.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.closing && self.receive.is_over() && self.send.is_ended()
    }

    /// Ready when the client is gone for good. One that only stopped to send still gets its reply.
    /// What it sends ahead of its turn is kept, as far as there is room.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.receive.is_over() && !self.stopped && !self.wire.input.is_full() {
            match ready!(self.wire.poll_read(cx)) {
                Ok(0) => self.stopped = true,
                Ok(_) => {}
                Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    }

    /// Ends the connection so that what was written is read: no more is sent, and what the client
    /// still sends is thrown away for a while.
    pub(crate) async fn finish(mut self) {
        let flushed = poll_fn(|cx| self.wire.poll_flush(cx)).await;
        if flushed.is_err() {
            return;
        }
        if self.receive.is_over() && self.wire.input.is_empty() {
            if self.send.is_ended() && self.wire.stream.tls().is_some() {
                // Without TLS' own word for the end, the client cannot know that it has all.
                let _ = poll_fn(|cx| Pin::new(&mut self.wire.stream).poll_shutdown(cx)).await;
            }
            return;
        }
        let shut = poll_fn(|cx| Pin::new(&mut self.wire.stream).poll_shutdown(cx)).await;
        if shut.is_err() {
            return;
        }
        let drop_rest = async {
            let mut dropped = 0;
            while dropped < LINGER_LIMIT {
                self.wire.input.consume(self.wire.input.len());
                match poll_fn(|cx| self.wire.poll_read(cx)).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => dropped += count,
                }
            }
        };
        // When time is over there is nothing more that could be done for the client.
        let _ = tokio::time::timeout(LINGER_TIMEOUT, drop_rest).await;
    }

    /// The socket with what was read from it, once what is to be written is out.
    ///
    /// # Errors
    /// When the socket fails.
    pub(crate) async fn into_parts(mut self) -> io::Result<(Stream, Buffer)> {
        poll_fn(|cx| self.wire.poll_flush(cx)).await?;
        Ok((self.wire.stream, self.wire.input))
    }
}

impl Source for Connection {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        if self.expects_continue {
            self.expects_continue = false;
            if self.wire.input.is_empty() {
                let word = b"HTTP/1.1 100 Continue\r\n\r\n";
                self.wire.output.bytes().extend_from_slice(word);
            }
        }
        if !self.wire.output.is_empty() {
            let _ = self.wire.poll_flush(cx)?;
        }
        self.receive.poll_fill(&mut self.wire, cx)
    }

    fn data(&self) -> &[u8] {
        self.receive.data(&self.wire)
    }

    fn consume(&mut self, count: usize) {
        self.receive.consume(&mut self.wire, count);
    }

    fn is_last(&self) -> bool {
        self.receive.is_last()
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.receive.trailers()
    }

    fn direct(&mut self) -> Option<(&TcpStream, u64)> {
        if self.expects_continue || !self.wire.output.is_empty() {
            return None;
        }
        self.receive.direct(&mut self.wire)
    }

    fn took(&mut self, count: usize) {
        self.receive.took(count);
    }
}

impl Sink for Connection {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>> {
        self.send.poll_send(&mut self.wire, cx, source)
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Option<Poll<Result<usize, Side>>> {
        self.send.poll_splice(&self.wire, cx, source)
    }

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Error> {
        self.send.end(&mut self.wire, trailers)
    }

    fn is_ended(&self) -> bool {
        self.send.is_ended()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.wire.poll_flush(cx).map_err(Error::from)
    }
}

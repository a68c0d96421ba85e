//! A connection to an endpoint: requests go out, replies come in, one at a time.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use aviary_http::parse::{self, Scanner};
use aviary_http::{Fields, Framing, RequestHead, ResponseHead};
use tokio::net::TcpStream;

use super::receive::Receive;
use super::send::Send;
use super::wire::Wire;
use super::{INTERIM_LIMIT, LIMITS};
use crate::http::body::{Error, Fill, Side, Sink, Source};
use crate::http::buffer::Buffer;
use crate::stream::Stream;
use crate::tls::Peer;

/// A connection on which requests go out.
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
    local: Option<SocketAddr>,
    /// The request was a HEAD, whose reply has no body.
    bodiless: bool,
    /// Bytes of the reply came.
    answered: bool,
    /// The head of the reply is still to come.
    awaiting: bool,
    /// Interim replies that came.
    interim: u8,
    /// One side wants no more after this exchange.
    closing: bool,
}

impl Connection {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            local: stream.local_addr().ok(),
            wire: Wire::new(stream),
            scanner: Scanner::default(),
            receive: Receive::new(Framing::None),
            send: Send::new(Framing::None),
            bodiless: false,
            answered: false,
            awaiting: false,
            interim: 0,
            closing: false,
        }
    }

    /// Our end.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Who the endpoint is; `None` when nothing is encrypted.
    pub(crate) fn tls(&self) -> Option<&Rc<Peer>> {
        self.wire.stream.tls()
    }

    /// Begins a request. Nothing is written before the first flush or large piece of body.
    pub(crate) fn start(&mut self, head: &RequestHead, framing: Framing, upgrade: bool) {
        self.bodiless = head.method() == "HEAD";
        self.answered = false;
        self.awaiting = true;
        self.interim = 0;
        self.receive = Receive::new(Framing::None);
        self.send = Send::new(framing);
        head.write_http1(self.wire.output.bytes(), framing, upgrade);
    }

    /// Whether anything of the reply came.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Waits for the head of the reply; interim replies are passed over.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Error>> {
        loop {
            if let Some(end) = self.scan(head)? {
                self.wire.input.consume(end);
                if head.is_interim() {
                    self.interim += 1;
                    if self.interim > INTERIM_LIMIT {
                        return Poll::Ready(Err(Error::InterimFlood));
                    }
                    continue;
                }
                self.awaiting = false;
                self.receive = Receive::new(head.framing);
                self.closing |= !head.persists();
                return Poll::Ready(Ok(()));
            }
            if ready!(self.wire.poll_read(cx))? == 0 {
                return Poll::Ready(Err(Error::Closed));
            }
            self.answered = true;
        }
    }

    /// Reads a head out of what is there, and gives its length when it is whole.
    fn scan(&mut self, head: &mut ResponseHead) -> Result<Option<usize>, Error> {
        let input = self.wire.input.data();
        if input.is_empty() {
            return Ok(None);
        }
        if !self.scanner.has_begun() {
            let end = parse::response_at_once(input, self.bodiless, &LIMITS, head);
            if end.is_some() {
                return Ok(end);
            }
        }
        let end = self.scanner.end(input, &LIMITS)?;
        if let Some(end) = end {
            parse::response(&input[..end], self.bodiless, &LIMITS, head)?;
        }
        Ok(end)
    }

    /// Bytes of the request's body that were taken from the client and are not out yet.
    pub(crate) fn behind(&self) -> usize {
        self.send.behind()
    }

    /// Whether another request can be sent: the exchange is over on both sides, and nothing came
    /// that nobody asked for.
    pub(crate) fn is_reusable(&self) -> bool {
        !self.closing
            && !self.awaiting
            && self.receive.is_over()
            && self.send.is_ended()
            && self.wire.input.is_empty()
            && self.wire.output.is_empty()
    }

    /// Whether an idle connection is still good.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.wire.stream.is_quiet()
    }

    /// The socket with what was read from it, after a 101.
    pub(crate) fn into_tunnel(self) -> (Stream, Buffer) {
        (self.wire.stream, self.wire.input)
    }
}

impl Source for Connection {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
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

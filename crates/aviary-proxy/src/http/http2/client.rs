//! A connection to an endpoint: many requests at a time.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use aviary_http::frames::FloodLimits;
use aviary_http::{RequestHead, ResponseHead};
use bytes::Bytes;
use h2::Reason;
use h2::client::{Builder, ResponseFuture, SendRequest};

use super::guarded::Guarded;
use super::receive::Receive;
use super::send::Send;
use super::{CONNECTION_WINDOW, HEADER_LIST, SEND_BUFFER, STREAM_WINDOW};
use crate::http::body::{Error, Fill, Sink, Source};
use crate::http::http1::INTERIM_LIMIT;
use crate::stream::Stream as Socket;
use crate::tls::Peer;

/// A connection on which requests go out; clones share it.
#[derive(Clone)]
pub(crate) struct Connection {
    send: SendRequest<Bytes>,
    local: Option<SocketAddr>,
    tls: Option<Rc<Peer>>,
    open: Rc<Cell<usize>>,
    ended: Rc<Cell<bool>>,
}

/// What drives a connection; it ends when the connection does.
pub(crate) type Driver = std::pin::Pin<Box<dyn Future<Output = ()>>>;

impl Connection {
    /// Starts to speak HTTP/2 on `socket`.
    ///
    /// # Errors
    /// When the socket fails.
    pub(crate) async fn start(socket: Socket) -> Result<(Self, Driver), Error> {
        let local = socket.local_addr().ok();
        let tls = socket.tls().cloned();
        let (guarded, alarm) = Guarded::new(socket, &FloodLimits::of_endpoint());
        let (send, connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(HEADER_LIST)
            .enable_push(false)
            .handshake(guarded)
            .await?;
        let ended = Rc::new(Cell::new(false));
        let flag = Rc::clone(&ended);
        let driver = async move {
            let mut connection = pin!(connection);
            let ended = poll_fn(|cx| match (connection.as_mut().poll(cx), alarm.raised()) {
                (Poll::Pending, None) => Poll::Pending,
                (Poll::Ready(Err(error)), _) => Poll::Ready(error.to_string()),
                (_, Some(flood)) => Poll::Ready(flood.detail().to_owned()),
                (Poll::Ready(Ok(())), None) => Poll::Ready("closed".to_owned()),
            })
            .await;
            tracing::debug!(reason = %ended, "upstream connection ended");
            flag.set(true);
        };
        let connection = Self {
            send,
            local,
            tls,
            open: Rc::default(),
            ended,
        };
        Ok((connection, Box::pin(driver)))
    }

    /// Our end.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Whether it can be used still.
    pub(crate) fn is_open(&self) -> bool {
        !self.ended.get()
    }

    /// Streams under way.
    pub(crate) fn streams(&self) -> usize {
        self.open.get()
    }

    /// Whether the peer allows another stream now.
    pub(crate) fn has_room(&self) -> bool {
        self.open.get() < self.send.current_max_send_streams()
    }
}

/// Counts a stream while it lives.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// One request with its reply.
pub(crate) struct Stream {
    connection: Connection,
    response: Option<ResponseFuture>,
    send: Send,
    receive: Receive,
    /// The request was a HEAD, whose reply has no body.
    head_only: bool,
    answered: bool,
    /// Interim replies that came.
    interim: u8,
    _counted: Counted,
}

impl Stream {
    /// A stream that has not begun.
    pub(crate) fn new(connection: Connection) -> Self {
        connection.open.set(connection.open.get() + 1);
        Self {
            _counted: Counted(Rc::clone(&connection.open)),
            connection,
            response: None,
            send: Send::none(),
            receive: Receive::none(),
            head_only: false,
            answered: false,
            interim: 0,
        }
    }

    /// Begins a request; ready when its head is on its way. `bodiless` when the head is all of it.
    pub(crate) fn poll_start(
        &mut self,
        cx: &mut Context<'_>,
        head: &RequestHead,
        bodiless: bool,
    ) -> Poll<Result<(), Error>> {
        ready!(self.connection.send.poll_ready(cx))?;
        let request = head.to_h2()?;
        let (response, send) = self.connection.send.send_request(request, bodiless)?;
        self.head_only = head.method() == "HEAD";
        self.response = Some(response);
        self.send = Send::new(send, bodiless);
        Poll::Ready(Ok(()))
    }

    /// Waits for the head of the reply.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Error>> {
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(Error::Closed));
        };
        while let Poll::Ready(Some(interim)) = response.poll_informational(cx) {
            interim?;
            self.interim += 1;
            if self.interim > INTERIM_LIMIT {
                return Poll::Ready(Err(Error::InterimFlood));
            }
        }
        let response = ready!(std::pin::Pin::new(response).poll(cx))?;
        self.answered = true;
        let (parts, body) = response.into_parts();
        self.receive = Receive::new(body);
        *head = ResponseHead::from_h2(&parts, self.head_only, self.receive.is_over())?;
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
        self.connection.tls.as_ref()
    }

    /// Both messages are over.
    pub(crate) fn is_over(&self) -> bool {
        self.answered && self.receive.is_over() && self.send.is_ended()
    }

    /// Tells the endpoint that nobody waits any more.
    pub(crate) fn cancel(&mut self) {
        self.send.reset(Reason::CANCEL);
    }
}

impl Source for Stream {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        self.receive.poll_fill(cx)
    }

    fn data(&self) -> &[u8] {
        self.receive.data()
    }

    fn consume(&mut self, count: usize) {
        self.receive.consume(count);
    }

    fn take(&mut self) -> Bytes {
        self.receive.take()
    }

    fn is_last(&self) -> bool {
        self.receive.is_last()
    }

    fn trailers(&mut self) -> Option<aviary_http::Fields> {
        self.receive.trailers()
    }
}

impl Sink for Stream {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>> {
        self.send.poll_send(cx, source)
    }

    fn end(&mut self, trailers: Option<&aviary_http::Fields>) -> Result<(), Error> {
        self.send.end(trailers)
    }

    fn is_ended(&self) -> bool {
        self.send.is_ended()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.send.poll_flush(cx)
    }
}

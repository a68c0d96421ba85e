//! A client's connection: many requests at a time.

use std::task::{Context, Poll, ready};

use aviary_http::parse::Limits;
use aviary_http::{Fields, RequestHead, ResponseHead};
use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};

use super::receive::Receive;
use super::send::Send;
use super::{CODEC_HEADER_LIST, CONNECTION_WINDOW, SEND_BUFFER, STREAM_WINDOW};
use crate::http::body::{Error, Fill, Sink, Source};
use crate::http::terms::Terms;

/// How a client's connection is set up.
pub(crate) fn builder(terms: &Terms) -> server::Builder {
    let (stream, connection) = (
        terms.http2.stream_window_bytes,
        terms.http2.connection_window_bytes,
    );
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(stream.unwrap_or(STREAM_WINDOW))
        .initial_connection_window_size(connection.unwrap_or(CONNECTION_WINDOW))
        .max_send_buffer_size(SEND_BUFFER)
        .max_header_list_size(CODEC_HEADER_LIST)
        .max_concurrent_streams(terms.streams);
    builder
}

/// One request with its reply.
pub(crate) struct Stream {
    respond: SendResponse<Bytes>,
    send: Send,
    receive: Receive,
}

/// Why a request is not taken.
pub(crate) enum Refused {
    /// It is no proper message; the stream was reset.
    Reset(aviary_http::Error),
    /// Its head is too large; it is to be answered so.
    TooLarge(aviary_http::Error, Box<Stream>),
}

impl Stream {
    /// Splits a request that came into its head and its stream.
    ///
    /// # Errors
    /// Why the head is refused.
    pub(crate) fn accept(
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        limits: &Limits,
    ) -> Result<(RequestHead, Self), Refused> {
        let (parts, body) = request.into_parts();
        let receive = Receive::new(body);
        let head = RequestHead::from_h2(&parts, receive.is_over(), limits);
        if let Err(error) = head
            && error.status() == 400
        {
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return Err(Refused::Reset(error));
        }
        let stream = Self {
            respond,
            send: Send::none(),
            receive,
        };
        match head {
            Ok(head) => Ok((head, stream)),
            Err(error) => Err(Refused::TooLarge(error, Box::new(stream))),
        }
    }

    /// Puts out the head of the reply; `bodiless` when it is all of it.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) fn respond(&mut self, head: &ResponseHead, bodiless: bool) -> Result<(), Error> {
        let response = head.to_h2()?;
        let stream = self.respond.send_response(response, bodiless)?;
        self.send = Send::new(stream, bodiless);
        Ok(())
    }

    /// Ready when the client does not want its reply any more.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.send.is_ended() {
            return self.respond.poll_reset(cx).map(drop);
        }
        self.send.poll_reset(cx)
    }

    /// Ends the stream in the middle of a reply.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.send.reset(reason);
        self.respond.send_reset(reason);
    }
}

impl Source for Stream {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        Poll::Ready(ready!(self.receive.poll_fill(cx)))
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

    fn trailers(&mut self) -> Option<Fields> {
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

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Error> {
        self.send.end(trailers)
    }

    fn is_ended(&self) -> bool {
        self.send.is_ended()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.send.poll_flush(cx)
    }
}

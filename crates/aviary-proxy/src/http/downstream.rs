//! The client's side of one exchange, whatever it speaks.

use std::task::{Context, Poll};

use aviary_http::http2::Reason;
use aviary_http::{Fields, Framing, Name, ResponseHead, Version};
use bytes::Bytes;
use tokio::net::TcpStream;

use super::body::{Error, Fill, Kept, Side, Sink, Source, poll_move};
use super::timer::Timer;
use super::{http1, http2};

/// Where a request comes from and its reply goes to.
pub(crate) enum Downstream<'a> {
    /// A connection whose turn it is.
    Http1(&'a mut http1::server::Connection, Version),
    /// A stream.
    Http2(Box<http2::server::Stream>, Timer),
}

impl Downstream<'_> {
    /// The timer of this exchange.
    pub(crate) fn timer(&mut self) -> &mut Timer {
        match self {
            Self::Http1(connection, _) => connection.timer(),
            Self::Http2(_, timer) => timer,
        }
    }

    /// Puts out the head of the reply, whose body is framed as `head.framing` says or in the way
    /// that the client's protocol has for it.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) fn respond(&mut self, head: &ResponseHead) -> Result<(), Error> {
        match self {
            Self::Http1(connection, version) => {
                connection.respond(head, *version);
                Ok(())
            }
            Self::Http2(stream, _) => stream.respond(head, head.framing.is_empty()),
        }
    }

    /// Puts out a whole reply; to a request with HEAD, and with a status that has none, without
    /// its body.
    ///
    /// # Errors
    /// When the client is gone.
    pub(crate) async fn reply(
        &mut self,
        head: &mut ResponseHead,
        body: Bytes,
        is_head: bool,
    ) -> Result<(), Error> {
        let bodiless = matches!(head.status(), 204 | 304);
        if is_head && !bodiless {
            let length = body.len().to_string();
            head.fields.set(Name::ContentLength, length.as_bytes());
        }
        // HTTP/2 says that there is none by the end of the stream.
        let bodiless = bodiless || is_head || (body.is_empty() && !self.is_http1());
        head.framing = if bodiless {
            Framing::None
        } else {
            Framing::Length(body.len() as u64)
        };
        self.respond(head)?;
        let mut body = Kept(if bodiless { Bytes::new() } else { body });
        std::future::poll_fn(|cx| poll_move(cx, &mut body, self, &mut 0))
            .await
            .map_err(Side::into_error)
    }

    /// Reads away what has come of a request that is answered without it. When more is to come,
    /// the connection ends with the reply: it would be taken for the next request.
    pub(crate) async fn skip_request(&mut self) {
        let Self::Http1(connection, _) = self else {
            return;
        };
        std::future::poll_fn(|cx| {
            connection.skip_body(cx);
            Poll::Ready(())
        })
        .await;
        if !connection.is_request_over() {
            connection.close_after();
        }
    }

    /// Whether it is HTTP/1.
    pub(crate) fn is_http1(&self) -> bool {
        matches!(self, Self::Http1(..))
    }

    /// No other request is taken on the connection after this one.
    pub(crate) fn close_after(&mut self) {
        if let Self::Http1(connection, _) = self {
            connection.close_after();
        }
    }

    /// Ready when nobody waits for the reply any more. A client of HTTP/1 that only stopped to
    /// send still gets it.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(connection, _) => connection.poll_gone(cx),
            Self::Http2(stream, _) => stream.poll_gone(cx),
        }
    }

    /// Breaks the reply off, so that the client sees that it is not whole.
    pub(crate) fn abort(&mut self) {
        match self {
            Self::Http1(connection, _) => connection.close_after(),
            Self::Http2(stream, _) => stream.reset(Reason::INTERNAL_ERROR),
        }
    }

    /// The reply is out; what is left of the request is not wanted.
    pub(crate) fn finish(&mut self) {
        match self {
            Self::Http1(connection, _) => {
                if !connection.is_request_over() {
                    connection.close_after();
                }
            }
            // The codec resets the stream when it goes, behind the reply. A reset of our own would
            // overtake a reply that is not written yet.
            Self::Http2(..) => {}
        }
    }
}

impl Source for Downstream<'_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        match self {
            Self::Http1(connection, _) => connection.poll_fill(cx),
            Self::Http2(stream, _) => stream.poll_fill(cx),
        }
    }

    fn data(&self) -> &[u8] {
        match self {
            Self::Http1(connection, _) => connection.data(),
            Self::Http2(stream, _) => stream.data(),
        }
    }

    fn consume(&mut self, count: usize) {
        match self {
            Self::Http1(connection, _) => connection.consume(count),
            Self::Http2(stream, _) => stream.consume(count),
        }
    }

    fn is_last(&self) -> bool {
        match self {
            Self::Http1(connection, _) => connection.is_last(),
            Self::Http2(stream, _) => stream.is_last(),
        }
    }

    fn trailers(&mut self) -> Option<Fields> {
        match self {
            Self::Http1(connection, _) => connection.trailers(),
            Self::Http2(stream, _) => stream.trailers(),
        }
    }

    fn direct(&mut self) -> Option<(&TcpStream, u64)> {
        match self {
            Self::Http1(connection, _) => connection.direct(),
            Self::Http2(..) => None,
        }
    }

    fn took(&mut self, count: usize) {
        match self {
            Self::Http1(connection, _) => connection.took(count),
            Self::Http2(..) => {}
        }
    }
}

impl Sink for Downstream<'_> {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>> {
        match self {
            Self::Http1(connection, _) => connection.poll_send(cx, source),
            Self::Http2(stream, _) => stream.poll_send(cx, source),
        }
    }

    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Option<Poll<Result<usize, Side>>> {
        match self {
            Self::Http1(connection, _) => connection.poll_splice(cx, source),
            Self::Http2(..) => None,
        }
    }

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Error> {
        match self {
            Self::Http1(connection, _) => connection.end(trailers),
            Self::Http2(stream, _) => stream.end(trailers),
        }
    }

    fn is_ended(&self) -> bool {
        match self {
            Self::Http1(connection, _) => connection.is_ended(),
            Self::Http2(stream, _) => stream.is_ended(),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self {
            Self::Http1(connection, _) => connection.poll_flush(cx),
            Self::Http2(stream, _) => stream.poll_flush(cx),
        }
    }
}

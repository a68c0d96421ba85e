//! A body as it goes out on a stream.

use std::task::{Context, Poll, ready};

use aviary_http::Fields;
use bytes::Bytes;
use h2::{Reason, SendStream};

use crate::http::body::{Error, Sink, Source};

/// The outgoing half of a stream.
pub(crate) struct Send {
    /// `None` before the head went out.
    stream: Option<SendStream<Bytes>>,
    ended: bool,
}

impl Send {
    /// Of a message whose head went out; `ended` when the head was all of it.
    pub(super) fn new(stream: SendStream<Bytes>, ended: bool) -> Self {
        Self {
            stream: Some(stream),
            ended,
        }
    }

    /// Of a message that has not begun.
    pub(super) fn none() -> Self {
        Self {
            stream: None,
            ended: true,
        }
    }

    /// Ends the stream before its time.
    pub(crate) fn reset(&mut self, reason: Reason) {
        if let Some(stream) = &mut self.stream {
            stream.send_reset(reason);
        }
        self.ended = true;
    }

    /// Ready when the peer ended the stream.
    pub(super) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.stream {
            Some(stream) => stream.poll_reset(cx).map(drop),
            None => Poll::Pending,
        }
    }
}

impl Sink for Send {
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(Error::Closed));
        };
        let want = source.data().len();
        stream.reserve_capacity(want);
        let mut room = stream.capacity();
        while room == 0 {
            room = match ready!(stream.poll_capacity(cx)) {
                Some(room) => room?,
                None => return Poll::Ready(Err(Error::Closed)),
            };
        }
        let last = source.is_last() && room >= want;
        let piece = if room >= want {
            source.take()
        } else {
            let piece = Bytes::copy_from_slice(&source.data()[..room]);
            source.consume(room);
            piece
        };
        let count = piece.len();
        stream.send_data(piece, last)?;
        self.ended = last;
        Poll::Ready(Ok(count))
    }

    fn end(&mut self, trailers: Option<&Fields>) -> Result<(), Error> {
        let Some(stream) = &mut self.stream else {
            return Err(Error::Closed);
        };
        if self.ended {
            return Ok(());
        }
        match trailers {
            Some(fields) => {
                let fields = fields.to_h2_trailers()?;
                stream.send_trailers(fields)?;
            }
            None => stream.send_data(Bytes::new(), true)?,
        }
        self.ended = true;
        Ok(())
    }

    fn is_ended(&self) -> bool {
        self.ended
    }

    /// The connection's own task writes.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
}

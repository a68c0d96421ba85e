//! A body as it comes in on a stream.

use std::task::{Context, Poll, ready};

use aviary_http::Fields;
use bytes::{Buf, Bytes};
use h2::RecvStream;

use crate::http::body::{Error, Fill, Source};

/// The incoming half of a stream.
pub(crate) struct Receive {
    /// `None` when there is no body.
    stream: Option<RecvStream>,
    piece: Bytes,
    trailers: Option<Fields>,
    ended: bool,
}

impl Receive {
    pub(super) fn new(stream: RecvStream) -> Self {
        let ended = stream.is_end_stream();
        Self {
            stream: (!ended).then_some(stream),
            piece: Bytes::new(),
            trailers: None,
            ended,
        }
    }

    /// Of a message that has not begun.
    pub(super) fn none() -> Self {
        Self {
            stream: None,
            piece: Bytes::new(),
            trailers: None,
            ended: true,
        }
    }

    /// All of it was read and taken.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.piece.is_empty()
    }

    fn release(&mut self, count: usize) {
        if let Some(stream) = &mut self.stream {
            // Fails only for more than was received.
            let _ = stream.flow_control().release_capacity(count);
        }
    }
}

impl Source for Receive {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        loop {
            if !self.piece.is_empty() {
                return Poll::Ready(Ok(Fill::Data));
            }
            let Some(stream) = &mut self.stream else {
                return Poll::Ready(Ok(Fill::End));
            };
            if self.ended {
                return Poll::Ready(Ok(Fill::End));
            }
            match ready!(stream.poll_data(cx)) {
                Some(Ok(piece)) => {
                    self.piece = piece;
                    self.ended = stream.is_end_stream();
                }
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                None => {
                    if let Some(fields) = ready!(stream.poll_trailers(cx))? {
                        let fields = Fields::from_h2_trailers(&fields)?;
                        self.trailers = Some(fields);
                    }
                    self.ended = true;
                }
            }
        }
    }

    fn data(&self) -> &[u8] {
        &self.piece
    }

    fn consume(&mut self, count: usize) {
        self.piece.advance(count);
        self.release(count);
    }

    fn take(&mut self) -> Bytes {
        let piece = std::mem::take(&mut self.piece);
        self.release(piece.len());
        piece
    }

    fn is_last(&self) -> bool {
        self.ended
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}

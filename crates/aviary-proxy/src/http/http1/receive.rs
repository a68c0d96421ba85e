//! A body as it comes in.

use std::task::{Context, Poll, ready};

use aviary_http::body::{Decoder, Step};
use aviary_http::{Fields, Framing};
use tokio::net::TcpStream;

use super::wire::Wire;
use crate::http::body::{Error, Fill};

#[derive(Debug)]
pub(super) struct Receive {
    decoder: Decoder,
    /// Bytes at the start of the input that belong to the body.
    ready: usize,
    ended: bool,
    trailers: Option<Fields>,
}

impl Receive {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            decoder: Decoder::new(framing),
            ready: 0,
            ended: framing.is_empty(),
            trailers: None,
        }
    }

    /// All of it was read and taken.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.ready == 0
    }

    pub(super) fn poll_fill(
        &mut self,
        wire: &mut Wire,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Fill, Error>> {
        loop {
            if self.ready > 0 {
                return Poll::Ready(Ok(Fill::Data));
            }
            if self.ended {
                return Poll::Ready(Ok(Fill::End));
            }
            if self.advance(wire)? {
                continue;
            }
            if ready!(wire.poll_read(cx))? == 0 {
                if !self.decoder.may_close() {
                    return Poll::Ready(Err(Error::Closed));
                }
                self.ended = true;
            }
        }
    }

    /// Decodes what is there; false when more must be read first.
    fn advance(&mut self, wire: &mut Wire) -> Result<bool, Error> {
        let step = self.decoder.decode(wire.input.data())?;
        match step {
            Step::More { consumed } => {
                wire.input.consume(consumed);
                Ok(false)
            }
            Step::Data { skip, len } => {
                wire.input.consume(skip);
                self.ready = len;
                Ok(true)
            }
            Step::End { consumed, trailers } => {
                wire.input.consume(consumed);
                self.trailers = trailers;
                self.ended = true;
                Ok(true)
            }
        }
    }

    pub(super) fn data<'a>(&self, wire: &'a Wire) -> &'a [u8] {
        &wire.input.data()[..self.ready]
    }

    pub(super) fn consume(&mut self, wire: &mut Wire, count: usize) {
        wire.input.consume(count);
        self.ready -= count;
        if self.ready == 0 && self.decoder.is_done() {
            self.ended = true;
        }
    }

    /// The socket from which the rest comes as it is, and how many bytes that is.
    pub(super) fn direct<'a>(&self, wire: &'a mut Wire) -> Option<(&'a TcpStream, u64)> {
        let left = self.decoder.remaining().filter(|left| *left > 0)?;
        if self.ready > 0 || !wire.input.is_empty() {
            return None;
        }
        wire.input.release();
        Some((wire.stream.plain()?, left))
    }

    /// So many bytes were taken from there.
    pub(super) fn took(&mut self, count: usize) {
        self.decoder.advance(count as u64);
        self.ended |= self.decoder.is_done();
    }

    /// Nothing comes after the bytes that are there.
    pub(super) fn is_last(&self) -> bool {
        self.decoder.is_done()
    }

    pub(super) fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}

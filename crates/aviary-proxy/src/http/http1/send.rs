//! A body as it goes out.

use std::task::{Context, Poll, ready};

use aviary_http::body::{write_chunk_head, write_last_chunk};
use aviary_http::{Fields, Framing};

use super::wire::Wire;
use crate::http::body::{Error, Side, Source};
use crate::splice::Way;

/// Output up to this size is put together before it is written, in bytes; over it bytes are
/// written from where they lie.
const TOGETHER: usize = 16 << 10;

/// With so much still to come a body is spliced, in bytes: a pipe has to be fetched and two more
/// sockets be asked, which a few reads cost as well.
const SPLICED: u64 = 64 << 10;

/// What is spliced at a time, in bytes: it is what a stalled reader leaves in the kernel.
const PIECE: u64 = 256 << 10;

/// Pipes of a thread that messages may hold at a time; what comes beyond is copied.
const PIPES: usize = 64;

#[derive(Debug)]
pub(super) struct Send {
    framing: Framing,
    /// Bytes until the end of the body, or of the chunk that was begun.
    left: u64,
    ended: bool,
    /// It is spliced, to its end.
    splices: bool,
    /// What is under way in the kernel.
    way: Way,
}

impl Send {
    pub(super) fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(length) => length,
            _ => 0,
        };
        Self {
            framing,
            left,
            ended: framing.is_empty(),
            splices: false,
            way: Way::default(),
        }
    }

    /// Bytes that were taken from a source and are not out yet.
    pub(super) fn behind(&self) -> usize {
        self.way.held()
    }

    /// Moves bytes on from socket to socket; `None` where they are to be copied.
    pub(super) fn poll_splice(
        &mut self,
        wire: &Wire,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Option<Poll<Result<usize, Side>>> {
        if self.left < SPLICED && !self.splices || !matches!(self.framing, Framing::Length(_)) {
            return None;
        }
        let to = wire.stream.plain()?;
        if self.way.held() == 0 {
            if !wire.output.is_empty() {
                return None;
            }
            let (from, left) = source.direct()?;
            if left != self.left || !self.way.prepare(PIPES) {
                return None;
            }
            self.splices = true;
            let filled = match self.way.poll_fill(cx, from, left.min(PIECE)) {
                Poll::Pending => return Some(Poll::Pending),
                Poll::Ready(Ok(0)) => Err(Error::Closed),
                Poll::Ready(filled) => filled.map_err(Error::from),
            };
            match filled {
                Ok(count) => source.took(count),
                Err(error) => return Some(Poll::Ready(Err(Side::Source(error)))),
            }
        }
        let drained = match self.way.poll_drain(cx, to) {
            Poll::Pending => return Some(Poll::Pending),
            Poll::Ready(drained) => drained.map_err(|error| Side::Sink(error.into())),
        };
        if let Ok(count) = drained {
            self.left -= count as u64;
            self.ended = self.left == 0;
            if self.ended {
                self.way.rest();
            }
        }
        Some(Poll::Ready(drained))
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn poll_send(
        &mut self,
        wire: &mut Wire,
        cx: &mut Context<'_>,
        source: &mut impl Source,
    ) -> Poll<Result<usize, Error>> {
        let data = source.data();
        if self.framing == Framing::Chunked && self.left == 0 {
            // A chunk head waits at most for one chunk before it.
            ready!(Self::poll_together(wire, cx))?;
            write_chunk_head(wire.output.bytes(), data.len());
            self.left = data.len() as u64;
        }
        let most = match self.framing {
            Framing::Close => data.len(),
            _ => usize::try_from(self.left).map_or(data.len(), |left| left.min(data.len())),
        };
        if most == 0 {
            return Poll::Ready(Err(aviary_http::Error::LengthMismatch.into()));
        }
        let data = &data[..most];
        let count = if wire.output.len() + most <= TOGETHER {
            wire.output.bytes().extend_from_slice(data);
            most
        } else {
            ready!(wire.poll_write(cx, data))?
        };
        source.consume(count);
        if self.framing != Framing::Close {
            self.left -= count as u64;
        }
        if self.left == 0 {
            match self.framing {
                Framing::Chunked => wire.output.bytes().extend_from_slice(b"\r\n"),
                Framing::Length(_) => self.ended = true,
                Framing::None | Framing::Close => {}
            }
        }
        Poll::Ready(Ok(count))
    }

    /// Makes sure that little waits in the output.
    fn poll_together(wire: &mut Wire, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if wire.output.len() > TOGETHER / 2 {
            ready!(wire.poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn end(&mut self, wire: &mut Wire, trailers: Option<&Fields>) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        match self.framing {
            Framing::Chunked => write_last_chunk(wire.output.bytes(), trailers),
            Framing::Length(_) => return Err(aviary_http::Error::LengthMismatch.into()),
            Framing::None | Framing::Close => {}
        }
        self.ended = true;
        Ok(())
    }
}

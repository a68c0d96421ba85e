//! A connection with what was read from it and what is to be written to it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::http::buffer::{Buffer, Output};
use crate::stream::Stream;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: Stream,
    pub(super) input: Buffer,
    pub(super) output: Output,
    /// Much flows: the last read filled all of its room.
    wide: bool,
    /// The last read found nothing, so that the next one is likely to find something.
    awaits: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            input: Buffer::default(),
            output: Output::default(),
            wide: false,
            awaits: false,
        }
    }

    /// Reads what there is; 0 at the end of the stream, or when no more can be held.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.input.holds_nothing() && !self.awaits {
            // The first look mostly finds nothing: it takes no storage.
            let readable = self.stream.poll_readable(cx);
            self.awaits = readable.is_pending();
            ready!(readable)?;
        }
        let room = self.input.room(self.wide);
        let size = room.len();
        let mut room = ReadBuf::new(room);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut room);
        let count = room.filled().len();
        self.awaits = read.is_pending();
        if self.awaits {
            self.input.release();
        }
        ready!(read)?;
        self.input.filled(count);
        self.wide = count == size;
        Poll::Ready(Ok(count))
    }

    /// Writes the output, then of `data` what the system takes; gives how many bytes of `data`
    /// that was, at least one.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            let count = if self.output.is_empty() {
                ready!(Pin::new(&mut self.stream).poll_write(cx, data))?
            } else {
                let slices = [IoSlice::new(self.output.rest()), IoSlice::new(data)];
                ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &slices))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let own = count.min(self.output.len());
            if own > 0 {
                self.output.wrote(own);
            }
            if count > own {
                return Poll::Ready(Ok(count - own));
            }
        }
    }

    /// Writes the output.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, self.output.rest()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.wrote(count);
        }
        // Of a plain connection this asks nothing of the system.
        Pin::new(&mut self.stream).poll_flush(cx)
    }
}

//! A connection whose frames are counted as they pass by.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use aviary_http::frames::{Flood, FloodLimits, Guard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TURN;
use crate::stream::Stream;

/// Says that the peer sent too much of something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Alarm(Rc<Cell<Option<Flood>>>);

impl Alarm {
    /// Ends the connection for this.
    pub(crate) fn raise(&self, flood: Flood) {
        self.0.set(Some(flood));
    }

    /// What it sent too much of.
    pub(crate) fn raised(&self) -> Option<Flood> {
        self.0.get()
    }
}

/// A socket that the codec reads and writes. After an alarm nothing is read any more: whoever
/// drives the connection looks at the alarm and ends it.
pub(crate) struct Guarded {
    stream: Stream,
    guard: Guard,
    epoch: Instant,
    alarm: Alarm,
    /// Bytes read since the neighbours had their turn.
    read: usize,
}

impl Guarded {
    pub(crate) fn new(stream: Stream, limits: &FloodLimits) -> (Self, Alarm) {
        let alarm = Alarm::default();
        let guarded = Self {
            stream,
            guard: Guard::new(limits),
            epoch: Instant::now(),
            alarm: alarm.clone(),
            read: 0,
        };
        (guarded, alarm)
    }

    fn judge(&mut self, seen: Result<(), Flood>) {
        if let Err(flood) = seen {
            self.alarm.raise(flood);
        }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        let seen = self.guard.see_sent(bytes, self.epoch.elapsed());
        self.judge(seen);
    }
}

/// Pending until all that is ready was looked at, other sockets as well.
fn give_way<T>(cx: &mut Context<'_>) -> Poll<T> {
    // Its first poll asks for a wake-up after the next look at the sockets; a waker by itself would
    // be called before that.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
    Poll::Pending
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.alarm.raised().is_some() {
            return Poll::Pending;
        }
        if self.read >= TURN {
            // The codec reads on as long as there is something, and does not give away what it has.
            self.read = 0;
            return give_way(cx);
        }
        let before = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, buf) else {
            self.read = 0;
            return Poll::Pending;
        };
        read?;
        self.read += buf.filled().len() - before;
        let now = self.epoch.elapsed();
        let seen = self.guard.see(&buf.filled()[before..], now);
        if seen.is_err() {
            // What came with it is not looked at.
            buf.set_filled(before);
            self.judge(seen);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(cx, buf))?;
        self.wrote(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs))?;
        let mut left = count;
        for piece in bufs {
            let part = left.min(piece.len());
            self.wrote(&piece[..part]);
            left -= part;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

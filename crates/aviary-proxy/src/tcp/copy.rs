//! Passing bytes through this process, where one side is encrypted.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::splice::Counts;
use crate::stream::Stream;

/// Sizes of buffers: a direction begins with the smallest and takes the next one when a read has
/// filled it.
const SIZES: [usize; 3] = [1 << 10, 16 << 10, 256 << 10];

/// Buffers of each size that a thread keeps for the next connection.
const KEPT: usize = 8;

thread_local! {
    static BUFFERS: RefCell<[Vec<Box<[u8]>>; 3]> = const { RefCell::new([const { Vec::new() }; 3]) };
}

/// One direction.
#[derive(Default)]
struct Way {
    /// Held while bytes are on their way only.
    buffer: Option<Box<[u8]>>,
    size: usize,
    sent: usize,
    filled: usize,
    unflushed: bool,
    ended: bool,
}

impl Way {
    /// Moves what can be moved; ready when the end of `from` was passed on.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        moved: &Cell<u64>,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.sent < self.filled {
                let Some(buffer) = &self.buffer else { break };
                let rest = &buffer[self.sent..self.filled];
                self.sent += ready!(Pin::new(&mut *to).poll_write(cx, rest))?;
                self.unflushed = true;
            }
            if self.ended {
                self.rest();
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                // Who has left already does not need to know that nothing more comes.
                return Pin::new(to).poll_shutdown(cx).map(|_| Ok(()));
            }
            if self.poll_fill(cx, from)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
            moved.set(moved.get() + self.filled as u64);
        }
    }

    /// Reads into a buffer; none is held while there is nothing to read.
    fn poll_fill(&mut self, cx: &mut Context<'_>, from: &mut Stream) -> Poll<io::Result<()>> {
        if from.poll_readable(cx)?.is_pending() {
            self.rest();
            return Poll::Pending;
        }
        let size = SIZES[self.size];
        let buffer = self.buffer.get_or_insert_with(|| {
            let kept = BUFFERS.with_borrow_mut(|buffers| buffers[self.size].pop());
            kept.unwrap_or_else(|| vec![0; size].into_boxed_slice())
        });
        let mut room = ReadBuf::new(buffer);
        let read = Pin::new(from).poll_read(cx, &mut room)?;
        (self.sent, self.filled) = (0, room.filled().len());
        if read.is_pending() {
            self.rest();
            return Poll::Pending;
        }
        self.ended = self.filled == 0;
        let filled = self.filled;
        if filled == size && self.size + 1 < SIZES.len() {
            self.grow();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the next size, with what is in the buffer.
    fn grow(&mut self) {
        let Some(old) = self.buffer.take() else {
            return;
        };
        let kept = BUFFERS.with_borrow_mut(|buffers| buffers[self.size + 1].pop());
        let mut new = kept.unwrap_or_else(|| vec![0; SIZES[self.size + 1]].into_boxed_slice());
        new[..old.len()].copy_from_slice(&old);
        keep(self.size, old);
        self.size += 1;
        self.buffer = Some(new);
    }

    /// Gives the buffer to others; the next one is small again.
    fn rest(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            keep(self.size, buffer);
        }
        self.size = 0;
    }
}

fn keep(size: usize, buffer: Box<[u8]>) {
    BUFFERS.with_borrow_mut(|buffers| {
        if buffers[size].len() < KEPT {
            buffers[size].push(buffer);
        }
    });
}

/// Passes bytes both ways, each to its own end, which is passed on too.
///
/// # Errors
/// When one of the connections breaks.
pub(super) async fn both(
    client: &mut Stream,
    endpoint: &mut Stream,
    counts: &Counts,
) -> io::Result<()> {
    let (mut up, mut down) = (Way::default(), Way::default());
    let (mut up_open, mut down_open) = (true, true);
    poll_fn(|cx| {
        if up_open && up.poll(cx, client, endpoint, &counts.received)?.is_ready() {
            up_open = false;
        }
        if down_open && down.poll(cx, endpoint, client, &counts.sent)?.is_ready() {
            down_open = false;
        }
        if up_open || down_open {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    })
    .await
}

//! The socket of a connection, and the task that owns it.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use aviary_http::http2::{Config, End};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::core::{Core, Shared, with_memory};
use super::{FAREWELL, TURN};
use crate::http::buffer::Buffer;
use crate::stream::Stream as Socket;

/// Whether writing waits until the tasks that were woken have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    No,
    /// The owner has something to do before it is polled as the last of all.
    ForOwner,
    /// It was woken as the last of all.
    ForOthers,
}

/// The socket of a connection.
pub(super) struct Wire {
    socket: Socket,
    core: Shared,
    input: Buffer,
    epoch: Instant,
    /// Much flows: the last read filled all of its room.
    wide: bool,
    /// Bytes read since the neighbours had their turn.
    read: usize,
    /// Bytes were written and not flushed.
    is_dirty: bool,
    waits: Waits,
}

impl Wire {
    pub(super) fn new(socket: Socket, config: &Config) -> Self {
        Self {
            socket,
            core: Core::new(config),
            input: Buffer::default(),
            epoch: Instant::now(),
            wide: false,
            read: 0,
            is_dirty: false,
            waits: Waits::No,
        }
    }

    pub(super) fn core(&self) -> &Shared {
        &self.core
    }

    /// Reads, wakes and writes; ready when the connection ended. When requests came they are to
    /// be taken, and this polled again, in the same turn of the task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.waits == Waits::ForOwner {
            self.waits = Waits::ForOthers;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.waits = Waits::No;
        self.core.borrow_mut().owner_runs(cx);
        self.write(cx);
        let woke = self.read(cx);
        if !self.core.borrow().get().output().is_empty() {
            if woke {
                self.wait_for_others(cx);
            } else {
                self.write(cx);
            }
        }
        let mut core = self.core.borrow_mut();
        core.arrange().end_if_done();
        match core.get().end() {
            Some(end) => Poll::Ready(end),
            None => Poll::Pending,
        }
    }

    /// Those that were woken have something to say as well.
    fn wait_for_others(&mut self, cx: &mut Context<'_>) {
        if self.core.borrow().get().has_accepted() {
            self.waits = Waits::ForOwner;
        } else {
            self.waits = Waits::ForOthers;
            cx.waker().wake_by_ref();
        }
    }

    /// Reads what there is, within a turn; says whether anybody has something to do about it.
    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let mut woke = false;
        while self.core.borrow().get().wants_input() {
            if self.read >= TURN {
                self.read = 0;
                give_way(cx);
                break;
            }
            let room = self.input.room(self.wide);
            let size = room.len();
            let mut buffer = ReadBuf::new(room);
            let read = Pin::new(&mut self.socket).poll_read(cx, &mut buffer);
            let count = buffer.filled().len();
            match read {
                Poll::Pending => {
                    self.read = 0;
                    break;
                }
                Poll::Ready(Ok(())) if count > 0 => {}
                Poll::Ready(_) => {
                    self.close();
                    return true;
                }
            }
            self.input.filled(count);
            self.wide = count == size;
            self.read += count;
            woke |= self.take_in();
        }
        self.input.release();
        woke
    }

    fn take_in(&mut self) -> bool {
        let mut core = self.core.borrow_mut();
        let now = self.epoch.elapsed();
        let connection = core.act();
        let input = self.input.data();
        let count = with_memory(|memory| connection.receive(input, now, memory));
        self.input.consume(count);
        connection.grant();
        let has_accepted = connection.has_accepted();
        core.done() || has_accepted
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(_)) = self.poll_write(cx) {
            return self.close();
        }
        let mut core = self.core.borrow_mut();
        core.arrange().grant();
        core.done();
        core.rest();
    }

    /// Writes all that is to be written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut core = self.core.borrow_mut();
        loop {
            let output = core.get().output();
            if output.is_empty() {
                break;
            }
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, output))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            core.act().wrote(count);
            self.is_dirty = true;
        }
        if self.is_dirty {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.is_dirty = false;
        }
        Poll::Ready(Ok(()))
    }

    fn close(&mut self) {
        let mut core = self.core.borrow_mut();
        core.act().closed();
        core.done();
    }

    /// Says the last word, and closes the socket.
    pub(super) async fn part(mut self) {
        let rest = std::future::poll_fn(|cx| {
            ready!(self.poll_write(cx))?;
            Pin::new(&mut self.socket).poll_shutdown(cx)
        });
        // Whoever does not take it does not get it.
        let _ = tokio::time::timeout(FAREWELL, rest).await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.close();
    }
}

/// Has the task woken once all that is ready was looked at, other sockets as well.
fn give_way(cx: &mut Context<'_>) {
    // Its first poll asks for a wake-up after the next look at the sockets; a waker by itself would
    // be called before that.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

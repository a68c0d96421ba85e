//! Passing plain bytes from socket to socket inside the kernel.
//!
//! A direction borrows a pipe of its thread while bytes are on their way through it, and holds none
//! while it waits.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Bytes that a pipe is to hold. A system that gives less is asked only once per pipe.
const CAPACITY: usize = 512 << 10;

/// Pipes that a thread keeps for the next connection.
const KEPT: usize = 32;

thread_local! {
    static PIPES: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
    /// Pipes that are lent out.
    static LENT: Cell<usize> = const { Cell::new(0) };
}

/// An empty pipe.
#[derive(Debug)]
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

impl Pipe {
    fn take() -> io::Result<Self> {
        let pipe = match PIPES.with_borrow_mut(Vec::pop) {
            Some(pipe) => pipe,
            None => Self::open()?,
        };
        LENT.set(LENT.get() + 1);
        Ok(pipe)
    }

    fn open() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Source: pipe(7): 64 KiB when the user may not have more.
        let capacity = fcntl_setpipe_size(&write, CAPACITY).unwrap_or(64 << 10);
        Ok(Self {
            read,
            write,
            capacity,
        })
    }

    fn give_back(self) {
        LENT.set(LENT.get().saturating_sub(1));
        PIPES.with_borrow_mut(|pipes| {
            if pipes.len() < KEPT {
                pipes.push(self);
            }
        });
    }
}

/// Pipes of the thread that are lent out.
#[cfg(test)]
pub(crate) fn lent() -> usize {
    LENT.get()
}

/// One direction, on its way through a pipe.
#[derive(Debug, Default)]
pub(crate) struct Way {
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
}

impl Way {
    /// Bytes that were read and not written yet.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Borrows a pipe, when it has none; false when there is none to be had.
    pub(crate) fn prepare(&mut self, most_lent: usize) -> bool {
        if self.pipe.is_none() && LENT.get() < most_lent {
            self.pipe = Pipe::take().ok();
        }
        self.pipe.is_some()
    }

    /// Writes of what is held what `to` takes now, and gives how much that was.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &TcpStream,
    ) -> Poll<io::Result<usize>> {
        loop {
            let Some(pipe) = self.pipe.as_ref().filter(|_| self.held > 0) else {
                return Poll::Ready(Ok(0));
            };
            ready!(to.poll_write_ready(cx))?;
            match transfer(to, Interest::WRITABLE, || (&pipe.read, to, self.held)) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.held -= count;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Reads at most `most` bytes while nothing is held, and gives how many there were: 0 at the end
    /// of `from`. The pipe goes to others while there is nothing to read.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &TcpStream,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        loop {
            if from.poll_read_ready(cx)?.is_pending() {
                self.rest();
                return Poll::Pending;
            }
            let pipe = match &mut self.pipe {
                Some(pipe) => pipe,
                none => none.insert(Pipe::take()?),
            };
            let room = usize::try_from(most).map_or(pipe.capacity, |most| most.min(pipe.capacity));
            // The pipe is empty, so nothing but the socket can make this wait.
            match transfer(from, Interest::READABLE, || (from, &pipe.write, room)) {
                Ok(count) => {
                    self.held = count;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Gives the pipe to others when nothing is in it.
    pub(crate) fn rest(&mut self) {
        if self.held == 0
            && let Some(pipe) = self.pipe.take()
        {
            pipe.give_back();
        }
    }

    /// Moves what can be moved, whose number is told by `moved`. Ready at the end of `from`.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&TcpStream, &TcpStream),
        moved: &Cell<u64>,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.held > 0 {
                ready!(self.poll_drain(cx, to))?;
            }
            let count = ready!(self.poll_fill(cx, from, u64::MAX))?;
            if count == 0 {
                self.rest();
                return Poll::Ready(Ok(()));
            }
            moved.set(moved.get() + count as u64);
        }
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.rest();
        if self.pipe.take().is_some() {
            // Bytes of a broken connection are in it.
            LENT.set(LENT.get().saturating_sub(1));
        }
    }
}

fn transfer<'a, I: std::os::fd::AsFd + 'a, O: std::os::fd::AsFd + 'a>(
    socket: &TcpStream,
    interest: Interest,
    what: impl Fn() -> (&'a I, &'a O, usize),
) -> io::Result<usize> {
    socket.try_io(interest, || {
        let (from, to, count) = what();
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        Ok(splice(from, None, to, None, count, flags)?)
    })
}

/// Bytes that went each way so far.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// From the client.
    pub(crate) received: Cell<u64>,
    /// To the client.
    pub(crate) sent: Cell<u64>,
}

/// Passes bytes both ways, each to its own end, which is passed on too.
///
/// # Errors
/// When one of the connections breaks.
pub(crate) async fn both(
    client: &TcpStream,
    endpoint: &TcpStream,
    counts: &Counts,
) -> io::Result<()> {
    let (mut up, mut down) = (Way::default(), Way::default());
    let (mut up_open, mut down_open) = (true, true);
    poll_fn(|cx| {
        if up_open
            && up
                .poll(cx, (client, endpoint), &counts.received)?
                .is_ready()
        {
            up_open = false;
            end(endpoint);
        }
        if down_open && down.poll(cx, (endpoint, client), &counts.sent)?.is_ready() {
            down_open = false;
            end(client);
        }
        if up_open || down_open {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    })
    .await
}

/// Says that nothing more comes. Who has left already does not need to know.
fn end(socket: &TcpStream) {
    let _ = SockRef::from(socket).shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests;

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
}

/// An empty pipe.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
}

impl Pipe {
    fn take() -> io::Result<Self> {
        if let Some(pipe) = PIPES.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
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
        PIPES.with_borrow_mut(|pipes| {
            if pipes.len() < KEPT {
                pipes.push(self);
            }
        });
    }
}

/// One direction.
#[derive(Default)]
struct Way {
    pipe: Option<Pipe>,
    /// Bytes in the pipe.
    held: usize,
    ended: bool,
}

impl Way {
    /// Moves what can be moved, at most `left` bytes, whose moving is told by `moved`. Ready at the
    /// end of `from`, or when nothing is left.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&TcpStream, &TcpStream),
        left: &mut u64,
        moved: &Cell<u64>,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.held > 0 {
                ready!(to.poll_write_ready(cx))?;
                let Some(pipe) = &self.pipe else { break };
                match transfer(to, Interest::WRITABLE, || (&pipe.read, to, self.held)) {
                    Ok(count) => self.held -= count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            if self.ended || *left == 0 {
                self.rest();
                return Poll::Ready(Ok(()));
            }
            if from.poll_read_ready(cx)?.is_pending() {
                self.rest();
                return Poll::Pending;
            }
            if self.pipe.is_none() {
                self.pipe = Some(Pipe::take()?);
            }
            let Some(pipe) = &self.pipe else { continue };
            let room = usize::try_from(*left).map_or(pipe.capacity, |left| left.min(pipe.capacity));
            // The pipe is empty, so nothing but the socket can make this wait.
            match transfer(from, Interest::READABLE, || (from, &pipe.write, room)) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.held = count;
                    *left -= count as u64;
                    moved.set(moved.get() + count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Gives the pipe to others.
    fn rest(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe.give_back();
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
    let (mut all_up, mut all_down) = (u64::MAX, u64::MAX);
    poll_fn(|cx| {
        if up_open
            && up
                .poll(cx, (client, endpoint), &mut all_up, &counts.received)?
                .is_ready()
        {
            up_open = false;
            end(endpoint);
        }
        if down_open
            && down
                .poll(cx, (endpoint, client), &mut all_down, &counts.sent)?
                .is_ready()
        {
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

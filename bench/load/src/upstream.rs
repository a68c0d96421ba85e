//! Servers that answer the same bytes to everything, at next to no cost.

mod http1;
mod http2;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result};

use crate::poller::{Poller, Ready};

/// Bytes that a source writes at a time.
const BULK: usize = 256 * 1024;

/// What a port speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Http1,
    Http2,
    Source,
}

/// Serves on loopback until the process ends.
///
/// # Errors
/// A port is taken.
pub(crate) fn serve(http1: &[u16], http2: &[u16], source: &[u16]) -> Result<()> {
    let mut server = Server {
        poller: Poller::new()?,
        sockets: Vec::new(),
        free: Vec::new(),
        answer: http1::answer(),
        bulk: vec![b'b'; BULK],
        input: vec![0; BULK],
    };
    for (ports, speech) in [
        (http1, Speech::Http1),
        (http2, Speech::Http2),
        (source, Speech::Source),
    ] {
        for port in ports {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, *port))
                .with_context(|| format!("port {port}"))?;
            listener.set_nonblocking(true)?;
            server.add(Socket::Listener(listener, speech), false)?;
        }
    }
    let mut ready = Vec::new();
    loop {
        server.poller.wait(None, &mut ready)?;
        for event in &ready {
            server.handle(*event)?;
        }
    }
}

struct Server {
    poller: Poller,
    sockets: Vec<Option<Socket>>,
    /// Places in `sockets` that are empty.
    free: Vec<usize>,
    answer: Vec<u8>,
    bulk: Vec<u8>,
    input: Vec<u8>,
}

#[derive(Debug)]
enum Socket {
    Listener(TcpListener, Speech),
    Connection(Connection),
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    codec: Codec,
    partial: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    /// Whether the poller watches for room to write.
    blocked: bool,
}

#[derive(Debug)]
enum Codec {
    Http1,
    Http2(http2::Server),
    Source,
}

impl Server {
    fn add(&mut self, socket: Socket, write: bool) -> Result<()> {
        let key = self.free.pop().unwrap_or(self.sockets.len());
        self.poller.add(socket.as_fd(), key, write)?;
        if key == self.sockets.len() {
            self.sockets.push(None);
        }
        if let Some(place) = self.sockets.get_mut(key) {
            *place = Some(socket);
        }
        Ok(())
    }

    fn handle(&mut self, ready: Ready) -> Result<()> {
        match self.sockets.get_mut(ready.key).and_then(Option::as_mut) {
            Some(Socket::Listener(..)) => self.accept(ready.key),
            Some(Socket::Connection(connection)) => {
                let alive = if matches!(connection.codec, Codec::Source) {
                    connection.pour(ready, &self.bulk)
                } else {
                    connection.turn(ready, &self.poller, &self.answer, &mut self.input)
                };
                if !alive && let Some(place) = self.sockets.get_mut(ready.key) {
                    // Closing takes it out of the poller.
                    *place = None;
                    self.free.push(ready.key);
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn accept(&mut self, key: usize) -> Result<()> {
        while let Some(Some(Socket::Listener(listener, speech))) = self.sockets.get(key)
            && let Ok((stream, _)) = listener.accept()
        {
            let speech = *speech;
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let codec = match speech {
                Speech::Http1 => Codec::Http1,
                Speech::Http2 => Codec::Http2(http2::Server::default()),
                Speech::Source => Codec::Source,
            };
            let connection = Connection {
                stream,
                codec,
                partial: Vec::new(),
                out: Vec::new(),
                written: 0,
                blocked: false,
            };
            self.add(Socket::Connection(connection), speech == Speech::Source)?;
        }
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Listener(listener, _) => listener.as_fd(),
            Self::Connection(connection) => connection.stream.as_fd(),
        }
    }
}

impl Connection {
    /// Writes of a source; false at the end of the connection.
    fn pour(&mut self, ready: Ready, bulk: &[u8]) -> bool {
        let ended = ready.read
            && !matches!(self.stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        if ended {
            return false;
        }
        !ready.write
            || match self.stream.write(bulk) {
                Ok(_) => true,
                Err(error) => error.kind() == ErrorKind::WouldBlock,
            }
    }

    /// Reads once, answers what is whole, writes; false at the end of the connection.
    fn turn(&mut self, ready: Ready, poller: &Poller, answer: &[u8], input: &mut [u8]) -> bool {
        if ready.read {
            let read = match self.stream.read(input) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return false,
            };
            let new = input.get(..read).unwrap_or_default();
            if !self.take(new, answer) {
                return false;
            }
        }
        self.write(poller, ready.key).is_ok()
    }

    fn take(&mut self, new: &[u8], answer: &[u8]) -> bool {
        let whole = self.partial.is_empty();
        if !whole {
            self.partial.extend_from_slice(new);
        }
        let input = if whole { new } else { &self.partial };
        let consumed = match &mut self.codec {
            Codec::Http1 => Some(http1::requests(input, answer, &mut self.out)),
            Codec::Http2(codec) => codec.receive(input, &mut self.out),
            Codec::Source => Some(input.len()),
        };
        let Some(consumed) = consumed else {
            return false;
        };
        if whole {
            let rest = new.get(consumed..).unwrap_or_default();
            self.partial.extend_from_slice(rest);
        } else {
            self.partial.drain(..consumed);
        }
        true
    }

    fn write(&mut self, poller: &Poller, key: usize) -> Result<()> {
        while let Some(rest) = self.out.get(self.written..)
            && !rest.is_empty()
        {
            match self.stream.write(rest) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !self.blocked {
                        self.blocked = true;
                        poller.watch_write(&self.stream, key, true)?;
                    }
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.out.clear();
        self.written = 0;
        if self.blocked {
            self.blocked = false;
            poller.watch_write(&self.stream, key, false)?;
        }
        Ok(())
    }
}

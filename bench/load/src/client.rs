//! Connections that ask and count the answers.

mod http1;
mod http2;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::poller::{Poller, Ready};
use crate::request::Shape;

/// A request whose answer came, or will not come.
#[derive(Debug, Clone)]
pub(crate) struct Finished {
    /// When it should have left.
    pub(crate) due: Instant,
    /// What was wrong with the answer.
    pub(crate) failure: Option<String>,
}

/// Many connections to one address.
pub(crate) struct Clients {
    address: SocketAddr,
    shape: Shape,
    poller: Poller,
    connections: Vec<Connection>,
    /// One entry for each request that a connection could take, the longest idle first.
    free: VecDeque<usize>,
    /// Connections with bytes that have not been tried to write.
    dirty: Vec<usize>,
    ready: Vec<Ready>,
    input: Vec<u8>,
    in_flight: usize,
    /// Connections that had to be made anew.
    pub(crate) reconnects: usize,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    codec: Codec,
    /// What came and is not a whole answer or frame yet.
    partial: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    /// Whether the poller watches for room to write.
    blocked: bool,
    /// Whether it is in `dirty`.
    dirty: bool,
}

#[derive(Debug)]
enum Codec {
    Http1(http1::Client),
    Http2(Box<http2::Client>),
}

/// What a codec makes of bytes.
#[derive(Debug, Default)]
struct Received {
    /// Bytes that are done with.
    consumed: usize,
    /// The connection takes no further request.
    closes: bool,
}

impl Clients {
    /// Connects `count` times; each connection takes `streams` requests at a time.
    ///
    /// # Errors
    /// A connection is refused.
    pub(crate) fn connect(
        address: SocketAddr,
        shape: Shape,
        count: usize,
        streams: usize,
    ) -> Result<Self> {
        let mut clients = Self {
            address,
            shape,
            poller: Poller::new()?,
            connections: Vec::with_capacity(count),
            free: VecDeque::with_capacity(count * streams),
            dirty: Vec::new(),
            ready: Vec::new(),
            input: vec![0; 64 * 1024],
            in_flight: 0,
            reconnects: 0,
        };
        for key in 0..count {
            let connection = clients.dial(key)?;
            clients.connections.push(connection);
        }
        // One round of all connections before the second request of any.
        for _ in 0..streams {
            clients.free.extend(0..count);
        }
        Ok(clients)
    }

    fn dial(&self, key: usize) -> Result<Connection> {
        let stream = TcpStream::connect(self.address)
            .with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.poller.add(&stream, key, false)?;
        let mut out = Vec::new();
        let codec = if self.shape.is_http2() {
            Codec::Http2(Box::new(http2::Client::new(&mut out)))
        } else {
            Codec::Http1(http1::Client::new(self.shape.http1()))
        };
        Ok(Connection {
            stream,
            codec,
            partial: Vec::new(),
            out,
            written: 0,
            blocked: false,
            dirty: false,
        })
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.connections.len()
    }

    /// How many requests have no answer yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Whether a request could leave now.
    pub(crate) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Begins a request on the connection that has been idle longest; false when all are busy.
    pub(crate) fn start(&mut self, due: Instant) -> bool {
        let Some(key) = self.free.pop_front() else {
            return false;
        };
        let Some(connection) = self.connections.get_mut(key) else {
            return false;
        };
        match &mut connection.codec {
            Codec::Http1(codec) => codec.start(due, &mut connection.out),
            Codec::Http2(codec) => codec.start(due, &mut connection.out),
        }
        self.in_flight += 1;
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(key);
        }
        true
    }

    /// Writes what was begun.
    pub(crate) fn flush(&mut self, finished: &mut Vec<Finished>) -> Result<()> {
        for key in std::mem::take(&mut self.dirty) {
            let Some(connection) = self.connections.get_mut(key) else {
                continue;
            };
            connection.dirty = false;
            if let Err(failure) = connection.write(&self.poller, key) {
                self.replace(key, &failure.to_string(), finished)?;
            }
        }
        Ok(())
    }

    /// Waits at most `timeout` for answers and adds them to `finished`.
    ///
    /// # Errors
    /// A connection that ended cannot be made again.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        finished: &mut Vec<Finished>,
    ) -> Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poller.wait(timeout, &mut ready)?;
        for event in &ready {
            self.handle(*event, finished)?;
        }
        self.ready = ready;
        Ok(())
    }

    fn handle(&mut self, ready: Ready, finished: &mut Vec<Finished>) -> Result<()> {
        let Some(connection) = self.connections.get_mut(ready.key) else {
            return Ok(());
        };
        let before = finished.len();
        let mut end = None;
        if ready.write
            && let Err(error) = connection.write(&self.poller, ready.key)
        {
            end = Some(error.to_string());
        }
        if ready.read && end.is_none() {
            match connection.read(&mut self.input, finished) {
                Ok(true) => {}
                Ok(false) => end = Some(String::new()),
                Err(error) => end = Some(format!("{error:#}")),
            }
        }
        let done = finished.len() - before;
        self.in_flight -= done;
        for _ in 0..done {
            self.free.push_back(ready.key);
        }
        if let Some(why) = end {
            return self.replace(ready.key, &why, finished);
        }
        if !connection.out.is_empty() && !connection.dirty && !connection.blocked {
            connection.dirty = true;
            self.dirty.push(ready.key);
        }
        Ok(())
    }

    /// Makes a connection anew; what was in flight on it has failed.
    fn replace(&mut self, key: usize, why: &str, finished: &mut Vec<Finished>) -> Result<()> {
        let mut new = self.dial(key)?;
        // HTTP/2 sends its preface at once.
        new.dirty = true;
        let Some(old) = self.connections.get_mut(key) else {
            return Ok(());
        };
        let old = std::mem::replace(old, new);
        self.reconnects += 1;
        let lost = match old.codec {
            Codec::Http1(codec) => codec.in_flight(),
            Codec::Http2(codec) => codec.in_flight(),
        };
        let why = if why.is_empty() {
            "the connection ended before the answer"
        } else {
            why
        };
        for due in lost {
            self.in_flight -= 1;
            self.free.push_back(key);
            finished.push(Finished {
                due,
                failure: Some(why.to_owned()),
            });
        }
        if !old.dirty {
            self.dirty.push(key);
        }
        Ok(())
    }
}

impl Connection {
    /// Reads once; false when the connection has ended or takes no further request.
    fn read(&mut self, input: &mut [u8], finished: &mut Vec<Finished>) -> Result<bool> {
        let read = match self.stream.read(input) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        let new = input.get(..read).unwrap_or_default();
        if self.partial.is_empty() {
            let received = self.codec.receive(new, &mut self.out, finished)?;
            let rest = new.get(received.consumed..).unwrap_or_default();
            self.partial.extend_from_slice(rest);
            return Ok(!received.closes);
        }
        self.partial.extend_from_slice(new);
        let received = self.codec.receive(&self.partial, &mut self.out, finished)?;
        self.partial.drain(..received.consumed);
        Ok(!received.closes)
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

impl Codec {
    fn receive(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        finished: &mut Vec<Finished>,
    ) -> Result<Received> {
        match self {
            Self::Http1(codec) => codec.receive(input, finished),
            Self::Http2(codec) => codec.receive(input, out, finished),
        }
    }
}

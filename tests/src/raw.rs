//! An HTTP/1 client that sends what a test writes, byte by byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::origin::find;

/// Whoever waits longer than this for a byte has failed.
const PATIENCE: Duration = Duration::from_secs(25);

/// A connection to the proxy.
#[derive(Debug)]
pub struct Raw {
    stream: TcpStream,
    /// Read, and not taken yet.
    read: Vec<u8>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Head with its blank line.
    pub head: String,
    /// Body without its framing.
    pub body: Vec<u8>,
    /// Trailer lines as they came.
    pub trailers: Vec<String>,
}

impl Answer {
    /// The value of the first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By FIN.
    Closed,
    /// By RST.
    Reset,
    /// Not, in the time that was given.
    Open,
}

impl Raw {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            read: Vec::new(),
        })
    }

    /// The connection itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends these bytes.
    ///
    /// # Errors
    /// The proxy closed the connection.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends in pieces of `size` bytes, each on its own way before the next is sent.
    ///
    /// # Errors
    /// The proxy closed the connection.
    pub fn send_in_pieces(&mut self, bytes: impl AsRef<[u8]>, size: usize) -> io::Result<()> {
        for piece in bytes.as_ref().chunks(size.max(1)) {
            self.stream.write_all(piece)?;
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Waits for more bytes; false at the end of the connection.
    fn more(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let length = self.stream.read(&mut buffer)?;
        self.read.extend_from_slice(&buffer[..length]);
        Ok(length > 0)
    }

    fn until(&mut self, mark: &[u8]) -> Result<String> {
        loop {
            if let Some(at) = find(&self.read, mark) {
                let part = self.read.drain(..at + mark.len()).collect::<Vec<u8>>();
                return Ok(String::from_utf8_lossy(&part).into_owned());
            }
            ensure!(
                self.more()?,
                "the connection ended after {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    /// Exactly so many bytes.
    ///
    /// # Errors
    /// The connection ended before.
    pub fn take(&mut self, length: usize) -> Result<Vec<u8>> {
        while self.read.len() < length {
            ensure!(self.more()?, "the connection ended within a body");
        }
        Ok(self.read.drain(..length).collect())
    }

    /// The next response's head with its blank line.
    ///
    /// # Errors
    /// The connection ended before.
    pub fn head(&mut self) -> Result<String> {
        self.until(b"\r\n\r\n")
    }

    /// The next response, to a request that was no HEAD.
    ///
    /// # Errors
    /// The connection ended before it was complete.
    pub fn answer(&mut self) -> Result<Answer> {
        self.answer_to("GET")
    }

    /// The next response to a request of this method.
    ///
    /// # Errors
    /// The connection ended before it was complete.
    pub fn answer_to(&mut self, method: &str) -> Result<Answer> {
        let head = self.head()?;
        let status = head.split(' ').nth(1).context("a status")?.parse()?;
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
            trailers: Vec::new(),
        };
        if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            return Ok(answer);
        }
        let chunked = answer
            .field("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = answer.field("content-length").map(str::parse).transpose()?;
        match length {
            _ if chunked => (answer.body, answer.trailers) = self.chunked()?,
            Some(length) => answer.body = self.take(length)?,
            None => {
                while self.more()? {}
                answer.body = std::mem::take(&mut self.read);
            }
        }
        Ok(answer)
    }

    fn chunked(&mut self) -> Result<(Vec<u8>, Vec<String>)> {
        let mut body = Vec::new();
        loop {
            let size = self.until(b"\r\n")?;
            let size = usize::from_str_radix(size.trim_end(), 16).context(size)?;
            if size == 0 {
                break;
            }
            body.extend(self.take(size)?);
            ensure!(self.take(2)? == b"\r\n", "a chunk without its end");
        }
        let mut trailers = Vec::new();
        loop {
            let line = self.until(b"\r\n")?.trim_end().to_owned();
            if line.is_empty() {
                return Ok((body, trailers));
            }
            trailers.push(line);
        }
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// The connection ended before the response was complete.
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Result<Answer> {
        self.send(request)?;
        self.answer()
    }

    /// `GET` of this path.
    ///
    /// # Errors
    /// The connection ended before the response was complete.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"))
    }

    /// Reads until the connection ends, at most for `limit`; gives what came, too.
    ///
    /// # Errors
    /// Reading failed otherwise.
    pub fn end(&mut self, limit: Duration) -> Result<(Ended, Vec<u8>)> {
        let ended = self.wait(limit)?;
        Ok((ended, std::mem::take(&mut self.read)))
    }

    /// Reads for so long, or until the connection ends, and keeps what came.
    ///
    /// # Errors
    /// Reading failed otherwise.
    pub fn wait(&mut self, limit: Duration) -> Result<Ended> {
        let started = Instant::now();
        let ended = loop {
            let Some(left) = limit
                .checked_sub(started.elapsed())
                .filter(|it| !it.is_zero())
            else {
                break Ended::Open;
            };
            self.stream.set_read_timeout(Some(left))?;
            match self.more() {
                Ok(true) => {}
                Ok(false) => break Ended::Closed,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break Ended::Reset,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ended::Open,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => bail!(error),
            }
        };
        self.stream.set_read_timeout(Some(PATIENCE))?;
        Ok(ended)
    }
}

//! An HTTP/2 client that sends the frames a test writes.

mod hpack;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

pub use hpack::{Block, status};

/// Whoever waits longer than this for a byte has failed.
const PATIENCE: Duration = Duration::from_secs(25);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames. Source: RFC 9113 §6.
pub mod kind {
    /// DATA.
    pub const DATA: u8 = 0;
    /// HEADERS.
    pub const HEADERS: u8 = 1;
    /// PRIORITY.
    pub const PRIORITY: u8 = 2;
    /// `RST_STREAM`.
    pub const RESET: u8 = 3;
    /// SETTINGS.
    pub const SETTINGS: u8 = 4;
    /// PING.
    pub const PING: u8 = 6;
    /// GOAWAY.
    pub const GOAWAY: u8 = 7;
    /// `WINDOW_UPDATE`.
    pub const WINDOW: u8 = 8;
    /// CONTINUATION.
    pub const CONTINUATION: u8 = 9;
}

/// Error codes. Source: RFC 9113 §7.
pub mod code {
    /// `PROTOCOL_ERROR`.
    pub const PROTOCOL: u32 = 1;
    /// `FLOW_CONTROL_ERROR`.
    pub const FLOW_CONTROL: u32 = 3;
    /// `REFUSED_STREAM`.
    pub const REFUSED_STREAM: u32 = 7;
    /// `CANCEL`.
    pub const CANCEL: u32 = 8;
    /// `ENHANCE_YOUR_CALM`.
    pub const CALM: u32 = 11;
}

/// The flags `END_STREAM` and, of SETTINGS and PING, `ACK`.
pub const END_STREAM: u8 = 1;
/// The flag `END_HEADERS`.
pub const END_HEADERS: u8 = 4;

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// Flags.
    pub flags: u8,
    /// Stream; 0 is the connection.
    pub stream: u32,
    /// What follows the nine bytes.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame with these parts.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            flags,
            stream,
            payload: payload.into(),
        }
    }

    /// HEADERS with the whole block.
    pub fn headers(stream: u32, block: Block, flags: u8) -> Self {
        Self::new(kind::HEADERS, flags | END_HEADERS, stream, block.0)
    }

    /// A GET that ends its stream.
    pub fn get(stream: u32, path: &str) -> Self {
        Self::headers(stream, Block::request("GET", path), END_STREAM)
    }

    /// `RST_STREAM`.
    pub fn reset(stream: u32, code: u32) -> Self {
        Self::new(kind::RESET, 0, stream, code.to_be_bytes())
    }

    /// As bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The error code of `RST_STREAM` or GOAWAY.
    pub fn code(&self) -> Option<u32> {
        let from = match self.kind {
            kind::RESET => 0,
            kind::GOAWAY => 4,
            _ => return None,
        };
        let bytes = self.payload.get(from..from + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }

    fn ends_stream(&self) -> bool {
        self.kind == kind::RESET
            || (matches!(self.kind, kind::HEADERS | kind::DATA) && self.flags & END_STREAM != 0)
    }
}

/// A connection to the proxy.
#[derive(Debug)]
pub struct Frames {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What came back on a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Status; 0 when no head came.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
    /// Code of the `RST_STREAM` that ended it.
    pub reset: Option<u32>,
}

/// What became of an attack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Frames that were sent before the connection ended.
    pub sent: usize,
    /// Whether the proxy ended the connection.
    pub ended: bool,
    /// Code of its GOAWAY.
    pub goaway: Option<u32>,
    /// Frames that it sent, but for SETTINGS.
    pub answers: usize,
}

impl Frames {
    /// Connects and opens the connection with empty SETTINGS.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        Self::connect_with(address, &[])
    }

    /// Connects and opens the connection with these settings: identifier and value.
    ///
    /// # Errors
    /// Nobody listens.
    pub fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut this = Self {
            stream,
            read: Vec::new(),
        };
        let mut payload = Vec::new();
        // The answers' heads stay readable without the state of a table.
        for (name, value) in [(1, 0)].iter().chain(settings) {
            payload.extend(u16::to_be_bytes(*name));
            payload.extend(u32::to_be_bytes(*value));
        }
        let mut bytes = PREFACE.to_vec();
        bytes.extend(Frame::new(kind::SETTINGS, 0, 0, payload).bytes());
        this.stream.write_all(&bytes)?;
        Ok(this)
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// The proxy closed the connection.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.stream.write_all(&frame.bytes())
    }

    /// The next frame; `None` at the end. SETTINGS are acknowledged on the way.
    ///
    /// # Errors
    /// Nothing came in time.
    pub fn frame(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.parse() {
                if frame.kind == kind::SETTINGS && frame.flags & END_STREAM == 0 {
                    let _ = self.send(&Frame::new(kind::SETTINGS, END_STREAM, 0, []));
                }
                return Ok(Some(frame));
            }
            let mut buffer = [0; 16 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(length) => self.read.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => bail!(error),
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let head = self.read.get(..9)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5] & 127, head[6], head[7], head[8]]);
        if self.read.len() < 9 + length {
            return None;
        }
        let payload = self.read.drain(..9 + length).skip(9).collect::<Vec<u8>>();
        Some(Frame::new(kind, flags, stream, payload))
    }

    /// Reads until this stream has ended.
    ///
    /// # Errors
    /// The connection ended before, or nothing came in time.
    pub fn reply(&mut self, stream: u32) -> Result<Reply> {
        let mut reply = Reply::default();
        loop {
            let frame = self.frame()?.context("the connection ended")?;
            ensure!(frame.kind != kind::GOAWAY, "GOAWAY: {frame:?}");
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                kind::HEADERS if reply.status < 200 => {
                    reply.status = status(&frame.payload).context("a status")?;
                }
                kind::DATA => reply.body.extend(&frame.payload),
                kind::RESET => reply.reset = frame.code(),
                _ => {}
            }
            if frame.ends_stream() {
                return Ok(reply);
            }
        }
    }

    /// Sends frames until the proxy ends the connection or there are no more of them, reading all the while;
    /// then waits for the end of the connection, at most for `patience`.
    ///
    /// # Errors
    /// The connection cannot be read.
    pub fn attack(
        self,
        frames: impl IntoIterator<Item = Frame>,
        patience: Duration,
    ) -> Result<Verdict> {
        let reader = self.read_on_the_side()?;
        let mut stream = self.stream;
        let mut verdict = Verdict::default();
        let mut batch = Vec::new();
        let mut frames = frames.into_iter();
        let mut open = true;
        while open {
            let before = verdict.sent;
            for frame in frames.by_ref().take(50) {
                batch.extend(frame.bytes());
                verdict.sent += 1;
            }
            open = verdict.sent > before && stream.write_all(&batch).is_ok();
            open = open && !reader.is_finished();
            batch.clear();
        }
        let started = Instant::now();
        while !reader.is_finished() && started.elapsed() < patience {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        verdict.ended = reader.is_finished();
        // A reader that still waits is woken up.
        let _ = stream.shutdown(Shutdown::Both);
        let (goaway, answers) = reader.join().unwrap_or_default();
        (verdict.goaway, verdict.answers) = (goaway, answers);
        Ok(verdict)
    }

    /// Reads until the end; gives the code of the GOAWAY and how many frames came.
    fn read_on_the_side(&self) -> Result<JoinHandle<(Option<u32>, usize)>> {
        let mut side = Self {
            stream: self.stream.try_clone()?,
            read: self.read.clone(),
        };
        Ok(std::thread::spawn(move || {
            let (mut goaway, mut answers) = (None, 0);
            while let Ok(Some(frame)) = side.frame() {
                answers += usize::from(frame.kind != kind::SETTINGS);
                if frame.kind == kind::GOAWAY {
                    goaway = frame.code();
                }
            }
            (goaway, answers)
        }))
    }
}

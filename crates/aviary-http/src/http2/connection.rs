//! One side of a connection.

mod data;
mod frames;
mod heads;
mod life;
mod output;
mod send;

use std::collections::VecDeque;
use std::time::Duration;

use self::life::Going;
use self::output::Output;
use super::frame;
use super::request::Scratch;
use super::settings::{Settings, name};
use super::stream::Streams;
use super::{DEFAULT_WINDOW, PREFACE, Reason};
use crate::error::Error;
use crate::frames::{Flood, FloodLimits, Guard};
use crate::hpack::{Decoder, Encoder};
use crate::parse::Limits;
use crate::request::RequestHead;

/// Which side we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The peer asks.
    Server,
    /// We ask.
    Client,
}

/// What a connection may do.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Which side we are.
    pub role: Role,
    /// What the peer may send at most of what costs it nothing.
    pub flood: FloodLimits,
    /// Bytes of a body that the peer may send before they are used, per stream.
    pub stream_window: u32,
    /// The same for the connection.
    pub connection_window: u32,
    /// Streams that the peer may have open at a time.
    pub streams: u32,
    /// What a head may be at most.
    pub limits: Limits,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The socket is closed.
    Closed,
    /// All is said and done.
    Done,
    /// We ended it, for this reason.
    Ours(Reason),
    /// The peer sent too much of something.
    Flood(Flood),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Done => f.write_str("done"),
            Self::Ours(reason) => reason.fmt(f),
            Self::Flood(flood) => flood.fmt(f),
        }
    }
}

/// Why a stream does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Either side ended it, for this reason.
    Reset(Reason),
    /// The peer says that it did not look at the request.
    Refused,
    /// What came is no message.
    Malformed(Error),
    /// One interim reply came after the other.
    Interim,
    /// The connection ended.
    Ended(End),
    /// Our message is over already.
    Over,
}

/// What there is of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// Bytes; `last` when nothing comes after them, not even trailers.
    Data {
        /// Nothing comes after them.
        last: bool,
    },
    /// Its end.
    End,
    /// Nothing yet.
    Nothing,
}

/// A request that came.
#[derive(Debug)]
pub struct Accepted {
    /// Its stream.
    pub key: usize,
    /// Its head; or why it is too large, which the client is to be told.
    pub head: Result<Box<RequestHead>, Error>,
}

/// A head that comes in parts.
#[derive(Debug)]
struct Block {
    stream: u32,
    end_stream: bool,
    bytes: Vec<u8>,
}

/// One side of a connection.
///
/// A stream is known by its key from when it is accepted or opened until [`Connection::close`].
/// After every call, [`Connection::wants_turn`] says whether the owner of the socket has to do
/// something.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    limits: Limits,
    streams_limit: usize,
    guard: Guard,
    /// The time of the last [`Connection::receive`].
    now: Duration,
    streams: Streams,
    /// Numbers of the newest stream of the peer's, and of our next one.
    last_id: u32,
    next_id: u32,
    /// Streams that we reset of late: what comes for them was on its way.
    forgotten: VecDeque<u32>,
    accepted: VecDeque<Accepted>,
    woken: VecDeque<usize>,
    /// A stream ended, or the peer takes more of them.
    has_freed: bool,

    decoder: Decoder,
    encoder: Encoder,
    scratch: Scratch,
    block: Option<Block>,
    /// Bytes of the client's preface that are still to come.
    preface: usize,
    has_settings: bool,
    /// The peer knows our settings.
    is_known: bool,

    peer: Settings,
    stream_window: u32,
    whole_window: u32,
    recv_window: i64,
    unannounced: u32,
    send_window: i64,

    out: Output,
    /// Streams that wait for their turn to send, and those that have it.
    waiting: VecDeque<usize>,
    granted: usize,

    going: Going,
    /// The peer takes no more streams.
    peer_went: Option<Reason>,
    end: Option<End>,
}

impl Connection {
    /// A connection at its start; what it has to say first is in its output.
    pub fn new(config: &Config) -> Self {
        let is_server = config.role == Role::Server;
        let mut connection = Self {
            role: config.role,
            limits: config.limits,
            streams_limit: usize::try_from(config.streams).unwrap_or(usize::MAX),
            guard: Guard::new(&config.flood),
            now: Duration::ZERO,
            streams: Streams::default(),
            last_id: 0,
            next_id: 1,
            forgotten: VecDeque::new(),
            accepted: VecDeque::new(),
            woken: VecDeque::new(),
            has_freed: false,
            decoder: Decoder::default(),
            encoder: Encoder::default(),
            scratch: Scratch::default(),
            block: None,
            preface: if is_server { PREFACE.len() } else { 0 },
            has_settings: false,
            is_known: false,
            peer: Settings::default(),
            stream_window: config.stream_window,
            whole_window: config.connection_window.max(DEFAULT_WINDOW),
            recv_window: i64::from(config.connection_window.max(DEFAULT_WINDOW)),
            unannounced: 0,
            send_window: i64::from(DEFAULT_WINDOW),
            out: Output::default(),
            waiting: VecDeque::new(),
            granted: 0,
            going: Going::default(),
            peer_went: None,
            end: None,
        };
        connection.greet(config);
        connection
    }

    /// Says who we are and what we can do.
    fn greet(&mut self, config: &Config) {
        let out = &mut self.out.bytes;
        let head_bytes = u32::try_from(config.limits.head_bytes).unwrap_or(u32::MAX);
        let windows = [
            (name::INITIAL_WINDOW_SIZE, config.stream_window),
            (name::MAX_HEADER_LIST_SIZE, head_bytes),
        ];
        let own = match config.role {
            Role::Server => (name::MAX_CONCURRENT_STREAMS, config.streams),
            Role::Client => {
                out.extend_from_slice(PREFACE);
                (name::ENABLE_PUSH, 0)
            }
        };
        frame::write_settings(&[own, windows[0], windows[1]], out);
        let more = self.whole_window - DEFAULT_WINDOW;
        if more > 0 {
            frame::write_window_update(0, more, out);
        }
    }

    /// Why it ended, when it did. What is in its output should be written still.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether the peer's first words came.
    pub fn is_greeted(&self) -> bool {
        self.has_settings
    }

    /// Streams that are open on the wire.
    pub fn open_streams(&self) -> usize {
        self.streams.open()
    }

    /// Streams that somebody serves.
    pub fn held_streams(&self) -> usize {
        self.streams.len()
    }

    /// Streams that the peer takes at a time.
    pub fn stream_limit(&self) -> usize {
        usize::try_from(self.peer.streams).unwrap_or(usize::MAX)
    }

    /// Whether new streams can be opened, if not now then later.
    pub fn is_usable(&self) -> bool {
        self.end.is_none() && self.peer_went.is_none() && self.next_id <= super::MAX_WINDOW
    }

    /// Whether a request came that nobody took yet.
    pub fn has_accepted(&self) -> bool {
        !self.accepted.is_empty()
    }

    /// The next request that came.
    pub fn accept(&mut self) -> Option<Accepted> {
        self.accepted.pop_front()
    }

    /// The next stream whose task is to be woken.
    pub fn next_woken(&mut self) -> Option<usize> {
        let key = self.woken.pop_front()?;
        if let Some(stream) = self.streams.get_mut(key) {
            stream.is_woken = false;
        }
        Some(key)
    }

    /// Whether another stream may have become possible since the last call.
    pub fn take_freed(&mut self) -> bool {
        std::mem::take(&mut self.has_freed)
    }

    /// Gives memory back in which nothing is that could not be made anew: for a connection on which
    /// nothing has happened for a while.
    pub fn rest(&mut self) {
        self.encoder.rest();
        self.streams.rest();
        self.accepted.shrink_to_fit();
        self.woken.shrink_to_fit();
        self.waiting.shrink_to_fit();
    }

    fn wake(&mut self, key: usize) {
        if let Some(stream) = self.streams.get_mut(key)
            && !std::mem::replace(&mut stream.is_woken, true)
        {
            self.woken.push_back(key);
        }
    }

    /// Remembers a stream that we reset.
    fn forget(&mut self, id: u32) {
        if self.forgotten.len() >= FORGOTTEN {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(id);
    }
}

/// Streams that we reset and remember: more than are on their way on any line.
const FORGOTTEN: usize = 256;

/// Interim replies to one request; an endpoint that gives more is at fault.
const INTERIM_LIMIT: u8 = 32;

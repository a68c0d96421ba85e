//! Both sides against each other, and each against frames by hand.

mod flow;
mod heads;
mod life;
mod rules;

use std::time::Duration;

use super::frame::{self, Head, flag, kind};
use super::{Accepted, Body, Config, Connection, End, Memory, PREFACE, Reason, Role};
use crate::frames::FloodLimits;
use crate::hpack::{Encoder, Kind};
use crate::parse::Limits;
use crate::{Fields, RequestHead, ResponseHead};

fn config(role: Role) -> Config {
    Config {
        role,
        flood: match role {
            Role::Server => FloodLimits::of_client(),
            Role::Client => FloodLimits::of_endpoint(),
        },
        stream_window: 1 << 16,
        connection_window: 1 << 20,
        streams: 3,
        limits: Limits::default(),
    }
}

/// A frame by hand.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let head = Head {
        length: u32::try_from(payload.len()).unwrap(),
        kind,
        flags,
        stream,
    };
    [head.bytes().as_slice(), payload].concat()
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut out = Vec::new();
    for (name, value) in fields {
        let (name, value) = (name.as_bytes(), value.as_bytes());
        encoder.field(Kind::of(name), name, value, &mut out);
    }
    out
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "a"),
    (":path", "/"),
];

/// HEADERS that are whole.
fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    let end = if end { flag::END_STREAM } else { 0 };
    let flags = flag::END_HEADERS | end;
    frame(kind::HEADERS, flags, stream, &block(fields))
}

/// One side, and what it said.
struct Side {
    it: Connection,
    memory: Memory,
}

impl Side {
    fn new(config: &Config) -> Self {
        Self {
            it: Connection::new(config),
            memory: Memory::default(),
        }
    }

    /// A side whose peer said its first words, and who said his own.
    fn greeted(role: Role) -> Self {
        let mut side = Self::new(&config(role));
        if role == Role::Server {
            side.hear(PREFACE);
        }
        side.hear(&frame(kind::SETTINGS, 0, 0, &[]));
        side.hear(&frame(kind::SETTINGS, flag::ACK, 0, &[]));
        side.said();
        side
    }

    fn hear(&mut self, bytes: &[u8]) {
        let read = self.it.receive(bytes, Duration::ZERO, &mut self.memory);
        if self.it.end().is_none() {
            assert_eq!(read, bytes.len());
        }
        self.it.grant();
    }

    /// The frames that it said since.
    fn said(&mut self) -> Vec<(Head, Vec<u8>)> {
        let bytes = self.it.output().to_vec();
        self.it.wrote(bytes.len());
        let mut rest = bytes.strip_prefix(PREFACE).unwrap_or(&bytes);
        let mut frames = Vec::new();
        while let Some(head) = Head::read(rest) {
            let end = frame::HEAD_BYTES + head.length as usize;
            frames.push((head, rest[frame::HEAD_BYTES..end].to_vec()));
            rest = &rest[end..];
        }
        assert!(rest.is_empty());
        frames
    }

    /// Kind, stream and error code of what it said, where that is an end.
    fn ends(&mut self) -> Vec<(u8, u32, Reason)> {
        let code = |payload: &[u8]| {
            let code = payload.last_chunk::<4>().unwrap();
            Reason(u32::from_be_bytes(*code))
        };
        let ends = self.said().into_iter();
        ends.filter(|(head, _)| matches!(head.kind, kind::RST_STREAM | kind::GOAWAY))
            .map(|(head, payload)| (head.kind, head.stream, code(&payload)))
            .collect()
    }

    fn accept(&mut self) -> (usize, Box<RequestHead>) {
        let Accepted { key, head } = self.it.accept().unwrap();
        (key, head.unwrap())
    }

    fn open(&mut self, head: &RequestHead, is_all: bool) -> usize {
        self.it.open(head, is_all).unwrap().unwrap()
    }

    fn close(&mut self, key: usize) {
        self.it.close(key, Vec::new(), &mut self.memory);
    }

    /// The head of the reply.
    fn reply(&mut self, key: usize) -> ResponseHead {
        let mut head = ResponseHead::new(200);
        let came = self.it.reply(key, &mut head, &mut self.memory);
        assert_eq!(came, Ok(true));
        head
    }

    /// All that is there of a body.
    fn body(&mut self, key: usize) -> Vec<u8> {
        let (mut all, mut piece) = (Vec::new(), Vec::new());
        while let Ok(Body::Data { .. }) = self.it.take_body(key, &mut piece) {
            all.extend_from_slice(&piece);
            self.it.used(key, piece.len());
        }
        all
    }
}

/// A client and a server, whose words the test carries.
struct Pair {
    client: Side,
    server: Side,
}

impl Pair {
    fn new() -> Self {
        Self::of(&config(Role::Client), &config(Role::Server))
    }

    fn of(client: &Config, server: &Config) -> Self {
        let mut pair = Self {
            client: Side::new(client),
            server: Side::new(server),
        };
        pair.carry();
        pair
    }

    /// Carries what both say until neither says anything.
    fn carry(&mut self) {
        while !self.client.it.output().is_empty() || !self.server.it.output().is_empty() {
            let (asked, told) = (
                self.client.it.output().to_vec(),
                self.server.it.output().to_vec(),
            );
            self.client.it.wrote(asked.len());
            self.server.it.wrote(told.len());
            self.server.hear(&asked);
            self.client.hear(&told);
        }
        for side in [&mut self.client, &mut self.server] {
            assert!(!matches!(side.it.end(), Some(End::Ours(_) | End::Flood(_))));
        }
    }
}

fn get(path: &str) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method("GET");
    head.set_authority("a.test");
    head.set_path(path);
    head
}

fn trailers(fields: &[(&str, &str)]) -> Fields {
    let mut all = Fields::new();
    for (name, value) in fields {
        all.append(*name, value.as_bytes());
    }
    all
}

fn bytes(count: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from(at % 251).unwrap();
    (0..count).map(byte).collect()
}

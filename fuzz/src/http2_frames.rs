//! Connections of HTTP/2, on either side.

use std::time::Duration;

use aviary_http::frames::FloodLimits;
use aviary_http::http2::{Body, Config, Connection, Memory, Role};
use aviary_http::parse::Limits;
use aviary_http::{RequestHead, ResponseHead};

/// A side at the start of a connection.
pub fn side(role: Role) -> Connection {
    Connection::new(&Config {
        role,
        flood: match role {
            Role::Server => FloodLimits::of_client(),
            Role::Client => FloodLimits::of_endpoint(),
        },
        stream_window: 1 << 16,
        connection_window: 1 << 20,
        streams: 10,
        limits: Limits::default(),
    })
}

/// What a side says first, after which it has nothing to say.
pub fn greeting(connection: &mut Connection) -> Vec<u8> {
    let said = connection.output().to_vec();
    connection.wrote(said.len());
    said
}

/// Shows `data` to a side: a first byte that says which one, and into what pieces it is cut.
pub fn run(data: &[u8]) {
    let (number, data) = crate::number(data);
    let role = if number & 0x80 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let whole = serve(role, data, usize::MAX);
    let pieces = serve(role, data, number % 17 + 1);
    assert_eq!(whole, pieces);
}

/// Serves whatever comes in pieces of a size, and tells what was said and read.
fn serve(role: Role, data: &[u8], size: usize) -> (Vec<u8>, Vec<String>) {
    let mut connection = side(role);
    let greeted = greeting(&mut connection).len();
    let mut memory = Memory::default();
    let mut read = Vec::new();
    if role == Role::Client {
        let mut head = RequestHead::new();
        head.set_method("GET");
        head.set_authority("a");
        head.set_path("/");
        assert_eq!(connection.open(&head, true), Ok(Some(0)));
    }
    let mut held = Vec::new();
    for piece in data.chunks(size.min(data.len().max(1))) {
        held.extend_from_slice(piece);
        let count = connection.receive(&held, Duration::ZERO, &mut memory);
        held.drain(..count);
    }
    while let Some(accepted) = connection.accept() {
        read.push(format!("{:?}", accepted.head.map(|head| lines(&head))));
        empty(&mut connection, accepted.key);
        connection.close(accepted.key, Vec::new(), &mut memory);
    }
    if role == Role::Client {
        let mut head = ResponseHead::new(200);
        let replied = connection.reply(0, &mut head, &mut memory);
        read.push(format!("{replied:?} {}", head.status()));
        empty(&mut connection, 0);
        connection.close(0, Vec::new(), &mut memory);
    }
    assert_eq!(connection.held_streams(), 0);
    let said = connection.output().to_vec();
    assert!(said.len() <= greeted + 2 * data.len() + 200, "much is said");
    (said, read)
}

fn lines(head: &RequestHead) -> Vec<u8> {
    let mut out = Vec::new();
    head.write_http1(&mut out, head.framing, false);
    out
}

/// Takes the body, as far as it came.
fn empty(connection: &mut Connection, key: usize) {
    let mut piece = Vec::new();
    while let Ok(Body::Data { .. }) = connection.take_body(key, &mut piece) {
        connection.used(key, piece.len());
        piece.clear();
    }
}

//! The head of a response of HTTP/1.

use std::time::Duration;

use aviary_http::http2::{Memory, Role};
use aviary_http::parse::{Limits, Scanner, response};
use aviary_http::{Connection, Framing, RequestHead, ResponseHead};

use crate::http2_frames::side;

/// Reads `data`: a first byte whose lowest bit says that `HEAD` was asked, and a response.
pub fn run(data: &[u8]) {
    let (number, data) = crate::number(data);
    let was_head = number % 2 == 1;
    let Some((head, end)) = read(data, was_head) else {
        return;
    };
    assert!((100..=999).contains(&head.status()));
    if was_head || head.status() < 200 || matches!(head.status(), 204 | 304) {
        assert_eq!(head.framing, Framing::None);
    }
    for (name, value) in head.fields.iter() {
        assert!(!name.is_empty());
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
    let mut out = Vec::new();
    head.write_http1(&mut out, head.framing, Connection::default());
    assert!(out.len() <= end + 64);
    let again = read(&out, was_head);
    assert!(again.is_some(), "what was written is well formed");
    if let Some((again, whole)) = again {
        assert_eq!(whole, out.len());
        assert_eq!(again.status(), head.status());
        assert_eq!(again.framing, head.framing);
        assert_eq!(again.fields, head.fields);
    }
    if head.status() >= 200 {
        http2_carries(&head, was_head);
    }
}

/// What goes to HTTP/2 comes out of it as the same reply.
fn http2_carries(head: &ResponseHead, was_head: bool) {
    let (mut client, mut server) = (side(Role::Client), side(Role::Server));
    let mut memory = Memory::default();
    let mut request = RequestHead::new();
    request.set_method(if was_head { "HEAD" } else { "GET" });
    request.set_authority("a");
    request.set_path("/");
    assert_eq!(client.open(&request, true), Ok(Some(0)));
    server.receive(client.output(), Duration::ZERO, &mut memory);
    let key = server.accept().map(|accepted| accepted.key);
    assert_eq!(key, Some(0));
    let answered = server.respond(0, head, head.framing.is_empty());
    assert_eq!(answered, Ok(()));
    client.receive(server.output(), Duration::ZERO, &mut memory);
    let mut again = ResponseHead::new(200);
    assert_eq!(client.reply(0, &mut again, &mut memory), Ok(true));
    assert_eq!(again.status(), head.status());
    assert!(again.fields.len() <= head.fields.len());
}

fn read(data: &[u8], was_head: bool) -> Option<(ResponseHead, usize)> {
    let limits = Limits::default();
    let end = Scanner::new().end(data, &limits).ok()??;
    let mut head = ResponseHead::new(200);
    response(&data[..end], was_head, &limits, &mut head).ok()?;
    Some((head, end))
}

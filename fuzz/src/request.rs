//! The head of a request of HTTP/1.

use std::time::Duration;

use aviary_http::http2::{Memory, Role};
use aviary_http::parse::{Limits, Scanner, request};
use aviary_http::path::{EscapedSlashes, Normal, Normalize, normalize};
use aviary_http::{Error, RequestHead};

use crate::http2_frames::{greeting, side};

/// Reads `data`: a first byte that says into what pieces it is cut, and a request.
pub fn run(data: &[u8]) {
    let (size, data) = crate::number(data);
    pieces_end_as_the_whole(data, size % 17 + 1);
    let Some((head, end)) = read(data) else {
        return;
    };
    assert!(head.fields.len() <= Limits::default().fields);
    no_line_hides_in(&head);
    httparse_agrees(&head, &data[..end]);
    writes_what_it_read(&head, end);
    http2_carries(&head);
    normal_path_is_a_path(&head);
}

/// Reads the head at the start of `data`, and where it ends.
pub fn read(data: &[u8]) -> Option<(RequestHead, usize)> {
    let limits = Limits::default();
    let end = Scanner::new().end(data, &limits).ok()??;
    let mut head = RequestHead::new();
    request(&data[..end], &limits, &mut head).ok()?;
    Some((head, end))
}

/// Bytes that come in pieces give the same end, or an error that the whole gives a step later.
fn pieces_end_as_the_whole(data: &[u8], size: usize) {
    let limits = Limits::default();
    let mut scanner = Scanner::new();
    let mut have = 0;
    let pieces = loop {
        have = (have + size).min(data.len());
        match scanner.end(&data[..have], &limits) {
            Ok(None) if have < data.len() => {}
            other => break other,
        }
    };
    match (Scanner::new().end(data, &limits), pieces) {
        (Ok(Some(end)), Err(_)) => {
            let mut head = RequestHead::new();
            assert!(request(&data[..end], &limits, &mut head).is_err());
        }
        (Err(one), Err(other)) => assert!(one == other || is_size(one) || is_size(other)),
        (whole, pieces) => assert_eq!(whole, pieces),
    }
}

fn is_size(error: Error) -> bool {
    matches!(error, Error::HeadTooLarge | Error::TargetTooLong)
}

/// No CR, LF or NUL is in anything that is matched, logged or written.
fn no_line_hides_in(head: &RequestHead) {
    let is_line = |bytes: &[u8]| bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    for (name, value) in head.fields.iter() {
        assert!(!is_line(name) && !is_line(value));
        assert!(!name.is_empty() && value == value.trim_ascii());
    }
    for text in [head.method(), head.authority(), head.path()] {
        assert!(!is_line(text.as_bytes()) && !text.contains(' '));
    }
    assert!(!head.authority().is_empty());
}

/// hyper's parser reads the same message; fields that were taken out are among its own.
fn httparse_agrees(head: &RequestHead, input: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut other = httparse::Request::new(&mut fields);
    let complete =
        matches!(other.parse(input), Ok(httparse::Status::Complete(end)) if end == input.len());
    assert!(complete);
    assert_eq!(other.method, Some(head.method()));
    let mut theirs = other
        .headers
        .iter()
        .map(|field| (field.name.as_bytes(), field.value.trim_ascii()));
    for ours in head.fields.iter().filter(|(name, _)| *name != b"te") {
        assert!(theirs.any(|field| field == ours));
    }
}

/// What is written is read again as the same, and is hardly longer than what came.
fn writes_what_it_read(head: &RequestHead, end: usize) {
    let mut out = Vec::new();
    head.write_http1(&mut out, head.framing, true);
    assert!(out.len() <= end + 64);
    let again = read(&out);
    assert!(again.is_some(), "what was written is well formed");
    if let Some((again, whole)) = again {
        assert_eq!(whole, out.len());
        assert_eq!(again.method(), head.method());
        assert_eq!(again.authority(), head.authority());
        assert_eq!(again.path(), head.path());
        assert_eq!(again.framing.length(), head.framing.length());
        assert_eq!(again.fields, head.fields);
    }
}

/// What goes to HTTP/2 comes out of it as the same request.
fn http2_carries(head: &RequestHead) {
    let (mut client, mut server) = (side(Role::Client), side(Role::Server));
    greeting(&mut server);
    assert!(client.open(head, head.framing.is_empty()).is_ok());
    let mut memory = Memory::default();
    server.receive(client.output(), Duration::ZERO, &mut memory);
    let again = server.accept().map(|accepted| accepted.head);
    assert!(matches!(again, Some(Ok(_))), "{again:?} of {head:?}");
    if let Some(Ok(again)) = again {
        assert_eq!(again.method(), head.method());
        assert_eq!(again.authority(), head.authority());
        assert_eq!(again.path(), head.path());
        assert!(again.fields.len() <= head.fields.len());
    }
}

/// The normal form of a path can stand in a request.
fn normal_path_is_a_path(head: &RequestHead) {
    let wanted = Normalize {
        dots: true,
        merge_slashes: true,
        escaped_slashes: EscapedSlashes::UnescapeAndForward,
    };
    if let Ok(Normal::Changed(path)) = normalize(head.path(), wanted) {
        let mut head = head.clone();
        head.set_path(&path);
        assert_eq!(head.path(), path);
    }
}

//! Heads of HTTP/2 on their way to HTTP/1.

use std::time::Duration;

use aviary_http::http2::frame::{Head, flag, kind};
use aviary_http::http2::{Connection, Memory, PREFACE, Role};
use aviary_http::{RequestHead, ResponseHead};

use crate::http2_frames::{greeting, side};

/// Reads `data`: a first byte whose lowest bit ends the stream, and lines `name:value`, divided by
/// byte 0xfe. What is let through must be well-formed in HTTP/1.
pub fn run(data: &[u8]) {
    let (number, data) = crate::number(data);
    let end_stream = number % 2 == 1;
    let block = block(data);
    response(&block, end_stream);
    let Some(head) = request(&block, end_stream) else {
        return;
    };
    let mut out = Vec::new();
    head.write_http1(&mut out, head.framing, false);
    let again = crate::request::read(&out);
    assert!(again.is_some(), "{:?}", String::from_utf8_lossy(&out));
    if let Some((again, end)) = again {
        assert_eq!(end, out.len());
        assert_eq!(again.authority(), head.authority());
        assert_eq!(again.path(), head.path());
        assert_eq!(again.framing.length(), head.framing.length());
        assert_eq!(again.fields, head.fields);
    }
}

fn request(block: &[u8], end_stream: bool) -> Option<Box<RequestHead>> {
    let mut server = side(Role::Server);
    show(&mut server, PREFACE);
    show(&mut server, &frames(block, end_stream));
    server.accept()?.head.ok()
}

fn response(block: &[u8], end_stream: bool) {
    let mut client = side(Role::Client);
    greeting(&mut client);
    let mut head = RequestHead::new();
    head.set_method("GET");
    head.set_authority("a");
    head.set_path("/");
    assert_eq!(client.open(&head, true), Ok(Some(0)));
    show(&mut client, &frames(block, end_stream));
    let mut head = ResponseHead::new(200);
    let Ok(true) = client.reply(0, &mut head, &mut Memory::default()) else {
        return;
    };
    let mut out = Vec::new();
    head.write_http1(&mut out, head.framing, aviary_http::Connection::default());
    let ends = out.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
    assert_eq!(ends, 1, "one head, and nothing behind it");
}

fn show(connection: &mut Connection, bytes: &[u8]) {
    let read = connection.receive(bytes, Duration::ZERO, &mut Memory::default());
    assert_eq!(read, bytes.len());
}

/// Settings, and a head on the first stream.
fn frames(block: &[u8], end_stream: bool) -> Vec<u8> {
    let frame = |kind, flags, stream, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap_or_default();
        let head = Head {
            length,
            kind,
            flags,
            stream,
        };
        [head.bytes().as_slice(), payload].concat()
    };
    let end = if end_stream { flag::END_STREAM } else { 0 };
    let settings = frame(kind::SETTINGS, 0, 0, &[]);
    let headers = frame(kind::HEADERS, flag::END_HEADERS | end, 1, block);
    [settings, headers].concat()
}

/// The lines as fields that are written out. Pseudo fields begin with a colon of their own.
fn block(data: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for line in data.split(|byte| *byte == 0xfe).take(120) {
        let colon = line.iter().skip(1).position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.map_or(line.len(), |at| at + 1));
        let value = value.get(1..).unwrap_or_default();
        let length = |text: &[u8]| u8::try_from(text.len()).ok().filter(|it| *it < 127);
        if let (Some(name_len), Some(value_len)) = (length(name), length(value)) {
            block.extend_from_slice(&[0, name_len]);
            block.extend_from_slice(name);
            block.push(value_len);
            block.extend_from_slice(value);
        }
    }
    block
}

//! A connection of HTTP/1.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Orders, Seen, Server};
use crate::message::{Fields, field, text};

pub(super) fn serve(server: &Server, stream: TcpStream) {
    let Ok(mut out) = stream.try_clone() else {
        return;
    };
    let mut input = BufReader::new(stream);
    while let Some(seen) = read(server.name, &mut input) {
        let is_head = seen.line.starts_with("HEAD ");
        let orders = server.take(seen);
        if orders.hang {
            // Until the proxy has lost its patience.
            let _ = input.read(&mut [0]);
            return;
        }
        pause(orders.slow);
        if orders.close
            || out
                .write_all(&answer(server.name, orders, is_head))
                .is_err()
        {
            return;
        }
    }
}

/// A server that takes its time.
fn pause(time: Duration) {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    if !time.is_zero() {
        let _ = never.recv_timeout(time);
    }
}

fn answer(name: &str, orders: Orders, is_head: bool) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {} Whatever\r\n", orders.status);
    for (name, value) in orders.fields(name) {
        text += &format!("{name}: {value}\r\n");
    }
    text += "connection: keep-alive, x-hop\r\nx-hop: 1\r\n";
    let body = if orders.empty {
        String::new()
    } else {
        format!("{name}\n")
    };
    let chunked = orders.chunked || orders.trailers;
    text += &match orders.has_body() {
        false => String::new(),
        true if chunked => "transfer-encoding: chunked\r\n".to_owned(),
        true => format!("content-length: {}\r\n", body.len()),
    };
    text += "\r\n";
    if orders.has_body() && !is_head {
        text += &if chunked {
            let trailers = match orders.trailers {
                true => "x-end: 1\r\n",
                false => "",
            };
            format!("{:x}\r\n{body}\r\n0\r\n{trailers}\r\n", body.len())
        } else {
            body
        };
    }
    text.into_bytes()
}

fn read(name: &str, input: &mut impl BufRead) -> Option<Seen> {
    let mut head = head(input)?.into_iter();
    let line = head.next()?;
    let headers = fields(head);
    let (body, trailers) = body(&headers, input)?;
    Some(Seen {
        server: name.to_owned(),
        line,
        headers,
        body: body.len(),
        trailers,
    })
}

/// The lines up to the blank one; `None` at the end of the connection.
pub(crate) fn head(input: &mut impl BufRead) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let line = text(&line);
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            return Some(lines);
        }
        lines.push(line.to_owned());
    }
}

pub(crate) fn fields(lines: impl IntoIterator<Item = String>) -> Fields {
    let field = |line: String| {
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
    };
    lines.into_iter().map(field).collect()
}

/// A body and its trailers; that of an answer without a length goes on to the end of the connection
/// where `close` is among its headers.
pub(crate) fn body(headers: &Fields, input: &mut impl BufRead) -> Option<(Vec<u8>, Fields)> {
    let is_chunked =
        field(headers, "transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
    let mut body = Vec::new();
    if !is_chunked {
        let length = field(headers, "content-length").map_or(Some(0), |it| it.parse().ok())?;
        body.resize(length, 0);
        input.read_exact(&mut body).ok()?;
        return Some((body, Fields::new()));
    }
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let size = usize::from_str_radix(line.trim(), 16).ok()?;
        if size == 0 {
            return Some((body, fields(head(input)?)));
        }
        let mut chunk = vec![0; size + 2];
        input.read_exact(&mut chunk).ok()?;
        body.extend(&chunk[..size]);
    }
}

//! Servers that remember what they got, byte by byte, and do what a request tells them to.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// Names a request through everything; both proxies pass it on untouched.
pub(crate) const ID: &str = "x-test-id";
/// What the server is to do: `fail=2` (503 to the first two tries), `status=404`, `close` (end the
/// connection without an answer), `slow=50` (milliseconds), separated by `,`.
pub(crate) const DO: &str = "x-do";

/// A request as a server got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Name of the server.
    pub(crate) server: String,
    /// The request line.
    pub(crate) line: String,
    /// Names as sent, and values.
    pub(crate) headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub(crate) body: usize,
}

type Record = Arc<Mutex<HashMap<String, Vec<Seen>>>>;

/// Servers by name, for one proxy.
#[derive(Debug)]
pub(crate) struct Upstreams {
    pub(crate) addresses: BTreeMap<&'static str, SocketAddr>,
    record: Record,
}

impl Upstreams {
    /// Starts a server for each name; they live as long as the process.
    pub(crate) fn start(names: &[&'static str]) -> Self {
        let record = Record::default();
        let mut addresses = BTreeMap::new();
        for name in names {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            addresses.insert(*name, listener.local_addr().expect("bound"));
            let record = Arc::clone(&record);
            let name = (*name).to_owned();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (name, record) = (name.clone(), Arc::clone(&record));
                    std::thread::spawn(move || serve(&name, stream, &record));
                }
            });
        }
        Self { addresses, record }
    }

    /// What came with this id, in order.
    pub(crate) fn seen(&self, id: &str) -> Vec<Seen> {
        self.record.lock().get(id).cloned().unwrap_or_default()
    }
}

fn serve(name: &str, stream: TcpStream, record: &Record) {
    let Ok(mut out) = stream.try_clone() else {
        return;
    };
    let mut input = BufReader::new(stream);
    while let Some(seen) = read(name, &mut input) {
        let header = |name: &str| {
            let found = seen
                .headers
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map_or("", |(_, value)| value).to_owned()
        };
        let (id, orders) = (header(ID), header(DO));
        let is_head = seen.line.starts_with("HEAD ");
        let before = {
            let mut record = record.lock();
            let all = record.entry(id).or_default();
            all.push(seen);
            all.len() - 1
        };
        let mut status = 200;
        for order in orders.split(',') {
            match order.split_once('=').unwrap_or((order, "0")) {
                ("fail", times) if before < times.parse().unwrap_or(0) => status = 503,
                ("status", code) => status = code.parse().unwrap_or(200),
                ("slow", time) => pause(Duration::from_millis(time.parse().unwrap_or(0))),
                ("close", _) => return,
                _ => {}
            }
        }
        if out.write_all(&answer(name, status, is_head)).is_err() {
            return;
        }
    }
}

/// A server that takes its time: the event waited for is the proxy's loss of patience.
fn pause(time: Duration) {
    let (_keep, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(time);
}

fn answer(name: &str, status: u16, is_head: bool) -> Vec<u8> {
    let body = format!("{name}\n");
    let length = match status {
        204 | 304 => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    let body = if is_head || length.is_empty() {
        ""
    } else {
        &body
    };
    format!(
        "HTTP/1.1 {status} Whatever\r\nX-Up: {name}\r\n{length}content-type: text/plain\r\nx-twice: 1\r\nx-twice: 2\r\n\
         server: {name}\r\nx-drop: me\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\n\r\n{body}"
    )
    .into_bytes()
}

fn read(name: &str, input: &mut impl BufRead) -> Option<Seen> {
    let mut head = Vec::new();
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let text: String = line.iter().map(|byte| char::from(*byte)).collect();
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        if text.is_empty() {
            break;
        }
        head.push(text);
    }
    let mut lines = head.into_iter();
    let line = lines.next()?;
    let headers: Vec<_> = lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or((&line, ""));
            (name.to_owned(), value.trim().to_owned())
        })
        .collect();
    let body = body(&headers, input)?;
    Some(Seen {
        server: name.to_owned(),
        line,
        headers,
        body,
    })
}

/// Reads a body away and gives its size.
pub(crate) fn body(headers: &[(String, String)], input: &mut impl BufRead) -> Option<usize> {
    let header = |name: &str| {
        let found = headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        let mut size = 0;
        loop {
            let mut line = String::new();
            input.read_line(&mut line).ok()?;
            let chunk = usize::from_str_radix(line.trim(), 16).ok()?;
            let mut rest = vec![0; chunk + 2];
            input.read_exact(&mut rest).ok()?;
            if chunk == 0 {
                return Some(size);
            }
            size += chunk;
        }
    }
    let length: usize = header("content-length").map_or(Some(0), |value| value.parse().ok())?;
    let mut rest = vec![0; length];
    input.read_exact(&mut rest).ok()?;
    Some(length)
}

//! Servers that remember what they got, byte by byte, and do what a request tells them to. Both
//! proxies have the same, so that what is chosen by an address is chosen alike.

pub(crate) mod http1;
pub(crate) mod http2;

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::message::{Fields, field};

/// Names a request through everything; both proxies pass it on untouched.
pub(crate) const ID: &str = "x-test-id";
/// Says which proxy was asked.
pub(crate) const SIDE: &str = "x-test-side";
/// What the server is to do, separated by `,`: see [`Orders`].
pub(crate) const DO: &str = "x-do";

/// A request as a server got it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Name of the server.
    pub(crate) server: String,
    /// The request line.
    pub(crate) line: String,
    /// Names as sent, and values; without the mark of the side.
    pub(crate) headers: Fields,
    /// Bytes of the body.
    pub(crate) body: usize,
    pub(crate) trailers: Fields,
}

/// What came, by the proxy that was asked and the request's id.
type Record = Arc<Mutex<HashMap<(String, String), Vec<Seen>>>>;

/// Servers by name.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) addresses: BTreeMap<&'static str, SocketAddr>,
    record: Record,
}

impl Servers {
    /// Starts a server for each name; they live as long as the process.
    pub(crate) fn start(names: &[&'static str]) -> Self {
        let record = Record::default();
        let mut addresses = BTreeMap::new();
        for name in names {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            addresses.insert(*name, listener.local_addr().expect("bound"));
            let server = Server {
                name,
                record: Arc::clone(&record),
            };
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let server = server.clone();
                    std::thread::spawn(move || server.serve(stream));
                }
            });
        }
        Self { addresses, record }
    }

    /// What came with this id by this side, in order.
    pub(crate) fn seen(&self, side: &str, id: &str) -> Vec<Seen> {
        let key = (side.to_owned(), id.to_owned());
        self.record.lock().get(&key).cloned().unwrap_or_default()
    }

    /// How many requests came so far.
    pub(crate) fn count(&self) -> usize {
        self.record.lock().values().map(Vec::len).sum()
    }
}

/// One of them.
#[derive(Debug, Clone)]
struct Server {
    name: &'static str,
    record: Record,
}

impl Server {
    fn serve(&self, stream: TcpStream) {
        let mut start = [0; 3];
        let _ = stream.set_nodelay(true);
        match stream.peek(&mut start) {
            Ok(1..) if start.starts_with(b"P") && is_http2(&stream) => http2::serve(self, stream),
            Ok(1..) => http1::serve(self, stream),
            _ => {}
        }
    }

    /// Remembers a request, and says what is to be done with it.
    fn take(&self, mut seen: Seen) -> Orders {
        let header = |name| field(&seen.headers, name).unwrap_or_default().to_owned();
        let (id, side, orders) = (header(ID), header(SIDE), header(DO));
        seen.headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case(SIDE));
        let mut record = self.record.lock();
        let all = record.entry((side, id)).or_default();
        all.push(seen);
        Orders::read(&orders, all.len() - 1)
    }
}

/// Waits for enough of the first bytes to tell `PRI` from a method.
fn is_http2(stream: &TcpStream) -> bool {
    let mut start = [0; 3];
    loop {
        match stream.peek(&mut start) {
            Ok(3..) => return &start == b"PRI",
            Ok(1..) => std::thread::yield_now(),
            _ => return false,
        }
    }
}

/// What a request wants of the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an order of its own")]
struct Orders {
    /// `status=404`, and 503 to the first two tries by `fail=2`; 200 otherwise.
    status: u16,
    /// `slow=50`: milliseconds before the answer.
    slow: Duration,
    /// `close`: the connection (or the stream) ends without an answer; with `close=2` that of the
    /// first two tries.
    close: bool,
    /// `hang`: there is never an answer.
    hang: bool,
    /// `chunked`: without a length.
    chunked: bool,
    /// `trailers`: with some at the end.
    trailers: bool,
    /// `empty`: without a body.
    empty: bool,
    /// `again`: with a field that asks for another try.
    again: bool,
}

impl Orders {
    /// Reads them for a request that came so often before.
    fn read(text: &str, before: usize) -> Self {
        let mut orders = Self {
            status: 200,
            ..Self::default()
        };
        for order in text.split(',') {
            let (name, value) = order.split_once('=').unwrap_or((order, ""));
            let number = || value.parse().unwrap_or(usize::MAX);
            match name {
                "fail" if before < number() => orders.status = 503,
                "status" => orders.status = value.parse().unwrap_or(200),
                "slow" => orders.slow = Duration::from_millis(value.parse().unwrap_or(0)),
                "close" => orders.close = before < number(),
                "hang" => orders.hang = true,
                "empty" => orders.empty = true,
                "chunked" => orders.chunked = true,
                "trailers" => orders.trailers = true,
                "again" => orders.again = before < number(),
                _ => {}
            }
        }
        orders
    }

    /// The fields of the answer, but for its framing.
    fn fields(self, name: &str) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("X-Up", name.to_owned()),
            ("content-type", "text/plain".to_owned()),
            ("x-twice", "1".to_owned()),
            ("x-twice", "2".to_owned()),
            ("server", name.to_owned()),
            ("x-drop", "me".to_owned()),
        ];
        if self.again {
            fields.push(("x-again", "please".to_owned()));
        }
        fields
    }

    /// Whether an answer with this status has a body.
    fn has_body(self) -> bool {
        !matches!(self.status, 204 | 304)
    }
}

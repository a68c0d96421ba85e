//! Requests: near what a route wants, and then a little off.

use std::fmt::Write as _;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;

use crate::config::WAYS;
use crate::message;
use crate::server::{DO, ID, SIDE};

/// A request before it is bytes.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) version: &'static str,
    pub(crate) method: &'static str,
    pub(crate) host: String,
    pub(crate) target: String,
    pub(crate) headers: message::Fields,
    pub(crate) body: Option<&'static str>,
    /// The length of the body is not said before it.
    pub(crate) chunked: bool,
    /// The way in; one that follows from the id otherwise.
    pub(crate) way: Option<usize>,
}

impl Request {
    pub(crate) fn get(id: usize, host: &str, target: &str) -> Self {
        Self {
            id: id.to_string(),
            version: "HTTP/1.1",
            method: "GET",
            host: host.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: None,
            chunked: false,
            way: None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn orders(self, orders: &str) -> Self {
        self.header(DO, orders)
    }

    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        if matches!(method, "POST" | "PUT" | "PATCH") {
            self.body = Some("some bytes");
        }
        self
    }

    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = self.body.is_some();
        self
    }

    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Comes in by the way of this name.
    pub(crate) fn by(mut self, name: &str) -> Self {
        self.way = WAYS.iter().position(|way| way.name == name);
        self
    }

    /// Whether it has a header with this value.
    pub(crate) fn has(&self, name: &str, value: &str) -> bool {
        self.headers.iter().any(|it| it.0 == name && it.1 == value)
    }

    /// Number of the way in.
    pub(crate) fn way(&self) -> usize {
        let by_id = || self.id.parse::<usize>().unwrap_or(0) / 7 % WAYS.len();
        self.way.unwrap_or_else(by_id)
    }

    /// Whether it comes in by the way of this name.
    pub(crate) fn way_is(&self, name: &str) -> bool {
        WAYS[self.way()].name == name
    }

    /// In the words of HTTP/1, to the proxy of this side.
    pub(crate) fn bytes(&self, side: &str) -> Vec<u8> {
        let mut text = format!(
            "{} {} {}\r\nHost: {}\r\n",
            self.method, self.target, self.version, self.host
        );
        for (name, value) in &self.headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(text, "{ID}: {}\r\n", self.id);
        if !side.is_empty() {
            let _ = write!(text, "{SIDE}: {side}\r\n");
        }
        match self.body {
            Some(body) if self.chunked => {
                let length = body.len();
                let _ = write!(
                    text,
                    "transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
                );
            }
            Some(body) => {
                let _ = write!(text, "content-length: {}\r\n\r\n{body}", body.len());
            }
            None => text += "\r\n",
        }
        message::bytes(&text)
    }
}

/// What is put after a path.
const TAILS: [&str; 58] = [
    "",
    "",
    "",
    "",
    "",
    "",
    "/",
    "/b",
    "/b/c",
    "x",
    "//",
    "//b",
    "///b//c",
    "/.",
    "/..",
    "/./b",
    "/../b",
    "/b/../..",
    "/../../..",
    "/%2e%2e/b",
    "/%2E/b",
    "/.%2e/b",
    "/%2fb",
    "%2Fb",
    "%2f",
    "/a%2f..%2fb",
    "/%2F%2f",
    "/%5cb",
    "/%5C..%5Cb",
    "\\b",
    "/b%20c",
    "/%41",
    "/%7e%7E~",
    "/%c3%a9%C3%A9",
    "/%00",
    "/%0d%0a",
    "/%zz",
    "/%",
    "/%2",
    "/%252e%252e/b",
    ";p=1",
    "/b;p=1/c",
    "/;/..;/b",
    "?q=1",
    "?q=2&r=1",
    "?r=1&q=1",
    "?q",
    "?q=",
    "?Q=1",
    "?q=1&q=2",
    "?q=%31",
    "?q=1/../2",
    "?",
    "??q=1",
    "/#f",
    "?q=1#f",
    "/\u{e9}",
    "?q=\u{ff}",
];

/// What is done to a host.
fn twisted(host: &str, rng: &mut SmallRng) -> String {
    match rng.random_range(0..14) {
        0 => format!("{host}:80"),
        1 => format!("{host}:8080"),
        2 => host.to_ascii_uppercase(),
        3 => format!("sub.{host}"),
        4 => format!("{host}."),
        5 => format!("x{host}"),
        _ => host.to_owned(),
    }
}

/// A host, a path and headers that a table speaks of.
#[derive(Debug, Clone, Default)]
pub(crate) struct Words {
    pub(crate) hosts: Vec<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) headers: Vec<(String, String)>,
}

/// One more request about `words`.
pub(crate) fn random(id: usize, words: &Words, rng: &mut SmallRng) -> Request {
    let pick = |of: &[String], rng: &mut SmallRng| of.choose(rng).cloned().unwrap_or_default();
    let host = twisted(&pick(&words.hosts, rng), rng);
    let mut path = pick(&words.paths, rng);
    if rng.random_ratio(1, 12) {
        path = path.to_ascii_uppercase();
    }
    path += TAILS.choose(rng).unwrap_or(&"");
    if rng.random_ratio(1, 40) {
        path = format!("http://{host}{path}");
    }
    let method = *[
        "GET", "GET", "GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "PURGE",
    ]
    .choose(rng)
    .unwrap_or(&"GET");
    let mut request = Request::get(id, &host, &path).method(method);
    if rng.random_ratio(1, 5) {
        request = request.chunked();
    }
    for _ in 0..rng.random_range(0..3) {
        let Some((name, value)) = words.headers.choose(rng) else {
            break;
        };
        let name = if rng.random_ratio(1, 4) {
            name.to_ascii_uppercase()
        } else {
            name.clone()
        };
        let value = match rng.random_range(0..8) {
            0 => format!("{value}x"),
            1 => value.to_ascii_uppercase(),
            2 => String::new(),
            3 => format!("{value}\u{e9}"),
            _ => value.clone(),
        };
        request = request.header(&name, &value);
    }
    odd(request, rng)
}

/// With a field that proxies look at, now and then.
fn odd(request: Request, rng: &mut SmallRng) -> Request {
    match rng.random_range(0..60) {
        0 => request.header("x-forwarded-for", "10.1.2.3"),
        1 => request.header("x-forwarded-proto", "https"),
        2 => request.header("x-request-id", "mine"),
        3 => request.header("x-envoy-upstream-rq-timeout-ms", "2000"),
        4 => request.header("te", "gzip"),
        5 => request.header("te", "trailers"),
        6 => request.header("connection", "x-own").header("x-own", "1"),
        7 => request.header("keep-alive", "timeout=5"),
        8 => request.header("x-envoy-original-path", "/mine"),
        9 => request.header("cookie", "a=1").header("cookie", "b=2"),
        10 => request.header("user-agent", "me"),
        11 => request.header("x-envoy-internal", "true"),
        12 => request.header("via", "1.1 somebody"),
        13 => request.header("expect", "nothing"),
        14 => request.header("x-envoy-retry-on", "5xx").orders("fail=1"),
        15 => request.header("proxy-connection", "keep-alive"),
        16 => request.orders("status=404"),
        17 => request.orders("status=204"),
        18 => request.orders("status=500"),
        19 => request.orders("status=304"),
        20 => request.orders("chunked"),
        21 => request.orders("trailers"),
        22 => request.header("x-forwarded-for", "1.1.1.1, 10.2.2.2 ,3.3.3.3"),
        23 => request.header("x-forwarded-for", "nobody"),
        24 => request.header("x-forwarded-proto", "ftp"),
        25 => request.header("x-forwarded-host", "other.example"),
        26 => request.header("x-envoy-decorator-operation", "mine"),
        27 => request.header("x-envoy-force-trace", "1"),
        28 => request.header("x-forwarded-client-cert", "By=me"),
        29 => request.header("referer", "http://else.example/"),
        30 => request.header("x-by-table", "1"),
        31 => request.version("HTTP/1.0"),
        _ => request,
    }
}

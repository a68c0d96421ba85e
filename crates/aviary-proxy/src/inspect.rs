//! Telling protocols by a connection's first bytes: TLS, HTTP, others.

use std::time::Duration;

use crate::stream::Stream;
use crate::tls::hello::{self, Hello};

/// Request lines longer than this are not HTTP for the inspector.
const LINE_LIMIT: usize = 16 << 10;

/// Methods are at most this long.
const METHOD_LIMIT: usize = 20;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the bytes so far say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing yet: more bytes are needed.
    Undecided,
    /// This application protocol (`http/1.1`, `http/1.0`, `h2c`).
    Http(&'static str),
    /// Not HTTP.
    Other,
}

/// What is known of a connection by its first bytes.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// It begins with TLS.
    pub(crate) hello: Option<Hello>,
    /// It begins with this version of HTTP (`http/1.1`, `http/1.0`, `h2c`).
    pub(crate) http: Option<&'static str>,
}

/// Looks at `stream` until it is clear what it speaks, at most for `patience`. Nothing is found of
/// a client that speaks neither, or waits for the server to speak first.
pub(crate) async fn inspect(
    stream: &mut Stream,
    for_tls: bool,
    for_http: bool,
    patience: Duration,
) -> Found {
    let found = tokio::time::timeout(patience, async {
        loop {
            if let Some(found) = found(stream.seen(), for_tls, for_http) {
                return found;
            }
            match stream.look().await {
                Ok(0) | Err(_) => return Found::default(),
                Ok(_) => {}
            }
        }
    });
    found.await.unwrap_or_default()
}

/// `None` while more bytes may tell more.
fn found(bytes: &[u8], for_tls: bool, for_http: bool) -> Option<Found> {
    let mut open = false;
    if for_tls {
        match hello::verdict(bytes) {
            hello::Verdict::Hello(hello) => {
                return Some(Found {
                    hello: Some(hello),
                    http: None,
                });
            }
            hello::Verdict::Undecided => open = true,
            hello::Verdict::Other => {}
        }
    }
    if for_http {
        match verdict(bytes) {
            Verdict::Http(protocol) => {
                return Some(Found {
                    hello: None,
                    http: Some(protocol),
                });
            }
            Verdict::Undecided => open = true,
            Verdict::Other => {}
        }
    }
    (!open).then(Found::default)
}

/// What `bytes`, the beginning of a connection, say.
///
/// Source: Envoy's HTTP inspector: a request line of HTTP/1, or the preface of HTTP/2.
pub(crate) fn verdict(bytes: &[u8]) -> Verdict {
    let common = bytes.len().min(PREFACE.len());
    if common > 0 && bytes[..common] == PREFACE[..common] {
        return if common == PREFACE.len() {
            Verdict::Http("h2c")
        } else {
            Verdict::Undecided
        };
    }
    let method = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_uppercase())
        .count();
    match bytes.get(method) {
        None if method <= METHOD_LIMIT => return Verdict::Undecided,
        Some(b' ') if (1..=METHOD_LIMIT).contains(&method) => {}
        _ => return Verdict::Other,
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LINE_LIMIT {
            Verdict::Undecided
        } else {
            Verdict::Other
        };
    };
    let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
    if line.ends_with(b" HTTP/1.1") {
        Verdict::Http("http/1.1")
    } else if line.ends_with(b" HTTP/1.0") {
        Verdict::Http("http/1.0")
    } else {
        Verdict::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_first_bytes_table() {
        let table: [(&[u8], Verdict); 9] = [
            (b"", Verdict::Undecided),
            (b"GE", Verdict::Undecided),
            (b"GET /x HTT", Verdict::Undecided),
            (b"GET /x HTTP/1.1\r\n", Verdict::Http("http/1.1")),
            (b"GET /x HTTP/1.0\n", Verdict::Http("http/1.0")),
            (b"PRI * HT", Verdict::Undecided),
            (PREFACE, Verdict::Http("h2c")),
            (b"SSH-2.0-x\r\n", Verdict::Other),
            (b"\x16\x03\x01", Verdict::Other),
        ];
        for (bytes, want) in table {
            assert_eq!(verdict(bytes), want, "{bytes:?}");
        }
    }
}

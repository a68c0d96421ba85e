//! The head of a response.

use crate::fields::Fields;
use crate::message::{Connection, Framing, Upgrade, Version};

/// The head of a response.
///
/// Framing and the fields of the connection are taken out of `fields`, as with
/// [`crate::RequestHead`]. Only a `content-length` that tells of a body that is not sent (the answer
/// to `HEAD`, and 304) stays among them.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    status: u16,
    pub(crate) reason: Vec<u8>,
    pub(crate) version: Version,
    /// The fields that belong to the response.
    pub fields: Fields,
    /// Where the body ends.
    pub framing: Framing,
    /// What the sender said about its connection.
    pub connection: Connection,
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new(200)
    }
}

impl ResponseHead {
    /// A response without fields and body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            reason: Vec::new(),
            version: Version::Http11,
            fields: Fields::new(),
            framing: Framing::None,
            connection: Connection::default(),
        }
    }

    /// Forgets everything and keeps the memory; the status becomes 200.
    pub fn clear(&mut self) {
        self.status = 200;
        self.reason.clear();
        self.version = Version::default();
        self.fields.clear();
        self.framing = Framing::default();
        self.connection = Connection::default();
    }

    /// The status, 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Replaces the status, and forgets the sender's reason if it was another.
    pub fn set_status(&mut self, status: u16) {
        if self.status != status {
            self.reason.clear();
            self.status = status;
        }
    }

    /// The version in which it came.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether another response to the same request follows: 1xx but 101.
    pub fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }

    /// Whether the connection that it came on can be used again once the body is read.
    pub fn persists(&self) -> bool {
        self.status != 101
            && self.framing != Framing::Close
            && self.connection.persists(self.version)
    }

    /// Appends the head as HTTP/1.1, with the blank line.
    ///
    /// `framing` is that of the body that will follow, and `connection` what is said to the
    /// receiver about its connection: `close`, else a WebSocket upgrade, else `keep_alive`.
    pub fn write_http1(&self, out: &mut Vec<u8>, framing: Framing, connection: Connection) {
        out.reserve(self.reason.len() + self.fields.bytes.len() + 96);
        out.extend_from_slice(b"HTTP/1.1 ");
        let digit = |unit: u16| b'0' + u8::try_from(self.status / unit % 10).unwrap_or_default();
        out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
        if self.reason.is_empty() {
            out.extend_from_slice(canonical_reason(self.status).as_bytes());
        } else {
            out.extend_from_slice(&self.reason);
        }
        out.extend_from_slice(b"\r\n");
        self.fields.write_runs(out);
        framing.write(out);
        if connection.close {
            out.extend_from_slice(b"connection: close\r\n");
        } else if connection.upgrade == Some(Upgrade::WebSocket) {
            out.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n");
        } else if connection.keep_alive {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether a response with this status has no body whatever its fields say.
///
/// Source: RFC 9112 §6.3.
pub(crate) fn is_bodiless(status: u16) -> bool {
    status < 200 || status == 204 || status == 304
}

fn canonical_reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown")
}

//! What a head says about its connection and its body.

/// Version of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// As access logs and status lines write it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// Scheme of a request; decided by the connection that it came on, not by what the client wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Scheme {
    /// Plain text.
    #[default]
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// In lower case, without `://`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Where a body ends.
///
/// Source: RFC 9112 §6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    /// After so many bytes, at most 2^63-1.
    Length(u64),
    /// At its end mark: the last chunk of HTTP/1, the end of the stream of HTTP/2. The length is
    /// not known before.
    Chunked,
    /// When the connection closes; only of a response of HTTP/1.
    Close,
}

impl Framing {
    /// Whether there is nothing to read.
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }

    /// The length, when it is known.
    pub fn length(self) -> Option<u64> {
        match self {
            Self::None => Some(0),
            Self::Length(length) => Some(length),
            Self::Chunked | Self::Close => None,
        }
    }

    /// Appends the field that tells it, if it needs one.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::None | Self::Close => {}
            Self::Length(length) => {
                out.extend_from_slice(b"content-length: ");
                out.extend_from_slice(decimal(length, &mut [0; 20]));
                out.extend_from_slice(b"\r\n");
            }
            Self::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
    }
}

/// What a message asks its connection to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// `websocket`
    WebSocket,
    /// Anything else; `h2c` is not among it, because it is ignored as Envoy does.
    Other,
}

/// What a message says about its connection, and nothing about the next hop's.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that a message says, and any of them can be said together"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Connection {
    /// `connection: close`
    pub close: bool,
    /// `connection: keep-alive`, which counts only for HTTP/1.0.
    pub keep_alive: bool,
    /// `connection: upgrade` with a protocol.
    pub upgrade: Option<Upgrade>,
    /// `expect: 100-continue`
    pub expect_continue: bool,
    /// `te: trailers`; the field itself stays among the fields.
    pub te_trailers: bool,
}

impl Connection {
    /// Whether the connection can carry another message after this one.
    ///
    /// Source: RFC 9112 §9.3.
    pub fn persists(self, version: Version) -> bool {
        match version {
            Version::Http10 => self.keep_alive && !self.close,
            Version::Http11 => !self.close,
            Version::Http2 => true,
        }
    }
}

/// A number in decimal.
pub(crate) fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

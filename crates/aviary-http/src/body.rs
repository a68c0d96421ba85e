//! Bodies of HTTP/1 from bytes, and the framing of what is sent.

#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::fields::Fields;
use crate::message::Framing;
use crate::parse::{Seen, Side, fields};

/// Bytes of chunk extensions in one body.
pub const EXTENSION_LIMIT: usize = 16 << 10;
/// Bytes of the trailers of one body.
pub const TRAILER_LIMIT: usize = 16 << 10;
/// Trailers of one body.
pub const TRAILER_FIELD_LIMIT: usize = 64;
/// Digits of a chunk size that still fit into 63 bits, with leading zeros.
const SIZE_DIGITS: u8 = 16;

/// What the bytes at hand are.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// All of them, `consumed`, are framing: more are needed.
    More {
        /// Bytes to drop.
        consumed: usize,
    },
    /// After `skip` bytes of framing come `len` bytes of the body, at least one.
    Data {
        /// Bytes to drop first.
        skip: usize,
        /// Bytes of the body behind them.
        len: usize,
    },
    /// After `consumed` bytes the body is over.
    End {
        /// Bytes to drop; what follows them belongs to the next message.
        consumed: usize,
        /// Trailers, when there are any.
        trailers: Option<Fields>,
    },
}

#[derive(Debug)]
enum State {
    /// So many bytes of the body follow.
    Length(u64),
    /// In a chunk's size, after so many digits.
    Size {
        size: u64,
        digits: u8,
    },
    /// In a chunk's extensions.
    Extension {
        size: u64,
    },
    /// Before the LF that ends a chunk's size line.
    SizeLf {
        size: u64,
    },
    /// So many bytes of the chunk follow.
    Chunk(u64),
    /// Before the CR behind a chunk.
    ChunkCr,
    /// Before the LF behind a chunk.
    ChunkLf,
    /// In the trailers; the bytes so far.
    Trailers(Vec<u8>),
    /// All bytes until the connection closes.
    Close,
    Done,
}

/// Reads one body. It is given what came in, says what that is, and keeps none of it but trailers.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Bytes of extensions so far.
    extensions: usize,
}

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size { size: 0, digits: 0 },
            Framing::Close => State::Close,
        };
        Self {
            state,
            extensions: 0,
        }
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Bytes that are left of a body whose length was told; `None` for other bodies.
    pub fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Counts `len` bytes as read that went another way, such as spliced; at most
    /// [`Decoder::remaining`].
    pub fn advance(&mut self, len: u64) {
        if let State::Length(left) = &mut self.state {
            *left = left.saturating_sub(len);
            if *left == 0 {
                self.state = State::Done;
            }
        }
    }

    /// Whether the end of the connection is a proper end of the body.
    pub fn may_close(&self) -> bool {
        matches!(self.state, State::Close | State::Done)
    }

    /// Says what `input` begins with. The caller drops what is consumed, `skip + len` for data,
    /// and asks again with the rest; empty input and a body that is over are fine.
    ///
    /// # Errors
    /// When the framing is broken or its parts are too long; the decoder is then of no use.
    pub fn decode(&mut self, input: &[u8]) -> Result<Step, Error> {
        let mut at = 0;
        loop {
            match &mut self.state {
                State::Done => {
                    return Ok(Step::End {
                        consumed: at,
                        trailers: None,
                    });
                }
                State::Length(left) | State::Chunk(left) if at < input.len() => {
                    let len = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(input.len() - at);
                    *left -= len as u64;
                    if *left == 0 {
                        self.state = match self.state {
                            State::Chunk(_) => State::ChunkCr,
                            _ => State::Done,
                        };
                    }
                    return Ok(Step::Data { skip: at, len });
                }
                State::Close if at < input.len() => {
                    return Ok(Step::Data {
                        skip: at,
                        len: input.len() - at,
                    });
                }
                State::Trailers(held) => {
                    let Some(end) = collect(held, &input[at..])? else {
                        return Ok(Step::More {
                            consumed: input.len(),
                        });
                    };
                    let trailers = trailers(held)?;
                    self.state = State::Done;
                    return Ok(Step::End {
                        consumed: at + end,
                        trailers,
                    });
                }
                _ => {}
            }
            let Some(byte) = input.get(at) else {
                return Ok(Step::More { consumed: at });
            };
            self.framing_byte(*byte)?;
            at += 1;
        }
    }

    /// One byte of the framing of chunks.
    fn framing_byte(&mut self, byte: u8) -> Result<(), Error> {
        self.state = match (&self.state, byte) {
            (&State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                if digits == SIZE_DIGITS {
                    return Err(Error::BadChunk);
                }
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    _ => (byte | 0x20) - b'a' + 10,
                };
                State::Size {
                    size: size << 4 | u64::from(digit),
                    digits: digits + 1,
                }
            }
            (&State::Size { size, digits }, b'\r' | b';')
                if digits > 0 && i64::try_from(size).is_ok() =>
            {
                if byte == b'\r' {
                    State::SizeLf { size }
                } else {
                    State::Extension { size }
                }
            }
            (&State::Extension { size }, b'\r') => State::SizeLf { size },
            (&State::Extension { size }, _) if !crate::fields::is_control(byte) => {
                self.extensions += 1;
                if self.extensions > EXTENSION_LIMIT {
                    return Err(Error::ExtensionsTooLong);
                }
                State::Extension { size }
            }
            (State::SizeLf { size: 0 }, b'\n') => State::Trailers(Vec::new()),
            (&State::SizeLf { size }, b'\n') => State::Chunk(size),
            (State::ChunkCr, b'\r') => State::ChunkLf,
            (State::ChunkLf, b'\n') => State::Size { size: 0, digits: 0 },
            _ => return Err(Error::BadChunk),
        };
        Ok(())
    }
}

/// Adds bytes to the trailers held; after how many of `input` they are complete.
fn collect(held: &mut Vec<u8>, input: &[u8]) -> Result<Option<usize>, Error> {
    for (at, byte) in input.iter().enumerate() {
        held.push(*byte);
        if *byte == b'\n' && (held.as_slice() == b"\r\n" || held.ends_with(b"\r\n\r\n")) {
            return Ok(Some(at + 1));
        }
        if held.len() >= TRAILER_LIMIT {
            return Err(Error::TrailersTooLarge);
        }
        let before = held.len().checked_sub(2).map(|at| held[at]);
        if (before == Some(b'\r')) != (*byte == b'\n') {
            return Err(Error::BadByte);
        }
    }
    Ok(None)
}

/// Reads trailers, with their blank line. Fields that may not stand there are left out.
///
/// Source: RFC 9110 §6.5.1.
fn trailers(held: &[u8]) -> Result<Option<Fields>, Error> {
    let section = held.strip_suffix(b"\r\n").unwrap_or_default();
    if section.is_empty() {
        return Ok(None);
    }
    let mut into = Fields::new();
    let (limit, mut seen) = (TRAILER_FIELD_LIMIT, Seen::default());
    let read = fields(section, 0, Side::Trailers, limit, &mut into, &mut seen);
    read.map_err(|error| {
        if error == Error::TooManyFields {
            Error::TrailersTooLarge
        } else {
            error
        }
    })?;
    into.remove_where(|name, _| is_forbidden_trailer(name));
    Ok((!into.is_empty()).then_some(into))
}

/// Fields that are about routing, authentication or the framing of the whole message.
fn is_forbidden_trailer(name: crate::Name) -> bool {
    use crate::Name;
    matches!(
        name,
        Name::Authorization
            | Name::Cookie
            | Name::SetCookie
            | Name::ContentEncoding
            | Name::ContentRange
            | Name::ContentType
            | Name::CacheControl
            | Name::ProxyAuthenticate
            | Name::ProxyAuthorization
            | Name::WwwAuthenticate
            | Name::Forwarded
            | Name::XForwardedClientCert
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedPort
            | Name::XForwardedProto
            | Name::XRequestId
    )
}

/// Appends the line before a chunk of `len` bytes, which must not be 0; behind the chunk comes
/// CRLF.
pub fn write_chunk_head(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len > 0);
    let mut digits = [0u8; 16];
    let mut at = digits.len();
    let mut rest = len;
    while rest > 0 {
        at -= 1;
        digits[at] = b"0123456789abcdef"[rest & 0xf];
        rest >>= 4;
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        trailers.write_runs(out);
    }
    out.extend_from_slice(b"\r\n");
}

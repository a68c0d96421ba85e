//! Clients of one proxy.

mod http1;
mod http2;

use std::net::SocketAddr;

use crate::message::Answer;
use crate::request::Request;

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    Http1,
    Http2,
}

/// A connection that is opened again when it was closed.
pub(crate) enum Client {
    Http1(http1::Client),
    Http2(http2::Client),
}

impl Client {
    pub(crate) fn new(speech: Speech, address: SocketAddr) -> Self {
        match speech {
            Speech::Http1 => Self::Http1(http1::Client::new(address)),
            Speech::Http2 => Self::Http2(http2::Client::new(address)),
        }
    }

    /// Asks, and says which `side` it is; `None` when what it speaks has no words for the request.
    pub(crate) fn ask(&mut self, request: &Request, side: &str) -> Option<Answer> {
        match self {
            Self::Http1(client) => Some(client.ask(&request.bytes(side))),
            Self::Http2(client) => client.ask(request, side),
        }
    }
}

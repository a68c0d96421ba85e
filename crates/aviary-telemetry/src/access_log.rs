//! Access logs: which exchanges are logged, what is kept of them, and how a line is written.
//!
//! [`Logs`] is compiled once per configuration. A worker copies only the header fields that some
//! format names ([`Logs::request`], [`Logs::response`], [`Logs::trailers`]) and hands an [`Entry`]
//! over; another thread writes the line ([`Logs::write`]).

pub mod line;
pub mod format;
pub mod values;
mod operator;
mod parse;
mod time;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aviary_http::{Fields, RequestHead, ResponseHead};

pub use format::{Error, Format, Host};
pub use values::Values;

use crate::flags::Flags;
use crate::recorder::GrpcStatus;
use crate::trace::Context;
use values::Wanted;

/// The logs of one HTTP or TCP chain.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    wanted: Wanted,
    formats: Vec<Format>,
}

/// What is known of one exchange, owned, to be written elsewhere. Absent values are written as `-`,
/// or as `null` in JSON.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Header fields that the formats name.
    pub values: Values,
    /// When the request or connection began.
    pub start: SystemTime,
    /// From first to last byte.
    pub duration: Duration,
    /// From the request's first byte to its last one.
    pub request_duration: Option<Duration>,
    /// From the request's first byte to the first one of the endpoint's reply.
    pub response_duration: Option<Duration>,
    /// `HTTP/1.1`, `HTTP/2` …; `None` for TCP.
    pub protocol: Option<&'static str>,
    /// What was spoken with the endpoint.
    pub upstream_protocol: Option<&'static str>,
    /// Status of the reply; 0 when there was none.
    pub code: u16,
    /// `grpc-status` of the reply.
    pub grpc_status: GrpcStatus,
    /// Response flags.
    pub flags: Flags,
    /// Envoy's response code details; empty when none.
    pub details: Cow<'static, str>,
    /// Why the client's connection was ended; empty when it was not.
    pub termination_details: Cow<'static, str>,
    /// Why the connection to the endpoint failed; empty when it did not.
    pub upstream_failure: Cow<'static, str>,
    /// Body bytes from the client.
    pub received_bytes: u64,
    /// Body bytes to the client.
    pub sent_bytes: u64,
    /// Tries; 0 when none was made.
    pub attempts: u32,
    /// Number of the client's connection.
    pub connection_id: u64,
    /// Name of the route; empty when it has none.
    pub route: Arc<str>,
    /// The cluster; empty without one.
    pub cluster: Arc<str>,
    /// The endpoint.
    pub upstream_host: Option<SocketAddr>,
    /// Our end of the connection to the endpoint.
    pub upstream_local: Option<SocketAddr>,
    /// Our end of the client's connection, or what it meant to reach.
    pub downstream_local: Option<SocketAddr>,
    /// The client.
    pub downstream_remote: Option<SocketAddr>,
    /// The other end of the client's connection, which may be a proxy before us.
    pub downstream_direct_remote: Option<SocketAddr>,
    /// TLS of the client's connection.
    pub downstream_tls: Tls,
    /// TLS of the connection to the endpoint.
    pub upstream_tls: Tls,
    /// The request's place in its trace.
    pub trace: Option<Context>,
}

/// TLS of one connection; all empty without it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Server name that the client asked for.
    pub server_name: Option<Arc<str>>,
    /// `TLSv1.3` …
    pub version: &'static str,
    /// `TLS_AES_256_GCM_SHA384` …
    pub cipher: &'static str,
    /// SPIFFE id of the other end.
    pub peer_uri_san: Option<Arc<str>>,
    /// SPIFFE id of this end.
    pub local_uri_san: Option<Arc<str>>,
}

impl Entry {
    /// An entry about which nothing is known but its start.
    pub fn new(start: SystemTime) -> Self {
        Self {
            values: Values::default(),
            start,
            duration: Duration::ZERO,
            request_duration: None,
            response_duration: None,
            protocol: None,
            upstream_protocol: None,
            code: 0,
            grpc_status: GrpcStatus::NONE,
            flags: Flags::NONE,
            details: Cow::Borrowed(""),
            termination_details: Cow::Borrowed(""),
            upstream_failure: Cow::Borrowed(""),
            received_bytes: 0,
            sent_bytes: 0,
            attempts: 0,
            connection_id: 0,
            route: Arc::default(),
            cluster: Arc::default(),
            upstream_host: None,
            upstream_local: None,
            downstream_local: None,
            downstream_remote: None,
            downstream_direct_remote: None,
            downstream_tls: Tls::default(),
            upstream_tls: Tls::default(),
            trace: None,
        }
    }
}

impl Logs {
    /// Adds a log and gives its number.
    pub fn add(&mut self, log: LogFormat<'_>, host: &Host<'_>) -> Result<usize, Error> {
        let number = self.formats.len();
        let format = match log {
            LogFormat::Text(text) => Format::text(text, host, &mut self.wanted)?,
            LogFormat::Json(text) => Format::json(text, host, &mut self.wanted)?,
        };
        self.formats.push(format);
        Ok(number)
    }

    /// Whether there is no log at all.
    pub fn is_empty(&self) -> bool {
        self.formats.is_empty()
    }

    /// Keeps what the formats name of a request's head.
    pub fn request(&self, head: &RequestHead, into: &mut Values) {
        self.wanted.request(head, into);
    }

    /// Keeps what the formats name of the head of the reply.
    pub fn response(&self, head: &ResponseHead, into: &mut Values) {
        self.wanted.response(head, into);
    }

    /// Keeps what the formats name of the reply's trailers.
    pub fn trailers(&self, trailers: &Fields, into: &mut Values) {
        self.wanted.trailers(trailers, into);
    }

    /// Writes the line of one of the logs.
    pub fn write(&self, number: usize, entry: &Entry, line: &mut String) {
        if let Some(format) = self.formats.get(number) {
            format.write(entry, line);
        }
    }
}

/// A format as it was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat<'a> {
    /// Text with operators, with its line end.
    Text(&'a str),
    /// The text of a JSON value whose strings hold operators; a line end is added.
    Json(&'a str),
}

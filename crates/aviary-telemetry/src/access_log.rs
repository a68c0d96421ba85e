//! Access logs: which exchanges are logged, what is kept of them, and how a line is written.
//!
//! [`Logs`] is compiled once per configuration. A worker copies only the header fields that some
//! format names ([`Logs::request`], [`Logs::response`], [`Logs::trailers`]) and hands an [`Entry`]
//! over; another thread writes the line ([`Logs::write`]).

pub mod filter;
pub mod format;
pub mod values;
mod operator;
mod parse;
mod put;
mod time;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aviary_http::{Fields, RequestHead, ResponseHead};
use aviary_mesh::access_log::{AccessLog, LogFormat, LogSink};

pub use filter::Facts;
pub use format::{Error, Format, Host};
pub use time::Moment;
pub use values::Values;

use crate::flags::Flags;
use crate::recorder::GrpcStatus;
use crate::trace::Context;
use filter::Filter;
use values::{Place, Wanted};

/// Logs of one chain; the bits of a [`Chosen`].
const LIMIT: usize = 32;

/// Envoy's own text line.
///
/// Source: Envoy `SubstitutionFormatUtils::defaultSubstitutionFormatter`.
const DEFAULT_FORMAT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ",
    "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" ",
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\"\n",
);

/// The logs of one HTTP or TCP chain.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    wanted: Wanted,
    logs: Vec<Log>,
}

#[derive(Debug, Clone)]
struct Log {
    format: Format,
    filter: Option<Filter>,
    sink: LogSink,
}

/// Lines on their way, by where they go.
pub trait Texts {
    /// The text that goes to `sink`, for one more line.
    fn of(&mut self, sink: &LogSink) -> &mut Vec<u8>;
}

/// The logs of a chain that want one exchange.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chosen(u32);

impl Chosen {
    /// Whether no log wants it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
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
    pub route: String,
    /// The route's operation, which spans are named by; empty when it has none.
    pub operation: String,
    /// The cluster; empty without one.
    pub cluster: String,
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
            route: String::new(),
            operation: String::new(),
            cluster: String::new(),
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

    /// The same for the memory of an earlier one, which is used again.
    pub fn renew(&mut self, begun: SystemTime) {
        let Self {
            values,
            start,
            duration,
            request_duration,
            response_duration,
            protocol,
            upstream_protocol,
            code,
            grpc_status,
            flags,
            details,
            termination_details,
            upstream_failure,
            received_bytes,
            sent_bytes,
            attempts,
            connection_id,
            route,
            operation,
            cluster,
            upstream_host,
            upstream_local,
            downstream_local,
            downstream_remote,
            downstream_direct_remote,
            downstream_tls,
            upstream_tls,
            trace,
        } = self;
        values.clear();
        *start = begun;
        *duration = Duration::ZERO;
        *request_duration = None;
        *response_duration = None;
        *protocol = None;
        *upstream_protocol = None;
        *code = 0;
        *grpc_status = GrpcStatus::NONE;
        *flags = Flags::NONE;
        *details = Cow::Borrowed("");
        *termination_details = Cow::Borrowed("");
        *upstream_failure = Cow::Borrowed("");
        *received_bytes = 0;
        *sent_bytes = 0;
        *attempts = 0;
        *connection_id = 0;
        route.clear();
        operation.clear();
        cluster.clear();
        *upstream_host = None;
        *upstream_local = None;
        *downstream_local = None;
        *downstream_remote = None;
        *downstream_direct_remote = None;
        *downstream_tls = Tls::default();
        *upstream_tls = Tls::default();
        *trace = None;
    }
}

impl Logs {
    /// Compiles the logs of a chain.
    ///
    /// # Errors
    /// The number of the first log that cannot be honoured, and why.
    pub fn new(configured: &[AccessLog], host: &Host<'_>) -> Result<Self, (usize, Error)> {
        let mut logs = Self::default();
        for (number, log) in configured.iter().enumerate() {
            logs.add(log, host).map_err(|error| (number, error))?;
        }
        Ok(logs)
    }

    fn add(&mut self, log: &AccessLog, host: &Host<'_>) -> Result<(), Error> {
        if self.logs.len() >= LIMIT {
            return Err(Error::TooMany { limit: LIMIT });
        }
        let wanted = &mut self.wanted;
        let format = match &log.format {
            LogFormat::Default => Format::text(DEFAULT_FORMAT, host, wanted)?,
            LogFormat::Text(text) => Format::text(text, host, wanted)?,
            LogFormat::Json(text) => Format::json(text, host, wanted)?,
        };
        let filter = log.filter.as_ref().map(Filter::new).transpose()?;
        self.logs.push(Log {
            format,
            filter,
            sink: log.sink.clone(),
        });
        Ok(())
    }

    /// Whether there is no log at all.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// Whether a format names a trailer.
    pub fn wants_trailers(&self) -> bool {
        self.wanted.any_in(Place::Trailers)
    }

    /// The logs that want an exchange.
    pub fn choose(&self, facts: &Facts<'_>) -> Chosen {
        let mut chosen = 0;
        for (number, log) in self.logs.iter().enumerate() {
            let passes = log.filter.as_ref().is_none_or(|it| it.passes(facts));
            chosen |= u32::from(passes) << number;
        }
        Chosen(chosen)
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

    /// Appends the line of each chosen log, with its end, to the text of its sink.
    pub fn write(
        &self,
        chosen: Chosen,
        entry: &Entry,
        moment: &mut Moment,
        texts: &mut impl Texts,
    ) {
        for (number, log) in self.logs.iter().enumerate() {
            if chosen.0 >> number & 1 == 1 {
                log.format.write(entry, moment, texts.of(&log.sink));
            }
        }
    }
}

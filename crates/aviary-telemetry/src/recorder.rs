//! What one worker counts: series found again by the identity of their labels.
//!
//! A request is counted under labels that are all pointers and small numbers. Their addresses
//! make the key, so nothing is hashed by its text; texts are compared only when an address is
//! new, which finds the series of labels that a new configuration made again. The worker keeps
//! what was counted since it was last asked ([`Recorder::take`]); the sums are kept by
//! [`crate::Totals`].

mod table;
#[cfg(test)]
mod tests;

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::cluster::ServiceLabels;
use aviary_mesh::endpoint::WorkloadLabels;

use crate::flags::Flags;
use crate::histogram::Histogram;
use crate::labels::{Protocol, Reporter, Security, Written};
use table::Table;

/// Series that one worker keeps at most, of each kind; what would open another one is counted
/// and dropped, so that labels made up by clients cannot fill the memory.
pub const SERIES_LIMIT: usize = 10_000;

/// A series nothing was counted in for this long leaves the worker, and the totals.
pub const IDLE: Duration = Duration::from_mins(15);

/// The labels of one series, lent.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// Which side reports.
    pub reporter: Reporter,
    /// The caller.
    pub source: &'a Arc<WorkloadLabels>,
    /// The called workload.
    pub destination: &'a Arc<WorkloadLabels>,
    /// The called service.
    pub service: &'a Arc<ServiceLabels>,
    /// Identity that the caller proved.
    pub source_principal: Option<&'a Arc<str>>,
    /// Identity that the called workload proved.
    pub destination_principal: Option<&'a Arc<str>>,
    /// What was spoken.
    pub protocol: Protocol,
    /// HTTP status; 0 when there was no reply. Not written for TCP.
    pub code: u16,
    /// `grpc-status` of the reply. Not written for TCP.
    pub grpc_status: GrpcStatus,
    /// Envoy's response flags.
    pub flags: Flags,
    /// Protection of the connection.
    pub security: Security,
}

/// `grpc-status` of a reply, 0 to 254; none for what is not gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GrpcStatus(u8);

impl Default for GrpcStatus {
    fn default() -> Self {
        Self::NONE
    }
}

impl GrpcStatus {
    /// The reply said none.
    pub const NONE: Self = Self(u8::MAX);
    /// `OK`.
    pub const OK: Self = Self(0);
    /// `UNKNOWN`, which also stands for what is no number.
    pub const UNKNOWN: Self = Self(2);

    /// The status of a number. Over 254 it is [`Self::UNKNOWN`].
    pub fn new(number: u32) -> Self {
        match u8::try_from(number) {
            Ok(number) if number != u8::MAX => Self(number),
            _ => Self::UNKNOWN,
        }
    }

    /// The status in a header's or trailer's value.
    pub fn parse(value: &[u8]) -> Self {
        match value {
            [digit @ b'0'..=b'9'] => Self(digit - b'0'),
            more => std::str::from_utf8(more)
                .ok()
                .and_then(|text| text.parse().ok())
                .map_or(Self::UNKNOWN, Self::new),
        }
    }

    /// The number.
    pub fn number(self) -> Option<u8> {
        (self != Self::NONE).then_some(self.0)
    }
}

/// The labels of one series, kept. Equal when they say the same, wherever they are.
#[derive(Debug, Clone)]
pub struct LabelSet {
    pub(crate) reporter: Reporter,
    pub(crate) source: Arc<WorkloadLabels>,
    pub(crate) destination: Arc<WorkloadLabels>,
    pub(crate) service: Arc<ServiceLabels>,
    pub(crate) source_principal: Option<Arc<str>>,
    pub(crate) destination_principal: Option<Arc<str>>,
    pub(crate) protocol: Protocol,
    pub(crate) code: u16,
    pub(crate) grpc_status: GrpcStatus,
    pub(crate) flags: Flags,
    pub(crate) security: Security,
}

impl Labels<'_> {
    fn kept(&self) -> LabelSet {
        LabelSet {
            reporter: self.reporter,
            source: Arc::clone(self.source),
            destination: Arc::clone(self.destination),
            service: Arc::clone(self.service),
            source_principal: self.source_principal.cloned(),
            destination_principal: self.destination_principal.cloned(),
            protocol: self.protocol,
            code: self.code,
            grpc_status: self.grpc_status,
            flags: self.flags,
            security: self.security,
        }
    }
}

impl LabelSet {
    /// The labels in Prometheus' text form, without braces, in a fixed order.
    pub fn text(&self) -> String {
        let grpc_status = self.grpc_status.number().map(|it| it.to_string());
        Written {
            reporter: self.reporter,
            source: (
                &self.source,
                self.source_principal.as_deref().unwrap_or_default(),
            ),
            destination: (
                &self.destination,
                self.destination_principal.as_deref().unwrap_or_default(),
            ),
            service: &self.service,
            protocol: self.protocol,
            code: self.code,
            grpc_status: grpc_status.as_deref().unwrap_or_default(),
            flags: &self.flags.text(),
            security: self.security,
        }
        .text()
    }
}

impl PartialEq for LabelSet {
    fn eq(&self, other: &Self) -> bool {
        self.code == other.code
            && self.flags == other.flags
            && self.grpc_status == other.grpc_status
            && self.reporter == other.reporter
            && self.protocol == other.protocol
            && self.security == other.security
            && same(&self.service, &other.service)
            && same(&self.source, &other.source)
            && same(&self.destination, &other.destination)
            && self.source_principal == other.source_principal
            && self.destination_principal == other.destination_principal
    }
}

impl Eq for LabelSet {}

fn same<T: PartialEq>(one: &Arc<T>, other: &Arc<T>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

impl Hash for LabelSet {
    /// Over the parts that tell series apart best; equality looks at all of them.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.code, self.flags, self.grpc_status, self.reporter).hash(state);
        (&self.service.host, &self.source.workload).hash(state);
        (&self.destination.workload, &self.source_principal).hash(state);
    }
}

/// What was measured of one finished request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measures {
    /// From its first byte to the last one of the reply.
    pub duration: Duration,
    /// Bytes of the request's body.
    pub received_bytes: u64,
    /// Bytes of the reply's body.
    pub sent_bytes: u64,
    /// gRPC messages of the request; 0 when they were not counted.
    pub request_messages: u64,
    /// gRPC messages of the reply; 0 when they were not counted.
    pub response_messages: u64,
}

/// What happened on a TCP connection since it was last told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpMeasures {
    /// It was opened.
    pub opened: bool,
    /// It was closed.
    pub closed: bool,
    /// Bytes that went to the client: `istio_tcp_sent_bytes_total` is named from the server's side.
    pub sent_bytes: u64,
    /// Bytes that came from the client.
    pub received_bytes: u64,
}

/// What is counted of the requests of one series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) total: u64,
    pub(crate) duration: Histogram,
    pub(crate) request_bytes: Histogram,
    pub(crate) response_bytes: Histogram,
    pub(crate) request_messages: u64,
    pub(crate) response_messages: u64,
}

/// What is counted of the TCP connections of one series.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Connections {
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

/// The counters of one worker. It belongs to one thread.
#[derive(Debug, Default)]
pub struct Recorder {
    requests: Table<Requests>,
    connections: Table<Connections>,
}

/// What a worker counted between two calls of [`Recorder::take`].
#[derive(Debug, Default)]
pub struct Batch {
    pub(crate) requests: Vec<(Arc<LabelSet>, Requests)>,
    pub(crate) connections: Vec<(Arc<LabelSet>, Connections)>,
    pub(crate) dropped: u64,
}

impl Recorder {
    /// Counts a finished request.
    #[inline]
    pub fn request(&mut self, labels: &Labels<'_>, measures: Measures) {
        let Some(series) = self.requests.find(labels) else {
            return;
        };
        series.total += 1;
        let duration = measures.duration;
        let micros = duration.as_secs() * 1_000_000 + u64::from(duration.subsec_micros());
        series.duration.record(micros);
        series
            .request_bytes
            .record(measures.received_bytes.saturating_mul(1000));
        series
            .response_bytes
            .record(measures.sent_bytes.saturating_mul(1000));
        series.request_messages += measures.request_messages;
        series.response_messages += measures.response_messages;
    }

    /// Counts what happened on a TCP connection.
    pub fn tcp(&mut self, labels: &Labels<'_>, measures: TcpMeasures) {
        if let Some(series) = self.connections.find(labels) {
            series.opened += u64::from(measures.opened);
            series.closed += u64::from(measures.closed);
            series.sent_bytes += measures.sent_bytes;
            series.received_bytes += measures.received_bytes;
        }
    }

    /// Gives what was counted since the last call and lets series go that were idle for
    /// [`IDLE`]; `now` is the time since any fixed moment. What is not merged into a
    /// [`crate::Totals`] is lost.
    pub fn take(&mut self, now: Duration) -> Batch {
        let mut batch = Batch::default();
        batch.dropped += self.requests.take(now, &mut batch.requests);
        batch.dropped += self.connections.take(now, &mut batch.connections);
        batch
    }

    /// Number of series held.
    pub fn series(&self) -> usize {
        self.requests.len() + self.connections.len()
    }
}

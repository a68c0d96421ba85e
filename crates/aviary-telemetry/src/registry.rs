//! The series of one worker, and their text for Prometheus.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::histogram::Histogram;
use crate::labels::Labels;

/// Series that one worker keeps at most; what would open another one is counted and dropped, so
/// that labels made up by clients cannot fill the memory.
pub const SERIES_LIMIT: usize = 10_000;

/// Counters and histograms by label set. It belongs to one thread; [`Registry::merge`] adds
/// several up when they are read.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    requests: HashMap<Labels, Requests>,
    connections: HashMap<Labels, Connections>,
    dropped: u64,
}

/// One finished request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Request {
    /// From its first byte to the last one of the reply.
    pub duration: Duration,
    /// Bytes of the request's body.
    pub received_bytes: u64,
    /// Bytes of the reply's body.
    pub sent_bytes: u64,
}

#[derive(Debug, Clone, Default)]
struct Requests {
    total: u64,
    duration_ms: Histogram,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

#[derive(Debug, Clone, Default)]
struct Connections {
    opened: u64,
    closed: u64,
    sent_bytes: u64,
    received_bytes: u64,
}

/// What happened on a TCP connection since it was last told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tcp {
    /// It was opened.
    pub opened: bool,
    /// It was closed.
    pub closed: bool,
    /// Bytes that went to the client: `istio_tcp_sent_bytes_total` is named from the server's side.
    pub sent_bytes: u64,
    /// Bytes that came from the client.
    pub received_bytes: u64,
}

impl Registry {
    /// Counts a finished request.
    pub fn request(&mut self, labels: &Labels, request: Request) {
        if let Some(series) = series(&mut self.requests, labels, &mut self.dropped) {
            series.total += 1;
            series
                .duration_ms
                .record(u64::try_from(request.duration.as_micros()).unwrap_or(u64::MAX));
            series.request_bytes.record(request.received_bytes * 1000);
            series.response_bytes.record(request.sent_bytes * 1000);
        }
    }

    /// Counts what happened on a TCP connection.
    pub fn tcp(&mut self, labels: &Labels, tcp: Tcp) {
        if let Some(series) = series(&mut self.connections, labels, &mut self.dropped) {
            series.opened += u64::from(tcp.opened);
            series.closed += u64::from(tcp.closed);
            series.sent_bytes += tcp.sent_bytes;
            series.received_bytes += tcp.received_bytes;
        }
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Self) {
        for (labels, theirs) in &other.requests {
            let mine = self.requests.entry(labels.clone()).or_default();
            mine.total += theirs.total;
            mine.duration_ms.merge(&theirs.duration_ms);
            mine.request_bytes.merge(&theirs.request_bytes);
            mine.response_bytes.merge(&theirs.response_bytes);
        }
        for (labels, theirs) in &other.connections {
            let mine = self.connections.entry(labels.clone()).or_default();
            mine.opened += theirs.opened;
            mine.closed += theirs.closed;
            mine.sent_bytes += theirs.sent_bytes;
            mine.received_bytes += theirs.received_bytes;
        }
        self.dropped += other.dropped;
    }

    /// Everything in Prometheus' text format, series in a stable order.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let requests = sorted(&self.requests);
        counter(&mut text, "istio_requests_total", &requests, |series| {
            series.total
        });
        histogram(
            &mut text,
            "istio_request_duration_milliseconds",
            &requests,
            |series| &series.duration_ms,
        );
        histogram(&mut text, "istio_request_bytes", &requests, |series| {
            &series.request_bytes
        });
        histogram(&mut text, "istio_response_bytes", &requests, |series| {
            &series.response_bytes
        });
        let tcp = sorted(&self.connections);
        counter(
            &mut text,
            "istio_tcp_connections_opened_total",
            &tcp,
            |series| series.opened,
        );
        counter(
            &mut text,
            "istio_tcp_connections_closed_total",
            &tcp,
            |series| series.closed,
        );
        counter(&mut text, "istio_tcp_sent_bytes_total", &tcp, |series| {
            series.sent_bytes
        });
        counter(
            &mut text,
            "istio_tcp_received_bytes_total",
            &tcp,
            |series| series.received_bytes,
        );
        let _ = writeln!(text, "# TYPE aviary_metric_series_dropped_total counter");
        let _ = writeln!(text, "aviary_metric_series_dropped_total {}", self.dropped);
        text
    }
}

fn series<'a, S: Default>(
    all: &'a mut HashMap<Labels, S>,
    labels: &Labels,
    dropped: &mut u64,
) -> Option<&'a mut S> {
    if !all.contains_key(labels) {
        if all.len() >= SERIES_LIMIT {
            *dropped += 1;
            return None;
        }
        all.insert(labels.clone(), S::default());
    }
    all.get_mut(labels)
}

fn sorted<S>(all: &HashMap<Labels, S>) -> Vec<(String, &S)> {
    let mut rows: Vec<_> = all
        .iter()
        .map(|(labels, series)| (labels.text(), series))
        .collect();
    rows.sort_by(|left, right| left.0.cmp(&right.0));
    rows
}

fn counter<S>(text: &mut String, name: &str, rows: &[(String, &S)], value: impl Fn(&S) -> u64) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "# TYPE {name} counter");
    for (labels, series) in rows {
        let _ = writeln!(text, "{name}{{{labels}}} {}", value(series));
    }
}

fn histogram<S>(
    text: &mut String,
    name: &str,
    rows: &[(String, &S)],
    value: impl Fn(&S) -> &Histogram,
) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "# TYPE {name} histogram");
    for (labels, series) in rows {
        value(series).write(name, labels, text);
    }
}

#[cfg(test)]
mod tests;

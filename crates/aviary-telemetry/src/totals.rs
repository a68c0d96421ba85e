//! What all workers counted since the start, and its text for Prometheus.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::histogram::Histogram;
use crate::recorder::{Batch, Connections, IDLE, LabelSet, Requests, SERIES_LIMIT};

/// The sums of what the workers' [`crate::Recorder`]s gave.
///
/// A series leaves when nothing was counted in it for [`IDLE`] and its last value was shown, so
/// no counted request is missed. When it comes back it starts at zero, which Prometheus takes as
/// the reset of a counter; while it is shown, its counters never go back.
#[derive(Debug, Default)]
pub struct Totals {
    requests: HashMap<Arc<LabelSet>, Sum<Requests>>,
    connections: HashMap<Arc<LabelSet>, Sum<Connections>>,
    dropped: u64,
}

#[derive(Debug, Default)]
struct Sum<C> {
    counted: C,
    changed: Duration,
    shown: bool,
}

impl Totals {
    /// Adds what a worker gave; `now` is the time since any fixed moment.
    pub fn merge(&mut self, batch: Batch, now: Duration) {
        self.dropped += batch.dropped;
        let add = |sum: &mut Requests, part: &Requests| {
            sum.total += part.total;
            sum.duration.merge(&part.duration);
            sum.request_bytes.merge(&part.request_bytes);
            sum.response_bytes.merge(&part.response_bytes);
            sum.request_messages += part.request_messages;
            sum.response_messages += part.response_messages;
        };
        for (labels, part) in batch.requests {
            match room(&mut self.requests, labels, now) {
                Some(sum) => add(sum, &part),
                None => self.dropped += part.total,
            }
        }
        for (labels, part) in batch.connections {
            match room(&mut self.connections, labels, now) {
                Some(sum) => {
                    sum.opened += part.opened;
                    sum.closed += part.closed;
                    sum.sent_bytes += part.sent_bytes;
                    sum.received_bytes += part.received_bytes;
                }
                None => self.dropped += part.opened,
            }
        }
    }

    /// Everything in Prometheus' text format, series in a stable order.
    pub fn text(&mut self, now: Duration) -> String {
        let mut text = String::new();
        let rows = show(&mut self.requests, now);
        request_metrics(&rows, &mut text);
        let rows = show(&mut self.connections, now);
        connection_metrics(&rows, &mut text);
        let _ = writeln!(text, "# TYPE aviary_metric_series_dropped_total counter");
        let _ = writeln!(text, "aviary_metric_series_dropped_total {}", self.dropped);
        text
    }
}

/// The sum of a series, opened when it is new; `None` over the limit.
fn room<C: Default>(
    sums: &mut HashMap<Arc<LabelSet>, Sum<C>>,
    labels: Arc<LabelSet>,
    now: Duration,
) -> Option<&mut C> {
    if sums.len() >= SERIES_LIMIT && !sums.contains_key(&labels) {
        return None;
    }
    let sum = sums.entry(labels).or_default();
    sum.changed = now;
    sum.shown = false;
    Some(&mut sum.counted)
}

type Rows<'a, C> = Vec<(String, &'a C)>;

/// Lets idle series go and gives the others with their labels' text.
fn show<C>(sums: &mut HashMap<Arc<LabelSet>, Sum<C>>, now: Duration) -> Rows<'_, C> {
    sums.retain(|_, sum| !sum.shown || now.saturating_sub(sum.changed) < IDLE);
    let mut rows: Vec<_> = sums
        .iter_mut()
        .map(|(labels, sum)| {
            sum.shown = true;
            (labels.text(), &sum.counted)
        })
        .collect();
    rows.sort_by(|left, right| left.0.cmp(&right.0));
    rows
}

fn request_metrics(rows: &Rows<'_, Requests>, text: &mut String) {
    counter(text, "istio_requests_total", rows, |it| it.total);
    let name = "istio_request_duration_milliseconds";
    histogram(text, name, rows, |it| &it.duration);
    histogram(text, "istio_request_bytes", rows, |it| &it.request_bytes);
    histogram(text, "istio_response_bytes", rows, |it| &it.response_bytes);
    let grpc: Rows<'_, _> = rows
        .iter()
        .filter(|(_, it)| it.request_messages + it.response_messages > 0)
        .cloned()
        .collect();
    let name = "istio_request_messages_total";
    counter(text, name, &grpc, |it| it.request_messages);
    let name = "istio_response_messages_total";
    counter(text, name, &grpc, |it| it.response_messages);
}

fn connection_metrics(rows: &Rows<'_, Connections>, text: &mut String) {
    let name = "istio_tcp_connections_opened_total";
    counter(text, name, rows, |it| it.opened);
    let name = "istio_tcp_connections_closed_total";
    counter(text, name, rows, |it| it.closed);
    let name = "istio_tcp_sent_bytes_total";
    counter(text, name, rows, |it| it.sent_bytes);
    let name = "istio_tcp_received_bytes_total";
    counter(text, name, rows, |it| it.received_bytes);
}

fn counter<C>(text: &mut String, name: &str, rows: &Rows<'_, C>, value: impl Fn(&C) -> u64) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "# TYPE {name} counter");
    for (labels, counted) in rows {
        let _ = writeln!(text, "{name}{{{labels}}} {}", value(counted));
    }
}

fn histogram<C>(
    text: &mut String,
    name: &str,
    rows: &Rows<'_, C>,
    value: impl Fn(&C) -> &Histogram,
) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "# TYPE {name} histogram");
    for (labels, counted) in rows {
        value(counted).write(name, labels, text);
    }
}

#[cfg(test)]
mod tests;

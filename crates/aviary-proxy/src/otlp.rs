//! Spans on their way to a collector: a bounded queue from the workers, and one exporter.
//!
//! Nothing here can slow traffic down: a full queue drops, a collector that is slow or away makes
//! the exporter drop, and both are counted.

mod message;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aviary_mesh::listener::TraceSink;
use aviary_telemetry::trace::Span;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::socket;

/// Spans of one export, about.
const BATCH: usize = 512;

/// A batch waits for more spans at most this long.
const LINGER: Duration = Duration::from_secs(1);

/// One export takes at most this long, where the sink does not say.
const EXPORT_LIMIT: Duration = Duration::from_secs(5);

/// A collector that speaks OTLP over gRPC, without TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Sink {
    cluster: String,
    service_name: String,
    timeout: Option<Duration>,
}

impl Sink {
    /// As it was configured.
    pub(crate) fn new(sink: &TraceSink) -> Self {
        Self {
            cluster: sink.cluster.clone(),
            service_name: sink.service_name.clone(),
            timeout: sink.timeout,
        }
    }

    /// Whether it was made from the same.
    pub(crate) fn is(&self, sink: &TraceSink) -> bool {
        self.cluster == sink.cluster
            && self.service_name == sink.service_name
            && self.timeout == sink.timeout
    }
}

/// A span and where it goes.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) sink: Arc<Sink>,
    pub(crate) span: Box<Span>,
}

/// What became of the spans that were handed over.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    sent: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// In the text form of `/stats`; `dropped` never reached the exporter.
    pub(crate) fn text(&self, dropped: u64) -> String {
        let mut text = String::new();
        for (name, count) in [
            ("spans_sent", self.sent.load(Ordering::Relaxed)),
            ("spans_failed", self.failed.load(Ordering::Relaxed)),
            ("spans_dropped", dropped),
        ] {
            let _ = writeln!(text, "tracing.opentelemetry.{name}: {count}");
        }
        text
    }
}

/// The endpoints of a cluster that can be connected to now, or why there are none.
pub(crate) type Lookup = Box<dyn Fn(&str) -> Result<Vec<SocketAddr>, String> + Send>;

/// Exports what the workers hand over.
pub(crate) struct Exporter {
    queue: mpsc::Receiver<Vec<Traced>>,
    counts: Arc<Counts>,
    lookup: Lookup,
    node_id: String,
    /// Its connections are not redirected.
    marked: bool,
    channels: HashMap<String, Channel>,
    /// Which endpoint of a cluster is next.
    turn: usize,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the cluster `{0}` {1}")]
    NoEndpoint(String, String),
    #[error("cannot reach the collector: {0}")]
    Connect(#[from] tonic::transport::Error),
    #[error("the collector does not answer within {0:?}")]
    Late(Duration),
    #[error("the collector refused: {}", .0.message())]
    Refused(Box<tonic::Status>),
}

impl Exporter {
    /// An exporter for a queue. `node_id` is the proxy's, for the spans' attributes; `marked` marks
    /// its connections as the proxy's own.
    pub(crate) fn new(
        queue: mpsc::Receiver<Vec<Traced>>,
        node_id: String,
        marked: bool,
        lookup: Lookup,
    ) -> Self {
        Self {
            queue,
            counts: Arc::default(),
            lookup,
            node_id,
            marked,
            channels: HashMap::new(),
            turn: 0,
        }
    }

    /// What became of the spans.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Exports until the workers are gone and the queue is empty.
    pub(crate) async fn run(mut self) {
        let mut warned = false;
        while let Some(batch) = self.next().await {
            for (sink, spans) in by_sink(batch) {
                let number = spans.len() as u64;
                match self.export(&sink, spans).await {
                    Ok(()) => {
                        self.counts.sent.fetch_add(number, Ordering::Relaxed);
                        warned = false;
                    }
                    Err(error) => {
                        self.counts.failed.fetch_add(number, Ordering::Relaxed);
                        // The next try connects again, to another endpoint where there is one.
                        self.channels.remove(&sink.cluster);
                        if !std::mem::replace(&mut warned, true) {
                            tracing::warn!(%error, "spans are lost until the collector answers");
                        }
                    }
                }
            }
        }
    }

    /// The next spans, as many as come within a moment; `None` at the end.
    async fn next(&mut self) -> Option<Vec<Traced>> {
        let mut batch = self.queue.recv().await?;
        let deadline = Instant::now() + LINGER;
        while batch.len() < BATCH {
            match timeout_at(deadline, self.queue.recv()).await {
                Ok(Some(more)) => batch.extend(more),
                Ok(None) | Err(_) => break,
            }
        }
        Some(batch)
    }

    async fn export(&mut self, sink: &Sink, spans: Vec<Span>) -> Result<(), Error> {
        let limit = sink.timeout.unwrap_or(EXPORT_LIMIT);
        let request = message::request(&spans, &sink.service_name, &self.node_id);
        let work = async {
            let channel = self.channel(&sink.cluster).await?;
            TraceServiceClient::new(channel)
                .export(request)
                .await
                .map_err(|status| Error::Refused(Box::new(status)))
        };
        let reply = timeout(limit, work)
            .await
            .map_err(|_| Error::Late(limit))??;
        if let Some(partial) = reply.into_inner().partial_success
            && partial.rejected_spans > 0
        {
            tracing::debug!(
                partial.rejected_spans,
                partial.error_message,
                "spans refused"
            );
        }
        Ok(())
    }

    async fn channel(&mut self, cluster: &str) -> Result<Channel, Error> {
        if let Some(channel) = self.channels.get(cluster) {
            return Ok(channel.clone());
        }
        let nowhere = |reason: String| Error::NoEndpoint(cluster.to_owned(), reason);
        let endpoints = (self.lookup)(cluster).map_err(nowhere)?;
        self.turn = self.turn.wrapping_add(1);
        let turn = self.turn.checked_rem(endpoints.len()).unwrap_or_default();
        let endpoint = *endpoints
            .get(turn)
            .ok_or_else(|| nowhere("has no endpoint".to_owned()))?;
        let marked = self.marked;
        let connector = tower::service_fn(move |_: Uri| async move {
            let connected = socket::connect(endpoint, None, marked).await;
            connected.map(TokioIo::new)
        });
        let channel = Endpoint::try_from(format!("http://{endpoint}"))?
            .connect_with_connector(connector)
            .await?;
        self.channels.insert(cluster.to_owned(), channel.clone());
        Ok(channel)
    }
}

/// The spans of each sink, in order.
fn by_sink(batch: Vec<Traced>) -> HashMap<Arc<Sink>, Vec<Span>> {
    let mut sinks: HashMap<_, Vec<_>> = HashMap::new();
    for traced in batch {
        sinks.entry(traced.sink).or_default().push(*traced.span);
    }
    sinks
}

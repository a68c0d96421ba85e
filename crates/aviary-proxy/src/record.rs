//! What is told of each exchange: one log line and its metrics, at every exit.

use std::borrow::Cow;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use aviary_mesh::cluster::ServiceLabels;
use aviary_mesh::endpoint::WorkloadLabels;
use aviary_mesh::listener::Direction;
use aviary_telemetry::access_log::line::Entry;
use aviary_telemetry::registry::{Request, Tcp};
use aviary_telemetry::{Labels, Protocol, Reporter, Security};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;

use crate::http::{Body, body};
use crate::reply::Reply;
use crate::worker::Worker;

/// One request with its reply, or one TCP connection, as far as it has come.
///
/// It is recorded when it is dropped, so that no exit is left out; until [`Exchange::complete`]
/// was called that means that the client went away (flag DC).
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    started: Instant,
    reporter: Reporter,
    logged: bool,
    complete: bool,
    flags: Vec<&'static str>,
    /// The log line so far.
    pub(crate) entry: Entry,
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// The caller.
    pub(crate) source: Arc<WorkloadLabels>,
    /// The called workload.
    pub(crate) destination: Arc<WorkloadLabels>,
    /// The called service.
    pub(crate) service: Arc<ServiceLabels>,
    /// `grpc-status` of the reply.
    pub(crate) grpc_status: Cow<'static, str>,
    /// The caller is a proxy, which wants to be told in turn.
    pub(crate) peer_told: bool,
    /// Body bytes from the client so far.
    pub(crate) received: Rc<Cell<u64>>,
    /// Body bytes to the client so far.
    pub(crate) sent: Rc<Cell<u64>>,
    /// What of a TCP connection was told to the metrics already.
    told: Tcp,
}

impl Exchange {
    /// Begins one now.
    pub(crate) fn begin(
        worker: &Rc<Worker>,
        direction: Direction,
        protocol: Protocol,
        logged: bool,
    ) -> Self {
        let own = worker.own_labels();
        let (reporter, source, destination) = match direction {
            Direction::Inbound => (Reporter::Destination, Arc::default(), own),
            Direction::Outbound => (Reporter::Source, own, Arc::default()),
        };
        Self {
            worker: Rc::clone(worker),
            started: Instant::now(),
            reporter,
            logged,
            complete: false,
            flags: Vec::new(),
            entry: Entry::new(SystemTime::now()),
            protocol,
            source,
            destination,
            service: Arc::default(),
            grpc_status: Cow::Borrowed(""),
            peer_told: false,
            received: Rc::default(),
            sent: Rc::default(),
            told: Tcp::default(),
        }
    }

    /// Which side this proxy is of the exchange.
    pub(crate) fn reporter(&self) -> Reporter {
        self.reporter
    }

    /// Adds a response flag.
    pub(crate) fn flag(&mut self, flag: &'static str) {
        if !flag.is_empty() && !self.flags.contains(&flag) {
            self.flags.push(flag);
        }
    }

    /// Notes a reply of the proxy's own.
    pub(crate) fn note(&mut self, reply: &Reply) {
        self.flag(reply.flag);
        self.entry.code = reply.status;
        self.entry.details.clone_from(&reply.details);
        self.entry
            .upstream_failure
            .clone_from(&reply.upstream_failure);
    }

    /// It came to its end.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    fn labels(&self) -> Labels {
        Labels {
            reporter: self.reporter,
            source: Arc::clone(&self.source),
            destination: Arc::clone(&self.destination),
            service: Arc::clone(&self.service),
            protocol: self.protocol,
            code: self.entry.code,
            grpc_status: self.grpc_status.clone(),
            flags: if self.entry.flags.is_empty() {
                Cow::Borrowed("-")
            } else {
                self.entry.flags.clone()
            },
            security: match self.reporter {
                Reporter::Source => Security::Unknown,
                Reporter::Destination => Security::None,
            },
        }
    }

    /// Tells the metrics what happened on a TCP connection since the last time.
    pub(crate) fn tell_tcp(&mut self, closed: bool) {
        let now = Tcp {
            opened: true,
            closed,
            sent_bytes: self.sent.get(),
            received_bytes: self.received.get(),
        };
        let change = Tcp {
            opened: now.opened && !self.told.opened,
            closed: now.closed && !self.told.closed,
            sent_bytes: now.sent_bytes - self.told.sent_bytes,
            received_bytes: now.received_bytes - self.told.received_bytes,
        };
        self.told = now;
        self.worker
            .metrics(|metrics| metrics.tcp(&self.labels(), change));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.complete {
            self.flag("DC");
            if self.entry.code == 0 {
                self.entry.details = Cow::Borrowed("downstream_remote_disconnect");
            }
        }
        self.entry.flags = match self.flags.as_slice() {
            [] => Cow::Borrowed(""),
            [only] => Cow::Borrowed(only),
            several => Cow::Owned(several.join(",")),
        };
        self.entry.duration = self.started.elapsed();
        self.entry.bytes_received = self.received.get();
        self.entry.bytes_sent = self.sent.get();
        if self.protocol == Protocol::Tcp {
            self.tell_tcp(true);
        } else {
            let request = Request {
                duration: self.entry.duration,
                received_bytes: self.entry.bytes_received,
                sent_bytes: self.entry.bytes_sent,
            };
            self.worker
                .metrics(|metrics| metrics.request(&self.labels(), request));
        }
        if self.logged {
            let entry = std::mem::replace(&mut self.entry, Entry::new(SystemTime::UNIX_EPOCH));
            self.worker.log(entry);
        }
    }
}

/// A request's body whose bytes are counted.
pub(crate) struct Counted {
    body: Body,
    bytes: Rc<Cell<u64>>,
}

impl Counted {
    /// Counts `body` into `bytes`.
    pub(crate) fn body(body: Body, bytes: &Rc<Cell<u64>>) -> Body {
        Body::boxed(Self {
            body,
            bytes: Rc::clone(bytes),
        })
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.bytes.set(self.bytes.get() + data.len() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A reply's body that ends its exchange.
pub(crate) struct Recorded<H> {
    body: Body,
    exchange: Option<Exchange>,
    deadline: Option<Pin<Box<Sleep>>>,
    /// The reply has no body whatever its head says.
    bodiless: bool,
    /// Given back when the reply is over.
    _held: H,
}

impl<H: Unpin + 'static> Recorded<H> {
    /// Ends `exchange` with `body`, at the latest at `deadline`; holds `held` as long.
    pub(crate) fn body(
        body: Body,
        exchange: Exchange,
        deadline: Option<tokio::time::Instant>,
        bodiless: bool,
        held: H,
    ) -> Body {
        Body::boxed(Self {
            body,
            exchange: Some(exchange),
            deadline: deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))),
            bodiless,
            _held: held,
        })
    }

    fn end(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.complete();
        }
    }

    fn fail(&mut self, flag: &'static str, details: &'static str) {
        if let Some(exchange) = &mut self.exchange {
            exchange.flag(flag);
            exchange.entry.details = Cow::Borrowed(details);
        }
        self.end();
    }
}

impl<H: Unpin + 'static> HttpBody for Recorded<H> {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            self.deadline = None;
            self.fail("UT", "response_timeout");
            return Poll::Ready(Some(Err(body::Error::Deadline)));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.end(),
            Some(Err(_)) => {
                self.fail(
                    "UC",
                    "upstream_reset_after_response_started{connection_termination}",
                );
            }
            Some(Ok(frame)) => {
                if let Some(exchange) = &mut self.exchange {
                    if let Some(data) = frame.data_ref() {
                        exchange.sent.set(exchange.sent.get() + data.len() as u64);
                    }
                    let status = frame
                        .trailers_ref()
                        .and_then(|fields| fields.get("grpc-status"));
                    if let Some(status) = status.and_then(|status| status.to_str().ok()) {
                        exchange.grpc_status = Cow::Owned(status.to_owned());
                    }
                }
                if self.body.is_end_stream() {
                    self.end();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<H> Drop for Recorded<H> {
    fn drop(&mut self) {
        // The codec does not ask for the end of what has no bytes.
        if (self.bodiless || self.body.is_end_stream())
            && let Some(exchange) = &mut self.exchange
        {
            exchange.complete();
        }
    }
}

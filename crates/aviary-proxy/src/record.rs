//! What is told of each exchange: its metrics, its log lines and its span, once, at its end.

mod line;
mod outbox;
mod span;
mod wanted;
pub(crate) mod writer;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aviary_http::{Fields, Name, RequestHead, ResponseHead};
use aviary_mesh::cluster::ServiceLabels;
use aviary_mesh::endpoint::WorkloadLabels;
use aviary_mesh::listener::Direction;
use aviary_mesh::resolve;
use aviary_telemetry::access_log::{Chosen, Entry, Facts, Logs, Tls};
use aviary_telemetry::recorder::{GrpcStatus, Measures, TcpMeasures};
use aviary_telemetry::trace::Context;
use aviary_telemetry::{Flags, Labels, Protocol, Reporter, Security, peer};
use rand::Rng as _;

use crate::connection::{Identity, Link};
use crate::http::downstream::Downstream;
use crate::life::pressure::Level;
use crate::otlp::Traced;
use crate::reply::Reply;
use crate::request::{Client, Seen};
use crate::tls::Peer;
use crate::upstream::{Choice, Lease, Upstream};

pub(crate) use line::Line;
#[cfg(test)]
pub(crate) use outbox::Lines;
pub(crate) use outbox::{Outbox, Queue, Queues, Spares};
pub(crate) use wanted::{Telling, Wanted, problem};

/// One request with its reply, or one TCP connection, as far as it has come.
///
/// It is recorded by [`Exchange::over`], or when it is dropped, so that no exit is left out; until
/// [`Exchange::complete`] was called that means that the client went away (flag DC).
pub(crate) struct Exchange {
    link: Rc<Link>,
    identity: Rc<Identity>,
    started: Instant,
    reporter: Reporter,
    complete: bool,
    recorded: bool,
    flags: Flags,
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// Status of the reply; 0 before it.
    pub(crate) code: u16,
    grpc_status: GrpcStatus,
    /// The caller.
    pub(crate) source: Arc<WorkloadLabels>,
    /// The called workload.
    pub(crate) destination: Arc<WorkloadLabels>,
    /// The called service.
    pub(crate) service: Arc<ServiceLabels>,
    /// The caller is a proxy, which wants to be told in turn.
    pub(crate) peer_told: bool,
    /// Body bytes from the client so far.
    pub(crate) received: u64,
    /// Body bytes to the client so far.
    pub(crate) sent: u64,
    /// What of a TCP connection was told to the metrics already.
    told: TcpMeasures,
    /// Who the endpoint is, where its connection is encrypted.
    endpoint: Option<Rc<Peer>>,
    /// What log and span say beyond that; `None` when neither is wanted, so that nothing is copied.
    line: Option<Box<Line>>,
}

impl Exchange {
    /// Begins one now.
    pub(crate) fn begin(link: &Rc<Link>, identity: &Rc<Identity>, protocol: Protocol) -> Self {
        let worker = &link.worker;
        let own = worker.own_labels();
        let nobody = worker.unknown_labels();
        let telling = identity.telling();
        let (reporter, source, destination) = match telling.direction {
            Direction::Inbound => (Reporter::Destination, nobody, own),
            Direction::Outbound => (Reporter::Source, own, nobody),
        };
        let logged = telling.logs.is_some();
        Self {
            started: worker.look(),
            reporter,
            complete: false,
            recorded: false,
            flags: Flags::NONE,
            protocol,
            code: 0,
            grpc_status: GrpcStatus::NONE,
            source,
            destination,
            service: worker.unknown_service(),
            peer_told: false,
            received: 0,
            sent: 0,
            told: TcpMeasures::default(),
            endpoint: None,
            line: logged.then(|| worker.outbox().blank(SystemTime::now())),
            link: Rc::clone(link),
            identity: Rc::clone(identity),
        }
    }

    fn entry(&mut self) -> Option<&mut Entry> {
        self.line.as_deref_mut().map(|line| &mut line.entry)
    }

    /// Which side this proxy is of the exchange.
    pub(crate) fn reporter(&self) -> Reporter {
        self.reporter
    }

    /// Adds response flags.
    pub(crate) fn flag(&mut self, flags: Flags) {
        self.flags.insert(flags);
    }

    /// Notes the request's place in a trace.
    pub(crate) fn traced(&mut self, context: Option<Context>) {
        let Some(context) = context else { return };
        if context.sampled && self.identity.telling().sink.is_some() && self.line.is_none() {
            let now = SystemTime::now();
            let start = now.checked_sub(self.started.elapsed()).unwrap_or(now);
            self.line = Some(self.link.worker.outbox().blank(start));
        }
        if let Some(entry) = self.entry() {
            entry.trace = Some(context);
        }
    }

    /// Notes the client, for the log: proxies before this one tell of an address, but of no port.
    ///
    /// Source: Envoy `ConnectionManagerUtility::mutateRequestHeaders`.
    pub(crate) fn called_by(&mut self, client: &Client) {
        if client.told
            && let Some(entry) = self.entry()
        {
            entry.downstream_remote = Some(SocketAddr::new(client.address, 0));
        }
    }

    /// Notes the route's name, for the log, and its operation, for the span.
    pub(crate) fn routed(&mut self, name: &str, operation: &str) {
        if let Some(entry) = self.entry() {
            entry.route.push_str(name);
            if entry.trace.is_some_and(|it| it.sampled) {
                entry.operation.push_str(operation);
            }
        }
    }

    /// Notes the cluster, for the log; it may not exist.
    pub(crate) fn goes_to(&mut self, cluster: &str, upstream: Option<&Upstream>) {
        if let Some(upstream) = upstream {
            self.service = upstream.service();
        }
        if let Some(entry) = self.entry() {
            entry.cluster.push_str(cluster);
        }
    }

    /// Notes the number of the try that begins.
    pub(crate) fn tries(&mut self, tries: u32) {
        if let Some(entry) = self.entry() {
            entry.attempts = tries;
        }
    }

    /// Notes the endpoint of a try.
    pub(crate) fn chose(&mut self, choice: &Choice) {
        if self.reporter == Reporter::Source {
            self.destination = Arc::clone(&choice.workload);
        }
        if let Some(entry) = self.entry() {
            entry.upstream_host = Some(choice.host.address());
        }
    }

    /// Notes the connection that a request goes out on.
    pub(crate) fn sends(&mut self, lease: &Lease) {
        self.meets(lease.tls(), || lease.local());
        if let Some(entry) = self.entry() {
            entry.upstream_protocol = Some(lease.protocol());
        }
    }

    /// Notes who an endpoint is, and our end of the connection to it.
    pub(crate) fn meets(
        &mut self,
        endpoint: Option<&Rc<Peer>>,
        local: impl FnOnce() -> Option<SocketAddr>,
    ) {
        self.endpoint = endpoint.cloned();
        if let Some(entry) = self.entry() {
            entry.upstream_local = local();
        }
    }

    /// Notes that the head of a reply came.
    pub(crate) fn answered(&mut self, now: Instant) {
        let started = self.started;
        if let Some(entry) = self.entry() {
            entry.details = Cow::Borrowed("via_upstream");
            entry.response_duration = Some(now.duration_since(started));
        }
    }

    /// Takes from a reply what the other proxy says of its workload, and how gRPC went.
    pub(crate) fn learn(&mut self, head: &mut ResponseHead) {
        self.learn_status(head);
        if self.reporter == Reporter::Source
            && self.destination.workload.is_empty()
            && let Some(told) = head.fields.text(peer::HEADER)
            && let Some(labels) = self.link.worker.meet(told)
        {
            self.destination = labels;
        }
    }

    fn learn_status(&mut self, head: &ResponseHead) {
        self.code = head.status();
        if self.protocol == Protocol::Grpc
            && let Some(status) = head.fields.get(Name::GrpcStatus)
        {
            self.grpc_status = GrpcStatus::parse(status);
        }
    }

    /// Takes from a reply's trailers how gRPC went.
    pub(crate) fn ended(&mut self, grpc_status: GrpcStatus) {
        if grpc_status != GrpcStatus::NONE {
            self.grpc_status = grpc_status;
        }
    }

    /// Whether a log names a trailer of the reply.
    pub(crate) fn wants_trailers(&self) -> bool {
        let logs = self.identity.telling().logs.as_ref();
        self.line.is_some() && logs.is_some_and(|logs| logs.wants_trailers())
    }

    /// Notes the reply's trailers, for the log.
    pub(crate) fn trailed(&mut self, trailers: &Fields) {
        if let (Some(line), Some(logs)) = (&mut self.line, &self.identity.telling().logs) {
            logs.trailers(trailers, &mut line.entry.values);
        }
    }

    /// Gives a reply's head what every reply of this hop has; it is final then.
    pub(crate) fn dress(
        &mut self,
        head: &mut ResponseHead,
        down: &mut Downstream<'_>,
        server: &str,
    ) {
        let worker = &self.link.worker;
        if worker.is_draining() || worker.gate().level() >= Level::CloseIdle {
            down.close_after();
        }
        self.code = head.status();
        if !server.is_empty() {
            head.fields.set(Name::Server, server.as_bytes());
        }
        if let Some(own) = worker.peer_header().filter(|_| self.peer_told) {
            head.fields.set(peer::HEADER, own);
        } else {
            head.fields.remove(peer::HEADER);
        }
        if !self.peer_told || self.reporter != Reporter::Destination {
            head.fields.remove(Name::XAviaryUnreached);
        }
        if let (Some(line), Some(logs)) = (&mut self.line, &self.identity.telling().logs) {
            logs.response(head, &mut line.entry.values);
        }
    }

    /// Notes a reply of the proxy's own.
    pub(crate) fn note(&mut self, reply: &Reply) {
        self.flag(reply.flags);
        self.code = reply.status;
        if let Some(entry) = self.entry() {
            entry.details.clone_from(&reply.details);
            entry.upstream_failure.clone_from(&reply.upstream_failure);
        }
    }

    /// Notes what is given of a reply of the proxy's own, with so many bytes of body.
    pub(crate) fn gave(&mut self, head: &ResponseHead, body: usize) {
        self.learn_status(head);
        self.sent = body as u64;
    }

    /// It came to its end.
    pub(crate) fn complete(&mut self) {
        self.complete = true;
    }

    /// The client went away before the end.
    pub(crate) fn client_left(&mut self) {
        self.complete = false;
    }

    /// It broke after the reply had begun.
    pub(crate) fn broke(&mut self, flags: Flags, details: &'static str) {
        self.flag(flags);
        if let Some(entry) = self.entry() {
            entry.details = Cow::Borrowed(details);
        }
        self.complete = true;
    }

    fn labels(&self) -> Labels<'_> {
        let (source, destination, security) = match self.reporter {
            Reporter::Destination => {
                let tls = self.link.tls();
                let client = tls.and_then(|it| it.identity.as_ref());
                let own = tls.and_then(|it| it.own.as_ref());
                match (client, own) {
                    (Some(_), Some(_)) => (client, own, Security::MutualTls),
                    _ => (None, None, Security::None),
                }
            }
            Reporter::Source => {
                let tls = self.endpoint.as_ref();
                let own = tls.and_then(|it| it.own.as_ref());
                let endpoint = tls.and_then(|it| it.identity.as_ref());
                (own, endpoint, Security::Unknown)
            }
        };
        Labels {
            reporter: self.reporter,
            source: &self.source,
            destination: &self.destination,
            service: &self.service,
            source_principal: source,
            destination_principal: destination,
            protocol: self.protocol,
            code: self.code,
            grpc_status: self.grpc_status,
            flags: self.flags,
            security,
        }
    }

    /// Tells the metrics what happened on a TCP connection since the last time.
    pub(crate) fn tell_tcp(&mut self, closed: bool) {
        let change = TcpMeasures {
            opened: !self.told.opened,
            closed: closed && !self.told.closed,
            sent_bytes: self.sent - self.told.sent_bytes,
            received_bytes: self.received - self.told.received_bytes,
        };
        self.told = TcpMeasures {
            opened: true,
            closed,
            sent_bytes: self.sent,
            received_bytes: self.received,
        };
        let worker = &self.link.worker;
        worker.metrics(|metrics| metrics.tcp(&self.labels(), change));
    }

    /// Records it. `head` is that of the request as it went on.
    pub(crate) fn over(mut self, head: &RequestHead) {
        self.record(Some(head));
    }

    fn record(&mut self, head: Option<&RequestHead>) {
        self.recorded = true;
        if !self.complete {
            self.flag(Flags::DOWNSTREAM_CONNECTION_TERMINATION);
        }
        let duration = self.link.worker.look().duration_since(self.started);
        if self.protocol == Protocol::Tcp {
            self.tell_tcp(true);
        } else {
            let measures = Measures {
                duration,
                received_bytes: self.received,
                sent_bytes: self.sent,
                ..Measures::default()
            };
            let worker = &self.link.worker;
            worker.metrics(|metrics| metrics.request(&self.labels(), measures));
        }
        if let Some(line) = self.line.take() {
            self.tell(line, duration, head);
        }
    }

    /// Hands over what is to be logged and exported.
    #[inline(never)]
    fn tell(&self, mut line: Box<Line>, duration: Duration, head: Option<&RequestHead>) {
        let entry = &mut line.entry;
        self.fill(entry, duration, head);
        let telling = self.identity.telling();
        let outbox = self.link.worker.outbox();
        if let (Some(sink), Some(context), Some(head)) = (&telling.sink, entry.trace, head)
            && context.sampled
        {
            outbox.span(Traced {
                sink: Arc::clone(sink),
                span: Box::new(span::make(telling, context, entry, head)),
            });
        }
        let chosen = telling.logs.as_ref().map(|logs| {
            let chosen = self.choose(logs, entry, head);
            (logs, chosen)
        });
        match chosen {
            Some((logs, chosen)) if !chosen.is_empty() => {
                if let Some(head) = head {
                    logs.request(head, &mut entry.values);
                }
                line.choose(logs, chosen);
                outbox.line(line);
            }
            _ => outbox.keep(line),
        }
    }

    /// The logs that want it.
    fn choose(&self, logs: &Logs, entry: &Entry, head: Option<&RequestHead>) -> Chosen {
        logs.choose(&Facts {
            code: entry.code,
            duration: entry.duration,
            flags: entry.flags,
            sampled: entry.trace.is_some_and(|it| it.sampled),
            header: &|wanted| {
                head.is_some_and(|head| {
                    let caller = self.link.caller(self.link.remote.ip());
                    resolve::header_holds(wanted, &Seen { head, caller })
                })
            },
            draw: &|| self.link.worker.random(|rng| rng.random_range(0.0..100.0)),
        })
    }

    /// Fills in what is known at the end.
    fn fill(&self, entry: &mut Entry, duration: Duration, head: Option<&RequestHead>) {
        if !self.complete && self.code == 0 {
            entry.details = Cow::Borrowed("downstream_remote_disconnect");
        }
        let link = &self.link;
        entry.duration = duration;
        entry.protocol = head.map(|head| head.version().text());
        entry.code = self.code;
        entry.grpc_status = self.grpc_status;
        entry.flags = self.flags;
        entry.received_bytes = self.received;
        entry.sent_bytes = self.sent;
        entry.connection_id = link.number;
        entry.downstream_local = Some(link.destination);
        entry.downstream_remote.get_or_insert(link.remote);
        entry.downstream_direct_remote = Some(link.remote);
        entry.downstream_tls = tls(link.tls());
        if entry.downstream_tls.server_name.is_none() {
            entry.downstream_tls.server_name = link.server_name().map(Arc::from);
        }
        entry.upstream_tls = tls(self.endpoint.as_ref());
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.recorded {
            self.record(None);
        }
    }
}

/// What logs say of an encrypted connection.
fn tls(peer: Option<&Rc<Peer>>) -> Tls {
    peer.map_or_else(Tls::default, |peer| Tls {
        server_name: peer.server_name.clone(),
        version: peer.version,
        cipher: peer.cipher,
        peer_uri_san: peer.identity.clone(),
        local_uri_san: peer.own.clone(),
    })
}

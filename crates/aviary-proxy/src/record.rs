//! What is told of each exchange: one log line and its metrics, at every exit.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aviary_http::{Name, RequestHead, ResponseHead};
use aviary_mesh::cluster::ServiceLabels;
use aviary_mesh::endpoint::WorkloadLabels;
use aviary_mesh::listener::Direction;
use aviary_telemetry::access_log::line::{Entry, Headers, RequestLine};
use aviary_telemetry::recorder::{GrpcStatus, Labels, Measures, TcpMeasures};
use aviary_telemetry::{Flags, Protocol, Reporter, Security, peer};

use crate::http::downstream::Downstream;
use crate::life::pressure::Level;
use crate::reply::Reply;
use crate::upstream::Choice;
use crate::worker::Worker;

/// One request with its reply, or one TCP connection, as far as it has come.
///
/// It is recorded when it is dropped, so that no exit is left out; until [`Exchange::complete`]
/// was called that means that the client went away (flag DC).
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    started: Instant,
    reporter: Reporter,
    complete: bool,
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
    /// The log line so far; `None` when none is wanted.
    pub(crate) entry: Option<Box<Entry>>,
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
        let nobody = worker.unknown_labels();
        let (reporter, source, destination) = match direction {
            Direction::Inbound => (Reporter::Destination, nobody, own),
            Direction::Outbound => (Reporter::Source, own, nobody),
        };
        Self {
            worker: Rc::clone(worker),
            started: Instant::now(),
            reporter,
            complete: false,
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
            entry: logged.then(|| Box::new(Entry::new(SystemTime::now()))),
        }
    }

    /// Which side this proxy is of the exchange.
    pub(crate) fn reporter(&self) -> Reporter {
        self.reporter
    }

    /// Adds response flags.
    pub(crate) fn flag(&mut self, flags: Flags) {
        self.flags.insert(flags);
    }

    /// Notes where a connection came from and meant to go.
    pub(crate) fn came(&mut self, remote: SocketAddr, destination: SocketAddr) {
        if let Some(entry) = &mut self.entry {
            entry.downstream_local = Some(destination);
            entry.downstream_remote = Some(remote);
        }
    }

    /// Notes what was asked, for the log.
    pub(crate) fn asked(&mut self, head: &RequestHead) {
        let Some(entry) = &mut self.entry else { return };
        entry.request = Some(RequestLine {
            method: head.method().to_owned(),
            path: head.path().to_owned(),
            protocol: head.version().text(),
        });
        let text = |name: &str| crate::headers::text(&head.fields, name);
        entry.headers = Headers {
            user_agent: text("user-agent"),
            authority: head.authority().to_owned(),
            forwarded_for: text("x-forwarded-for"),
            request_id: text("x-request-id"),
        };
    }

    /// Notes the route's name, for the log.
    pub(crate) fn routed(&mut self, name: &str) {
        if let Some(entry) = &mut self.entry {
            entry.route_name = Cow::Owned(name.to_owned());
        }
    }

    /// Notes the cluster's name, for the log.
    pub(crate) fn goes_to(&mut self, cluster: &str) {
        if let Some(entry) = &mut self.entry {
            entry.upstream_cluster = Cow::Owned(cluster.to_owned());
        }
    }

    /// Notes the endpoint.
    pub(crate) fn chose(&mut self, choice: &Choice) {
        if self.reporter == Reporter::Source {
            self.destination = Arc::clone(&choice.workload);
        }
        if let Some(entry) = &mut self.entry {
            entry.upstream_host = Some(choice.host.address());
        }
    }

    /// Notes our end of the connection to the endpoint, for the log.
    pub(crate) fn connected(&mut self, local: Option<SocketAddr>) {
        if let Some(entry) = &mut self.entry {
            entry.upstream_local = local;
        }
    }

    /// Notes that the head of a reply came.
    pub(crate) fn answered(&mut self, took: Duration, local: Option<SocketAddr>) {
        if let Some(entry) = &mut self.entry {
            entry.details = Cow::Borrowed("via_upstream");
            entry.upstream_service_time = Some(took);
            entry.upstream_local = local;
        }
    }

    /// Takes from a reply what the other proxy says of its workload, and how gRPC went.
    pub(crate) fn learn(&mut self, head: &mut ResponseHead) {
        self.code = head.status();
        if self.protocol == Protocol::Grpc
            && let Some(status) = head.fields.get(Name::GrpcStatus)
        {
            self.grpc_status = GrpcStatus::parse(status);
        }
        if self.reporter == Reporter::Source
            && self.destination.workload.is_empty()
            && let Some(labels) = head.fields.text(peer::HEADER).and_then(peer::decode)
        {
            self.destination = labels.into();
        }
    }

    /// Takes from a reply's trailers how gRPC went.
    pub(crate) fn ended(&mut self, grpc_status: GrpcStatus) {
        if grpc_status != GrpcStatus::NONE {
            self.grpc_status = grpc_status;
        }
    }

    /// Gives a reply's head what every reply of this hop has.
    pub(crate) fn dress(
        &mut self,
        head: &mut ResponseHead,
        down: &mut Downstream<'_>,
        server: &str,
    ) {
        if self.worker.is_draining() || self.worker.gate().level() >= Level::CloseIdle {
            down.close_after();
        }
        self.code = head.status();
        if !server.is_empty() {
            head.fields.set(Name::Server, server.as_bytes());
        }
        if self.peer_told {
            head.fields.set(peer::HEADER, self.worker.peer_header());
        } else {
            head.fields.remove(peer::HEADER);
        }
    }

    /// Notes a reply of the proxy's own.
    pub(crate) fn note(&mut self, reply: &Reply) {
        self.flag(reply.flags);
        self.code = reply.status;
        if let Some(entry) = &mut self.entry {
            entry.details.clone_from(&reply.details);
            entry.upstream_failure.clone_from(&reply.upstream_failure);
        }
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
        if let Some(entry) = &mut self.entry {
            entry.details = Cow::Borrowed(details);
        }
        self.complete = true;
    }

    fn labels(&self) -> Labels<'_> {
        Labels {
            reporter: self.reporter,
            source: &self.source,
            destination: &self.destination,
            service: &self.service,
            source_principal: None,
            destination_principal: None,
            protocol: self.protocol,
            code: self.code,
            grpc_status: self.grpc_status,
            flags: self.flags,
            security: match self.reporter {
                Reporter::Source => Security::Unknown,
                Reporter::Destination => Security::None,
            },
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
        self.worker
            .metrics(|metrics| metrics.tcp(&self.labels(), change));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.complete {
            self.flag(Flags::DOWNSTREAM_CONNECTION_TERMINATION);
        }
        let duration = self.started.elapsed();
        if self.protocol == Protocol::Tcp {
            self.tell_tcp(true);
        } else {
            let measures = Measures {
                duration,
                received_bytes: self.received,
                sent_bytes: self.sent,
                ..Measures::default()
            };
            self.worker
                .metrics(|metrics| metrics.request(&self.labels(), measures));
        }
        if let Some(mut entry) = self.entry.take() {
            if !self.complete && self.code == 0 {
                entry.details = Cow::Borrowed("downstream_remote_disconnect");
            }
            entry.code = self.code;
            entry.flags = if self.flags.is_empty() {
                Cow::Borrowed("")
            } else {
                Cow::Owned(self.flags.text().into_owned())
            };
            entry.duration = duration;
            entry.bytes_received = self.received;
            entry.bytes_sent = self.sent;
            self.worker.log(*entry);
        }
    }
}

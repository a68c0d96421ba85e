//! Connections to one endpoint: kept open between requests, queued for when there are too few.
//!
//! Source: Envoy's connection pools: a request without a connection is pending (limited per
//! cluster); connections are limited per cluster too, but an endpoint may always have one.

use std::rc::Rc;
use std::time::Duration;

use aviary_http::Version;
use aviary_mesh::circuit::Resource;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::host::{Found, Host, Open, Pooled, Shared, Waiter, Wear};
use super::lease::{Http1, Lease};
use super::spoken::Spoken;
use super::{Upstream, count};
use crate::http::{http1, http2};
use crate::socket;
use crate::stream::Stream;
use crate::worker::Worker;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Too many requests wait already.
    #[error("overflow")]
    Overflow,
    /// It did not open in the cluster's connect timeout.
    #[error("connection timeout")]
    TimedOut,
    /// The system's answer.
    #[error("{0}")]
    Refused(String),
}

impl Upstream {
    /// What a request of a client that came with `version` is sent by.
    pub(crate) fn spoken(&self, version: Version) -> Spoken {
        Spoken::of(self.policy.borrow().protocol, version)
    }

    /// A connection to `host` that is open and good for another request.
    pub(crate) fn open_connection(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        host: &Rc<Host>,
        spoken: Spoken,
    ) -> Option<Lease> {
        let found = host.find(spoken, self.wear(worker.recently()))?;
        Some(Lease::new(worker, self, host, found))
    }

    /// A connection to `host`: one that is open, else a new one, else the next that is given back.
    ///
    /// # Errors
    /// When too many wait already, or the connection cannot be opened.
    pub(crate) async fn connection(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        host: &Rc<Host>,
        spoken: Spoken,
    ) -> Result<Lease, ConnectError> {
        if let Some(lease) = self.open_connection(worker, host, spoken) {
            return Ok(lease);
        }
        let found = self.wait(worker, host, spoken).await?;
        Ok(Lease::new(worker, self, host, found))
    }

    pub(super) fn wear(&self, now: Duration) -> Wear {
        let policy = self.policy.borrow();
        Wear {
            most: policy.limits.max_requests_per_connection,
            age: policy.max_connection_duration,
            now,
        }
    }

    async fn wait(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        host: &Rc<Host>,
        spoken: Spoken,
    ) -> Result<Found, ConnectError> {
        let _pending = self
            .acquire(Resource::Pending)
            .ok_or(ConnectError::Overflow)?;
        let (sender, receiver) = oneshot::channel();
        host.waiting
            .borrow_mut()
            .push_back(Waiter { spoken, sender });
        self.open_wanted(worker, host);
        // The sender is dropped unused only when the worker ends.
        receiver
            .await
            .unwrap_or_else(|_| Err(ConnectError::Refused("shutting down".to_owned())))
    }

    /// Opens as many connections as requests wait for, within the limits.
    pub(super) fn open_wanted(self: &Rc<Self>, worker: &Rc<Worker>, host: &Rc<Host>) {
        for spoken in Spoken::ALL {
            while host.connecting(spoken).get() < host.wanted(spoken) {
                let permit = if host.connections.get() == 0 {
                    self.acquire_anyway(Resource::Connection)
                } else {
                    match self.acquire(Resource::Connection) {
                        Some(permit) => permit,
                        None => return,
                    }
                };
                let open = Open::new(host, permit, worker.gate().count());
                let connecting = host.connecting(spoken);
                connecting.set(connecting.get() + 1);
                let (this, worker, host) = (Rc::clone(self), Rc::clone(worker), Rc::clone(host));
                tokio::task::spawn_local(async move {
                    this.open(worker, host, open, spoken).await;
                });
            }
        }
    }

    /// Opens one connection for those that wait.
    async fn open(self: Rc<Self>, worker: Rc<Worker>, host: Rc<Host>, open: Open, spoken: Spoken) {
        count(&self.counters.connects);
        let opened = self.dial(&worker, &host, spoken).await;
        let connecting = host.connecting(spoken);
        connecting.set(connecting.get() - 1);
        let since = worker.now();
        match opened {
            Ok(Dialled::Http1(connection)) => {
                host.chose_http1.set(spoken == Spoken::Agreed);
                let pooled = Pooled {
                    connection: *connection,
                    served: 0,
                    since,
                    idle_since: since,
                    open,
                };
                host.offer(Box::new(pooled), since);
            }
            Ok(Dialled::Http2(connection, driver)) => {
                host.chose_http1.set(false);
                host.shared.borrow_mut().push(Shared {
                    connection,
                    served: 0,
                    since,
                });
                host.serve_waiting(self.wear(since));
                if host.retired.get() {
                    host.shared.borrow_mut().clear();
                }
                driver.await;
                drop(open);
            }
            Err(error) => {
                count(&self.counters.connect_failures);
                host.refuse(spoken, &error);
                drop(open);
            }
        }
        // What waits could now be served by a new connection.
        self.open_wanted(&worker, &host);
    }

    async fn dial(
        &self,
        worker: &Worker,
        host: &Host,
        spoken: Spoken,
    ) -> Result<Dialled, ConnectError> {
        let policy = self.policy();
        let connect = async {
            let tcp = socket::connect(host.address(), policy.source_address, worker.marks())
                .await
                .map_err(|error| ConnectError::Refused(words(&error)))?;
            if let Some(keepalive) = &policy.keepalive {
                socket::probe(&tcp, keepalive);
            }
            let secured = self.secure(worker, host, tcp, spoken.offers()).await;
            let stream = secured.map_err(|error| ConnectError::Refused(words(&error)))?;
            let is_http2 = match spoken {
                Spoken::Http1 => false,
                Spoken::Http2 => true,
                Spoken::Agreed => stream.tls().is_some_and(|peer| peer.agreed_http2),
            };
            if is_http2 {
                let (connection, driver) = http2::client::Connection::start(stream);
                return Ok(Dialled::Http2(connection, driver));
            }
            let connection = http1::client::Connection::new(stream);
            Ok(Dialled::Http1(Box::new(connection)))
        };
        tokio::time::timeout(policy.connect_timeout, connect)
            .await
            .unwrap_or(Err(ConnectError::TimedOut))
    }

    /// A new connection as the cluster wants it: after a handshake when it speaks TLS, which
    /// offers `alpn` where the cluster does not say what.
    ///
    /// # Errors
    /// When the endpoint cannot be trusted, or does not answer.
    pub(crate) async fn secure(
        &self,
        worker: &Worker,
        host: &Host,
        tcp: TcpStream,
        alpn: &[&[u8]],
    ) -> std::io::Result<Stream> {
        let policy = self.policy();
        let Some(tls) = policy.tls.of(host.mesh_tls.get()) else {
            return Ok(Stream::new(tcp));
        };
        let snapshot = worker.snapshot();
        Box::pin(snapshot.tls().client(tls)?.connect(tcp, alpn)).await
    }

    /// Takes a connection back after its exchange; `whole` when another request can go on it.
    pub(super) fn take_back(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        host: &Rc<Host>,
        http1: Http1,
        whole: bool,
    ) {
        let Http1(pooled) = http1;
        let now = worker.recently();
        if whole && !self.retired.get() && !self.wear(now).is_over(pooled.served, pooled.since) {
            host.offer(pooled, now);
            return;
        }
        drop(pooled);
        if !host.waiting.borrow().is_empty() {
            self.open_wanted(worker, host);
        }
    }
}

enum Dialled {
    Http1(Box<http1::client::Connection>),
    Http2(http2::client::Connection, http2::client::Driver),
}

/// A system error as Envoy words it, without the number.
pub(crate) fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

//! Connections to one endpoint: kept open between requests, queued for when there are too few.
//!
//! Source: Envoy's connection pools: a request without a connection is pending (limited per
//! cluster); connections are limited per cluster too, but an endpoint may always have one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use aviary_mesh::circuit::Resource;
use aviary_mesh::cluster::UpstreamProtocol;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::lease::{Http1, Lease};
use super::{Permit, Upstream, count};
use crate::http::{http1, http2};
use crate::life::Ticket;
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

/// What runs at one address of a cluster.
pub(crate) struct Host {
    address: SocketAddr,
    /// It speaks the mesh's TLS.
    pub(super) mesh_tls: Cell<bool>,
    active: Cell<u32>,
    connections: Cell<u32>,
    connecting: Cell<usize>,
    /// HTTP/1 connections that nobody uses, the one used last at the end.
    #[expect(clippy::vec_box, reason = "one goes in and out without being copied")]
    idle: RefCell<Vec<Box<Pooled>>>,
    /// HTTP/2 connections.
    shared: RefCell<Vec<Shared>>,
    waiting: RefCell<VecDeque<oneshot::Sender<Result<Found, ConnectError>>>>,
    retired: Cell<bool>,
}

/// An open HTTP/1 connection.
pub(super) struct Pooled {
    pub(super) connection: http1::client::Connection,
    pub(super) served: u32,
    idle_since: Duration,
    open: Open,
}

impl Pooled {
    /// The connection, and what counts it as open.
    pub(super) fn into_parts(self) -> (http1::client::Connection, impl Sized + 'static) {
        (self.connection, self.open)
    }
}

/// An open HTTP/2 connection.
struct Shared {
    connection: http2::client::Connection,
    served: u32,
}

/// A connection that a request may use.
pub(super) enum Found {
    Http1(Box<Pooled>),
    Http2(http2::client::Connection),
}

/// Counts an open connection while it lives.
struct Open {
    host: Rc<Host>,
    _permit: Permit,
    _ticket: Ticket,
}

impl Open {
    fn new(host: &Rc<Host>, permit: Permit, ticket: Ticket) -> Self {
        host.connections.set(host.connections.get() + 1);
        Self {
            host: Rc::clone(host),
            _permit: permit,
            _ticket: ticket,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let connections = &self.host.connections;
        connections.set(connections.get().saturating_sub(1));
    }
}

/// Counts a request as under way at its endpoint while it lives.
pub(crate) struct Active(Rc<Host>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
    }
}

impl Host {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            mesh_tls: Cell::new(false),
            active: Cell::new(0),
            connections: Cell::new(0),
            connecting: Cell::new(0),
            idle: RefCell::default(),
            shared: RefCell::default(),
            waiting: RefCell::default(),
            retired: Cell::new(false),
        }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests under way.
    pub(super) fn active(&self) -> u32 {
        self.active.get()
    }

    /// Open connections.
    pub(super) fn connections(&self) -> u32 {
        self.connections.get()
    }

    /// Counts a request.
    pub(crate) fn enter(self: &Rc<Self>) -> Active {
        self.active.set(self.active.get() + 1);
        Active(Rc::clone(self))
    }

    pub(super) fn is_unused(&self) -> bool {
        self.connections.get() == 0 && self.active.get() == 0 && self.waiting.borrow().is_empty()
    }

    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.renew();
    }

    /// Ends what is idle; requests to come open connections anew.
    pub(super) fn renew(&self) {
        // Dropped after the borrow: what is dropped counts itself out here.
        let idle = std::mem::take(&mut *self.idle.borrow_mut());
        let shared = std::mem::take(&mut *self.shared.borrow_mut());
        drop((idle, shared));
    }

    pub(super) fn sweep(&self, now: Duration, idle: Duration) {
        self.idle.borrow_mut().retain_mut(|pooled| {
            now.saturating_sub(pooled.idle_since) < idle && pooled.connection.is_quiet()
        });
        self.shared
            .borrow_mut()
            .retain(|shared| shared.connection.is_open());
    }

    /// A connection that is good for another request: of idle ones the one used last.
    fn find(&self, most: Option<u32>) -> Option<Found> {
        let mut idle = self.idle.borrow_mut();
        while let Some(mut pooled) = idle.pop() {
            if pooled.connection.is_quiet() {
                return Some(Found::Http1(pooled));
            }
        }
        drop(idle);
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|shared| shared.connection.is_open() && !is_spent(shared.served, most));
        let least = shared
            .iter_mut()
            .filter(|shared| shared.connection.has_room())
            .min_by_key(|shared| shared.connection.streams())?;
        least.served += 1;
        Some(Found::Http2(least.connection.clone()))
    }

    /// Gives a connection to the request that waited longest, or keeps it.
    fn offer(&self, mut pooled: Box<Pooled>, now: Duration) {
        loop {
            let waiter = self.waiting.borrow_mut().pop_front();
            let Some(waiter) = waiter else { break };
            match waiter.send(Ok(Found::Http1(pooled))) {
                Err(Ok(Found::Http1(unwanted))) => pooled = unwanted,
                _ => return,
            }
        }
        if !self.retired.get() {
            pooled.idle_since = now;
            self.idle.borrow_mut().push(pooled);
        }
    }

    /// Serves those that wait from the streams that are free.
    pub(super) fn serve_waiting(&self, most: Option<u32>) {
        while !self.waiting.borrow().is_empty() {
            let Some(found) = self.find(most) else { return };
            let waiter = self.waiting.borrow_mut().pop_front();
            if let Some(waiter) = waiter {
                // A waiter that is gone does not need it.
                let _ = waiter.send(Ok(found));
            }
        }
    }

    /// Tells the request that waited longest that there is no connection for it.
    fn refuse(&self, error: &ConnectError) {
        loop {
            let waiter = self.waiting.borrow_mut().pop_front();
            let Some(waiter) = waiter else { return };
            if waiter.send(Err(error.clone())).is_ok() {
                return;
            }
        }
    }

    /// Waiters that still want a connection.
    fn wanted(&self) -> usize {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|waiter| !waiter.is_closed());
        waiting.len()
    }
}

/// Whether a connection has carried as many requests as it may.
fn is_spent(served: u32, most: Option<u32>) -> bool {
    most.is_some_and(|most| most > 0 && served >= most)
}

impl Upstream {
    /// A connection to `host` that is open and good for another request.
    pub(crate) fn open_connection(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        host: &Rc<Host>,
    ) -> Option<Lease> {
        let found = host.find(self.most_requests())?;
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
    ) -> Result<Lease, ConnectError> {
        if let Some(lease) = self.open_connection(worker, host) {
            return Ok(lease);
        }
        let found = self.wait(worker, host).await?;
        Ok(Lease::new(worker, self, host, found))
    }

    pub(super) fn most_requests(&self) -> Option<u32> {
        self.policy.borrow().limits.max_requests_per_connection
    }

    async fn wait(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        host: &Rc<Host>,
    ) -> Result<Found, ConnectError> {
        let _pending = self
            .acquire(Resource::Pending)
            .ok_or(ConnectError::Overflow)?;
        let (sender, receiver) = oneshot::channel();
        host.waiting.borrow_mut().push_back(sender);
        self.open_wanted(worker, host);
        // The sender is dropped unused only when the worker ends.
        receiver
            .await
            .unwrap_or_else(|_| Err(ConnectError::Refused("shutting down".to_owned())))
    }

    /// Opens as many connections as requests wait for, within the limits.
    pub(super) fn open_wanted(self: &Rc<Self>, worker: &Rc<Worker>, host: &Rc<Host>) {
        let shared = self.policy.borrow().protocol == UpstreamProtocol::Http2;
        loop {
            let wanted = host.wanted();
            let wanted = if shared { wanted.min(1) } else { wanted };
            if host.connecting.get() >= wanted {
                return;
            }
            let permit = if host.connections.get() == 0 {
                self.acquire_anyway(Resource::Connection)
            } else {
                match self.acquire(Resource::Connection) {
                    Some(permit) => permit,
                    None => return,
                }
            };
            let open = Open::new(host, permit, worker.gate().count());
            host.connecting.set(host.connecting.get() + 1);
            let (this, worker, host) = (Rc::clone(self), Rc::clone(worker), Rc::clone(host));
            tokio::task::spawn_local(async move { this.open(worker, host, open).await });
        }
    }

    /// Opens one connection for those that wait.
    async fn open(self: Rc<Self>, worker: Rc<Worker>, host: Rc<Host>, open: Open) {
        count(&self.counters.connects);
        let opened = self.dial(&worker, &host).await;
        host.connecting.set(host.connecting.get() - 1);
        match opened {
            Ok(Dialled::Http1(connection)) => {
                let pooled = Pooled {
                    connection: *connection,
                    served: 0,
                    idle_since: worker.now(),
                    open,
                };
                host.offer(Box::new(pooled), worker.now());
            }
            Ok(Dialled::Http2(connection, driver)) => {
                host.shared.borrow_mut().push(Shared {
                    connection,
                    served: 0,
                });
                host.serve_waiting(self.most_requests());
                if host.retired.get() {
                    host.shared.borrow_mut().clear();
                }
                driver.await;
                drop(open);
            }
            Err(error) => {
                count(&self.counters.connect_failures);
                host.refuse(&error);
                drop(open);
            }
        }
        // What waits could now be served by a new connection.
        self.open_wanted(&worker, &host);
    }

    async fn dial(&self, worker: &Worker, host: &Host) -> Result<Dialled, ConnectError> {
        let policy = self.policy();
        let connect = async {
            let tcp = socket::connect(host.address, policy.source_address, worker.marks())
                .await
                .map_err(|error| ConnectError::Refused(words(&error)))?;
            if let Some(keepalive) = &policy.keepalive {
                socket::probe(&tcp, keepalive);
            }
            let secured = self.secure(worker, host, tcp).await;
            let stream = secured.map_err(|error| ConnectError::Refused(words(&error)))?;
            match policy.protocol {
                UpstreamProtocol::Http2 => {
                    let (connection, driver) = http2::client::Connection::start(stream);
                    Ok(Dialled::Http2(connection, driver))
                }
                UpstreamProtocol::Http1
                | UpstreamProtocol::Alpn
                | UpstreamProtocol::Downstream
                | UpstreamProtocol::Tcp => Ok(Dialled::Http1(Box::new(
                    http1::client::Connection::new(stream),
                ))),
            }
        };
        tokio::time::timeout(policy.connect_timeout, connect)
            .await
            .unwrap_or(Err(ConnectError::TimedOut))
    }

    /// A new connection as the cluster wants it: after a handshake when it speaks TLS.
    ///
    /// # Errors
    /// When the endpoint cannot be trusted, or does not answer.
    pub(crate) async fn secure(
        &self,
        worker: &Worker,
        host: &Host,
        tcp: TcpStream,
    ) -> std::io::Result<Stream> {
        let policy = self.policy();
        let Some(tls) = policy.tls.of(host.mesh_tls.get()) else {
            return Ok(Stream::new(tcp));
        };
        let snapshot = worker.snapshot();
        Box::pin(snapshot.tls().client(tls)?.connect(tcp)).await
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
        if whole && !self.retired.get() && !is_spent(pooled.served, self.most_requests()) {
            host.offer(pooled, worker.recently());
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

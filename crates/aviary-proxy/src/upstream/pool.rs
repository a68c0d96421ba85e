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
use http::{Request, Response};
use tokio::sync::oneshot;

use super::{Permit, Upstream, count};
use crate::http::Body;
use crate::http::client::{self, SendError, Sender};
use crate::socket;
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
    active: Cell<u32>,
    connections: Cell<u32>,
    connecting: Cell<usize>,
    idle: RefCell<Vec<Connection>>,
    waiting: RefCell<VecDeque<oneshot::Sender<Result<Connection, ConnectError>>>>,
    retired: Cell<bool>,
}

/// An open connection that nobody else uses.
struct Connection {
    sender: Sender,
    served: u32,
    local: Option<SocketAddr>,
    idle_since: Duration,
}

/// A connection lent to one request.
pub(crate) struct Lease {
    upstream: Rc<Upstream>,
    host: Rc<Host>,
    connection: Connection,
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
            active: Cell::new(0),
            connections: Cell::new(0),
            connecting: Cell::new(0),
            idle: RefCell::default(),
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
        self.idle.borrow_mut().clear();
    }

    pub(super) fn sweep(&self, now: Duration, idle: Duration) {
        self.idle.borrow_mut().retain(|connection| {
            connection.sender.is_ready() && now.saturating_sub(connection.idle_since) < idle
        });
    }

    /// An idle connection that is still good, the one used last.
    fn pop(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        if let Some(connection) = idle.last()
            && connection.sender.is_ready()
            && let Some(sender) = connection.sender.share()
        {
            return Some(Connection {
                sender,
                ..*connection
            });
        }
        while let Some(connection) = idle.pop() {
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Gives a connection to the request that waited longest, or keeps it.
    fn offer(&self, mut connection: Connection, now: Duration) {
        if let Some(sender) = connection.sender.share() {
            let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
            for waiter in waiting {
                if let Some(sender) = sender.share() {
                    // A waiter that is gone does not need it.
                    let _ = waiter.send(Ok(Connection {
                        sender,
                        ..connection
                    }));
                }
            }
        }
        loop {
            let waiter = self.waiting.borrow_mut().pop_front();
            let Some(waiter) = waiter else { break };
            match waiter.send(Ok(connection)) {
                Err(Ok(unwanted)) => connection = unwanted,
                _ => return,
            }
        }
        if !self.retired.get() {
            connection.idle_since = now;
            self.idle.borrow_mut().push(connection);
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

impl Upstream {
    /// A connection to `host`: an idle one, else a new one, else the next that is given back.
    ///
    /// # Errors
    /// When too many wait already, or the connection cannot be opened.
    pub(crate) async fn connection(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        host: &Rc<Host>,
    ) -> Result<Lease, ConnectError> {
        let connection = match host.pop() {
            Some(connection) => connection,
            None => self.wait(worker, host).await?,
        };
        Ok(Lease {
            upstream: Rc::clone(self),
            host: Rc::clone(host),
            connection,
        })
    }

    async fn wait(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        host: &Rc<Host>,
    ) -> Result<Connection, ConnectError> {
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
    fn open_wanted(self: &Rc<Self>, worker: &Rc<Worker>, host: &Rc<Host>) {
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
            host.connections.set(host.connections.get() + 1);
            host.connecting.set(host.connecting.get() + 1);
            let (this, worker, host) = (Rc::clone(self), Rc::clone(worker), Rc::clone(host));
            tokio::task::spawn_local(async move { this.open(worker, host, permit).await });
        }
    }

    /// Opens one connection and drives it to its end.
    async fn open(self: Rc<Self>, worker: Rc<Worker>, host: Rc<Host>, permit: Permit) {
        count(&self.counters.connects);
        let opened = self.dial(&worker, &host).await;
        host.connecting.set(host.connecting.get() - 1);
        match opened {
            Ok((connection, driver)) => {
                host.offer(connection, worker.now());
                driver.await;
            }
            Err(error) => {
                count(&self.counters.connect_failures);
                host.refuse(&error);
            }
        }
        host.connections.set(host.connections.get() - 1);
        drop(permit);
        // What waits could now be served by a new connection.
        self.open_wanted(&worker, &host);
    }

    async fn dial(
        &self,
        worker: &Worker,
        host: &Host,
    ) -> Result<(Connection, client::Driver), ConnectError> {
        let policy = self.policy();
        let connect = socket::connect(host.address, policy.source_address, worker.marks());
        let stream = tokio::time::timeout(policy.connect_timeout, connect)
            .await
            .map_err(|_| ConnectError::TimedOut)?
            .map_err(|error| ConnectError::Refused(words(&error)))?;
        let local = stream.local_addr().ok();
        let handshake = match policy.protocol {
            UpstreamProtocol::Http2 => client::http2(stream).await,
            UpstreamProtocol::Http1 | UpstreamProtocol::Tcp => client::http1(stream).await,
        };
        let (sender, driver) = handshake.map_err(ConnectError::Refused)?;
        let idle_since = worker.now();
        Ok((
            Connection {
                sender,
                served: 0,
                local,
                idle_since,
            },
            driver,
        ))
    }
}

/// A system error as Envoy words it, without the number.
pub(crate) fn words(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

impl Lease {
    /// Whether other requests were sent on it before.
    pub(crate) fn is_reused(&self) -> bool {
        self.connection.served > 0
    }

    /// Our end.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.connection.local
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// When the connection ends before that.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Body>, SendError> {
        self.connection.served += 1;
        self.connection.sender.send(request).await
    }

    /// Gives the connection back when its exchange is over, unless it has served enough.
    pub(crate) fn give_back(self, worker: &Rc<Worker>) {
        let Self {
            upstream,
            host,
            mut connection,
        } = self;
        if connection.sender.share().is_some() {
            return;
        }
        let most = upstream.policy.borrow().limits.max_requests_per_connection;
        if most.is_some_and(|most| most > 0 && connection.served >= most) {
            return;
        }
        let worker = Rc::clone(worker);
        tokio::task::spawn_local(async move {
            if connection.sender.ready().await && !upstream.retired.get() {
                host.offer(connection, worker.now());
            }
        });
    }
}

//! What runs at one address: connections that are open, and requests that wait for one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Permit;
use super::pool::ConnectError;
use super::spoken::Spoken;
use crate::http::{http1, http2};
use crate::life::Ticket;

/// How long connections of a cluster are used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wear {
    /// Requests; 0 is without end.
    pub(super) most: Option<u32>,
    pub(super) age: Option<Duration>,
    pub(super) now: Duration,
}

impl Wear {
    /// Whether a connection that was opened at `since` and carried so many requests is used up.
    pub(super) fn is_over(self, served: u32, since: Duration) -> bool {
        self.most.is_some_and(|most| most > 0 && served >= most)
            || self
                .age
                .is_some_and(|age| self.now.saturating_sub(since) >= age)
    }
}

/// A request that waits for a connection.
pub(super) struct Waiter {
    pub(super) spoken: Spoken,
    pub(super) sender: oneshot::Sender<Result<Found, ConnectError>>,
}

/// What runs at one address of a cluster.
pub(crate) struct Host {
    address: SocketAddr,
    /// It speaks the mesh's TLS.
    pub(super) mesh_tls: Cell<bool>,
    active: Cell<u32>,
    pub(super) connections: Cell<u32>,
    /// By [`Spoken`].
    connecting: [Cell<usize>; 3],
    /// A handshake that left the choice to the endpoint ended with HTTP/1.
    pub(super) chose_http1: Cell<bool>,
    /// HTTP/1 connections that nobody uses, the one used last at the end.
    #[expect(clippy::vec_box, reason = "one goes in and out without being copied")]
    idle: RefCell<Vec<Box<Pooled>>>,
    /// HTTP/2 connections.
    pub(super) shared: RefCell<Vec<Shared>>,
    pub(super) waiting: RefCell<VecDeque<Waiter>>,
    pub(super) retired: Cell<bool>,
}

/// An open HTTP/1 connection.
pub(super) struct Pooled {
    pub(super) connection: http1::client::Connection,
    pub(super) served: u32,
    pub(super) since: Duration,
    pub(super) idle_since: Duration,
    pub(super) open: Open,
}

impl Pooled {
    /// The connection, and what counts it as open.
    pub(super) fn into_parts(self) -> (http1::client::Connection, impl Sized + 'static) {
        (self.connection, self.open)
    }
}

/// An open HTTP/2 connection.
pub(super) struct Shared {
    pub(super) connection: http2::client::Connection,
    pub(super) served: u32,
    pub(super) since: Duration,
}

/// A connection that a request may use.
pub(super) enum Found {
    Http1(Box<Pooled>),
    Http2(http2::client::Connection),
}

/// Counts an open connection while it lives.
pub(super) struct Open {
    host: Rc<Host>,
    _permit: Permit,
    _ticket: Ticket,
}

impl Open {
    pub(super) fn new(host: &Rc<Host>, permit: Permit, ticket: Ticket) -> Self {
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
            connecting: <[Cell<usize>; 3]>::default(),
            chose_http1: Cell::new(false),
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

    pub(super) fn sweep(&self, idle: Duration, wear: Wear) {
        self.idle.borrow_mut().retain_mut(|pooled| {
            wear.now.saturating_sub(pooled.idle_since) < idle
                && !wear.is_over(pooled.served, pooled.since)
                && pooled.connection.is_quiet()
        });
        self.shared.borrow_mut().retain(|shared| {
            shared.connection.is_open() && !wear.is_over(shared.served, shared.since)
        });
    }

    /// A connection that is good for another request: of idle ones the one used last.
    pub(super) fn find(&self, spoken: Spoken, wear: Wear) -> Option<Found> {
        if spoken != Spoken::Http2 {
            let mut idle = self.idle.borrow_mut();
            while let Some(mut pooled) = idle.pop() {
                if !wear.is_over(pooled.served, pooled.since) && pooled.connection.is_quiet() {
                    return Some(Found::Http1(pooled));
                }
            }
        }
        let mut shared = self.shared.borrow_mut();
        if spoken == Spoken::Http1 || shared.is_empty() {
            return None;
        }
        shared.retain(|shared| {
            shared.connection.is_open() && !wear.is_over(shared.served, shared.since)
        });
        let least = shared
            .iter_mut()
            .filter(|shared| shared.connection.has_room())
            .min_by_key(|shared| shared.connection.streams())?;
        least.served += 1;
        Some(Found::Http2(least.connection.clone()))
    }

    /// The request that waited longest among those that `takes` names.
    fn next_waiter(&self, takes: impl Fn(Spoken) -> bool) -> Option<Waiter> {
        let mut waiting = self.waiting.borrow_mut();
        let first = waiting.iter().position(|waiter| takes(waiter.spoken))?;
        waiting.remove(first)
    }

    /// Gives a connection to the request that waited longest, or keeps it.
    pub(super) fn offer(&self, mut pooled: Box<Pooled>, now: Duration) {
        loop {
            let waiter = self.next_waiter(|spoken| spoken != Spoken::Http2);
            let Some(waiter) = waiter else { break };
            match waiter.sender.send(Ok(Found::Http1(pooled))) {
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
    pub(super) fn serve_waiting(&self, wear: Wear) {
        while !self.waiting.borrow().is_empty() {
            let Some(found) = self.find(Spoken::Http2, wear) else {
                return;
            };
            let Some(waiter) = self.next_waiter(|spoken| spoken != Spoken::Http1) else {
                return;
            };
            // A waiter that is gone does not need it.
            let _ = waiter.sender.send(Ok(found));
        }
    }

    /// Tells the request that waited longest that there is no connection for it.
    pub(super) fn refuse(&self, spoken: Spoken, error: &ConnectError) {
        while let Some(waiter) = self.next_waiter(|it| it == spoken) {
            if waiter.sender.send(Err(error.clone())).is_ok() {
                return;
            }
        }
    }

    /// Connections that those who wait still want.
    pub(super) fn wanted(&self, spoken: Spoken) -> usize {
        let mut waiting = self.waiting.borrow_mut();
        waiting.retain(|waiter| !waiter.sender.is_closed());
        let wanted = waiting.iter().filter(|it| it.spoken == spoken).count();
        let is_shared = match spoken {
            Spoken::Http1 => false,
            Spoken::Http2 => true,
            Spoken::Agreed => !self.chose_http1.get(),
        };
        if is_shared { wanted.min(1) } else { wanted }
    }

    pub(super) fn connecting(&self, spoken: Spoken) -> &Cell<usize> {
        &self.connecting[spoken as usize]
    }
}

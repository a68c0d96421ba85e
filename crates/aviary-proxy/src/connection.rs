//! A client's connection: where it meant to go, and which filter chain takes it.

use std::cell::{OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use aviary_mesh::compiled::Table;
use aviary_mesh::listener::{Direction, HttpChain, Listener, TcpChain};
use aviary_mesh::resolve::{self, Connection};
use aviary_mesh::{ChainAction, FilterChain, MeshConfig};
use aviary_telemetry::trace;
use tokio::net::TcpStream;

use crate::snapshot::Snapshot;
use crate::stream::Stream;
use crate::worker::Worker;
use crate::{http, inspect, socket, tcp};

/// How a connection came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Port of the bound listener in the configuration.
    pub(crate) port: u16,
    /// It came by a socket made by somebody else, whose own port means nothing here.
    pub(crate) inherited: bool,
    /// The client.
    pub(crate) remote: SocketAddr,
}

/// What is known of one client connection.
pub(crate) struct Link {
    pub(crate) worker: Rc<Worker>,
    pub(crate) remote: SocketAddr,
    /// Where the client meant to go.
    pub(crate) destination: SocketAddr,
    /// The client came here by itself: following its destination would lead back here.
    pub(crate) direct: bool,
    port: u16,
    protocol: Option<&'static str>,
    identity: RefCell<Option<Rc<Identity>>>,
    /// The client's address as text, once it is needed.
    remote_text: OnceCell<Box<str>>,
}

/// The chain that a connection belongs to in one configuration.
pub(crate) struct Identity {
    snapshot: Arc<Snapshot>,
    listener: Arc<Listener>,
    /// Position in the listener; `None` is its default chain.
    chain: Option<usize>,
    table: Option<Arc<Table>>,
    tracing: trace::Settings,
}

impl Identity {
    fn chain(&self) -> Option<&FilterChain> {
        match self.chain {
            Some(index) => self.listener.chains.get(index),
            None => self.listener.default_chain.as_ref(),
        }
    }

    /// The chain, when it is one for HTTP.
    pub(crate) fn http(&self) -> Option<&HttpChain> {
        match &self.chain()?.action {
            ChainAction::Http(chain) => Some(chain),
            ChainAction::Tcp(_) => None,
        }
    }

    fn tcp(&self) -> Option<&TcpChain> {
        match &self.chain()?.action {
            ChainAction::Tcp(chain) => Some(chain),
            ChainAction::Http(_) => None,
        }
    }

    /// Its route table; `None` when the configuration lacks it.
    pub(crate) fn table(&self) -> Option<&Arc<Table>> {
        self.table.as_ref()
    }

    /// What is done with request ids and traces.
    pub(crate) fn tracing(&self) -> &trace::Settings {
        &self.tracing
    }

    /// The configuration.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Link {
    /// The client's address as text.
    pub(crate) fn remote_text(&self) -> &str {
        self.remote_text
            .get_or_init(|| self.remote.ip().to_string().into())
    }

    /// The chain by the configuration of now; `None` when none takes the connection (any more).
    pub(crate) fn identify(&self) -> Option<Rc<Identity>> {
        if let Some(known) = self.identity.borrow().as_ref()
            && self.worker.is_current(&known.snapshot)
        {
            return Some(Rc::clone(known));
        }
        let identity = Rc::new(self.choose(self.worker.snapshot())?);
        *self.identity.borrow_mut() = Some(Rc::clone(&identity));
        Some(identity)
    }

    /// The chain that it was given last, though the configuration may be gone.
    pub(crate) fn last_identity(&self) -> Option<Rc<Identity>> {
        self.identity.borrow().clone()
    }

    fn choose(&self, snapshot: Arc<Snapshot>) -> Option<Identity> {
        let config = snapshot.config();
        let connection = Connection {
            destination: Some(self.destination),
            server_name: None,
            transport_protocol: "raw_buffer",
            application_protocol: self.protocol,
        };
        let choice = resolve::chain(config, bound(config.mesh(), self.port)?, &connection)?;
        let listener = Arc::clone(config.mesh().listeners.get(&choice.listener.name)?);
        let chain = listener
            .chains
            .iter()
            .position(|chain| std::ptr::eq(chain, choice.chain));
        let (table, percent) = match &choice.chain.action {
            ChainAction::Http(chain) => (config.table(chain).cloned(), chain.sampling_percent()),
            ChainAction::Tcp(_) => (None, 0.0),
        };
        Some(Identity {
            snapshot,
            listener,
            chain,
            table,
            tracing: trace::Settings {
                generate_request_id: true,
                tracing: Some(trace::Tracing {
                    random: trace::Tracing::share(percent),
                    client: 10_000,
                    overall: 10_000,
                    begin: trace::Formats::BEGIN,
                    spans: false,
                }),
            },
        })
    }
}

/// The bound listener of a port.
fn bound(mesh: &MeshConfig, port: u16) -> Option<&Listener> {
    mesh.listeners
        .values()
        .find(|listener| listener.bind_to_port && listener.address.port() == port)
        .map(Arc::as_ref)
}

/// Serves a connection to its end.
pub(crate) async fn serve(worker: Rc<Worker>, tcp: TcpStream, arrival: Arrival) {
    let Ok(local) = tcp.local_addr() else { return };
    let destination = if arrival.inherited {
        SocketAddr::new(local.ip(), arrival.port)
    } else if is_redirected(&worker.snapshot(), arrival.port) {
        socket::original_destination(&tcp).unwrap_or(local)
    } else {
        local
    };
    let mut stream = Stream::new(tcp);
    let protocol = inspected(&worker, &mut stream, &arrival, destination).await;
    let link = Rc::new(Link {
        remote: arrival.remote,
        destination,
        direct: destination == local,
        port: arrival.port,
        protocol,
        identity: RefCell::default(),
        remote_text: OnceCell::new(),
        worker,
    });
    let Some(identity) = link.identify() else {
        tracing::debug!(%destination, remote = %link.remote, "no filter chain takes the connection");
        return;
    };
    if let Some(chain) = identity.tcp() {
        tcp::serve(&link, chain, stream).await;
        return;
    }
    drop(identity);
    http::serve::serve(link, stream).await;
}

/// Whether connections to a port may have been meant for somebody else.
fn is_redirected(snapshot: &Snapshot, port: u16) -> bool {
    bound(snapshot.mesh(), port).is_some_and(|listener| {
        listener.use_original_dst || listener.direction == Direction::Inbound
    })
}

/// What the listener's inspector finds, when it has one.
async fn inspected(
    worker: &Worker,
    stream: &mut Stream,
    arrival: &Arrival,
    destination: SocketAddr,
) -> Option<&'static str> {
    let snapshot = worker.snapshot();
    let config = snapshot.config();
    let bound = bound(config.mesh(), arrival.port)?;
    let unbound = bound
        .use_original_dst
        .then(|| config.unbound_listener(destination))
        .flatten();
    let listener = unbound.unwrap_or(bound);
    if !listener.http_inspector {
        return None;
    }
    inspect::protocol(stream, listener.inspect_timeout).await
}

//! A client's connection: where it meant to go, and which filter chain takes it.

use std::cell::{OnceCell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aviary_mesh::compiled::Table;
use aviary_mesh::listener::{Direction, HttpChain, Listener, TcpChain};
use aviary_mesh::rbac;
use aviary_mesh::resolve::{self, Caller, Connection};
use aviary_mesh::tls::DownstreamTls;
use aviary_mesh::{ChainAction, FilterChain, MeshConfig};
use tokio::net::TcpStream;

use crate::life::Ticket;
use crate::record::Telling;
use crate::snapshot::Snapshot;
use crate::stream::Stream;
use crate::tls::{Peer, hello::Hello};
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
    /// Its number in this process, from 1.
    pub(crate) number: u64,
    pub(crate) remote: SocketAddr,
    /// Where the client meant to go.
    pub(crate) destination: SocketAddr,
    /// The client came here by itself: following its destination would lead back here.
    pub(crate) direct: bool,
    port: u16,
    /// What its first bytes said, when somebody looked.
    hello: Option<Hello>,
    /// Application protocols that it may speak.
    protocols: Vec<String>,
    /// Who the client is, when the connection is encrypted.
    tls: OnceCell<Rc<Peer>>,
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
    telling: Telling,
}

impl Identity {
    fn chain(&self) -> Option<&FilterChain> {
        match self.chain {
            Some(index) => self.listener.chains.get(index),
            None => self.listener.default_chain.as_ref(),
        }
    }

    /// The server names that the chain was chosen for.
    pub(crate) fn server_names(&self) -> &[String] {
        self.chain()
            .map_or(&[], |chain| &chain.matches.server_names)
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

    /// What is told of its exchanges, and what is done with traces.
    pub(crate) fn telling(&self) -> &Telling {
        &self.telling
    }

    /// The configuration.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}

impl Link {
    /// Who calls, as authorisation sees it; `client` is the one for whom the peer asks.
    pub(crate) fn caller(&self, client: IpAddr) -> Caller<'_> {
        Caller {
            direct: self.remote,
            client,
            destination: self.destination,
            encrypted: self.tls().is_some(),
            subject: self.tls().and_then(|peer| peer.subject.as_deref()),
            server_name: self.server_name().unwrap_or_default(),
        }
    }

    /// Who the client is; `None` when the connection is not encrypted.
    pub(crate) fn tls(&self) -> Option<&Rc<Peer>> {
        self.tls.get()
    }

    /// The server name that the client asked for in its TLS hello.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match &self.hello {
            Some(hello) => hello.server_name.as_deref(),
            None => self.tls()?.server_name.as_deref(),
        }
    }

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
            server_name: self.server_name(),
            transport_protocol: match self.hello {
                Some(_) => "tls",
                None => "raw_buffer",
            },
            application_protocols: &self.protocols,
            source: Some(self.remote),
        };
        let choice = resolve::chain(config, bound(config.mesh(), self.port)?, &connection)?;
        let listener = Arc::clone(config.mesh().listeners.get(&choice.listener.name)?);
        let chain = listener
            .chains
            .iter()
            .position(|chain| std::ptr::eq(chain, choice.chain));
        let table = match &choice.chain.action {
            ChainAction::Http(chain) => config.table(chain).cloned(),
            ChainAction::Tcp(_) => None,
        };
        let telling = snapshot.wanted().telling(choice.chain);
        Some(Identity {
            snapshot,
            listener,
            chain,
            table,
            telling,
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

/// Connections that this process accepted.
static ACCEPTED: AtomicU64 = AtomicU64::new(0);

/// Serves a connection to its end; `ticket` counts it until then.
///
/// No `async fn`: that would keep room for what it was given as long as the connection lives.
pub(crate) fn serve(
    worker: Rc<Worker>,
    tcp: TcpStream,
    arrival: Arrival,
    ticket: Ticket,
) -> impl Future<Output = ()> {
    // Apart, so that a connection which waits for requests is small.
    let meeting = Box::pin(meet(worker, tcp, arrival));
    async move {
        // It is given back with everything else.
        let _ = &ticket;
        let Some((link, stream)) = meeting.await else {
            return;
        };
        let Some(identity) = link.last_identity() else {
            return;
        };
        if let Some(chain) = identity.tcp() {
            let _upstream = link.worker.gate().count();
            Box::pin(tcp::serve(&link, &identity, chain, stream)).await;
            return;
        }
        drop(identity);
        http::serve::serve(link, stream).await;
    }
}

/// Learns where a connection belongs, and decrypts it; `None` when nothing takes it.
async fn meet(worker: Rc<Worker>, tcp: TcpStream, arrival: Arrival) -> Option<(Rc<Link>, Stream)> {
    let local = tcp.local_addr().ok()?;
    let destination = if arrival.inherited {
        SocketAddr::new(local.ip(), arrival.port)
    } else if is_redirected(&worker.snapshot(), arrival.port) {
        socket::original_destination(&tcp).unwrap_or(local)
    } else {
        local
    };
    let mut stream = Stream::new(tcp);
    let found = inspected(&worker, &mut stream, &arrival, destination).await;
    let protocols = match (&found.hello, found.http) {
        (Some(hello), _) => hello.alpn.clone(),
        (None, http) => http.map(str::to_owned).into_iter().collect(),
    };
    let link = Rc::new(Link {
        number: ACCEPTED.fetch_add(1, Ordering::Relaxed) + 1,
        remote: arrival.remote,
        destination,
        direct: destination == local,
        port: arrival.port,
        hello: found.hello,
        protocols,
        tls: OnceCell::new(),
        identity: RefCell::default(),
        remote_text: OnceCell::new(),
        worker,
    });
    let Some(identity) = link.identify() else {
        tracing::debug!(%destination, remote = %link.remote, "no filter chain takes the connection");
        return None;
    };
    if let Some(tls) = identity.chain().and_then(|chain| chain.tls.as_ref()) {
        stream = match Box::pin(decrypted(&link, &identity, tls, stream)).await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(remote = %link.remote, %error, "no TLS with the client");
                return None;
            }
        };
    }
    if let Some(filter) = denied(&link, &identity) {
        tracing::debug!(remote = %link.remote, filter, "connection denied");
        return None;
    }
    drop(identity);
    Some((link, stream))
}

/// The statistics prefix of the chain's rule that lets the connection in no further.
fn denied<'a>(link: &Link, identity: &'a Identity) -> Option<&'a str> {
    let caller = link.caller(link.remote.ip());
    let mut filters = identity.chain()?.rbac.iter();
    let filter = filters.find(|filter| !rbac::authorize_connection(filter, &caller).allowed)?;
    Some(&filter.stat_prefix)
}

/// Whether connections to a port may have been meant for somebody else.
fn is_redirected(snapshot: &Snapshot, port: u16) -> bool {
    bound(snapshot.mesh(), port).is_some_and(|listener| {
        listener.use_original_dst || listener.direction == Direction::Inbound
    })
}

/// The connection after the handshake of a chain where TLS ends.
async fn decrypted(
    link: &Link,
    identity: &Identity,
    tls: &Arc<DownstreamTls>,
    stream: Stream,
) -> io::Result<Stream> {
    let context = identity.snapshot.tls().server(tls);
    let context = context.ok_or_else(|| io::Error::other("its certificates cannot be used"))?;
    let stream = context.accept(stream).await?;
    if let Some(peer) = stream.tls() {
        // Set once, here.
        let _ = link.tls.set(Rc::clone(peer));
    }
    Ok(stream)
}

/// What the listener's inspectors find, when it has some.
async fn inspected(
    worker: &Worker,
    stream: &mut Stream,
    arrival: &Arrival,
    destination: SocketAddr,
) -> inspect::Found {
    let snapshot = worker.snapshot();
    let config = snapshot.config();
    let Some(bound) = bound(config.mesh(), arrival.port) else {
        return inspect::Found::default();
    };
    let unbound = bound
        .use_original_dst
        .then(|| config.unbound_listener(destination))
        .flatten();
    let listener = unbound.unwrap_or(bound);
    let (tls, http) = (listener.tls_inspector, listener.http_inspector);
    if !tls && !http {
        return inspect::Found::default();
    }
    inspect::inspect(stream, tls, http, listener.inspect_timeout).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// Optimised it is about 150 bytes less, and takes 1 KiB with what tokio puts around it: the next
    /// size that is allocated is 1.25.
    #[test]
    fn serve_is_small_while_it_waits() {
        let size = size(serve);
        assert!(size <= 976, "{size} bytes");
    }
}

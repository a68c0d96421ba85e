//! What handshakes are made with: one context per TLS of the configuration, made once per change.

mod build;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::MeshConfig;
use aviary_mesh::tls::{DownstreamTls, UpstreamTls};
use rustls::pki_types::ServerName;
use rustls::server::ProducesTickets;
use tokio::net::TcpStream;

use super::Session;
use super::hello::{self, Verdict};
use super::material::{Material, ReadFile, Reader};
use crate::stream::Stream;

/// A handshake takes at most this long.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts connections of one chain.
pub(crate) struct ServerContext {
    tls: Arc<DownstreamTls>,
    material: Material,
    config: Arc<rustls::ServerConfig>,
    tickets: Option<Arc<dyn ProducesTickets>>,
    /// URI in the own certificate, e.g. the workload's SPIFFE ID.
    own_uri: Option<Arc<str>>,
}

impl ServerContext {
    /// The server's half of a handshake.
    ///
    /// # Errors
    /// When the client breaks the protocol, is refused, goes away or takes too long.
    pub(crate) async fn accept(&self, stream: Stream) -> io::Result<Stream> {
        tokio::time::timeout(HANDSHAKE_TIMEOUT, self.handshake(stream))
            .await
            .map_err(|_| refused("the handshake took too long"))?
    }

    async fn handshake(&self, mut stream: Stream) -> io::Result<Stream> {
        let hello = loop {
            match hello::verdict(stream.seen()) {
                Verdict::Hello(hello) => break hello,
                Verdict::Other => return Err(refused("the client does not speak TLS")),
                Verdict::Undecided if stream.look().await? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Verdict::Undecided => {}
            }
        };
        if self.tls.require_server_name && hello.server_name.is_none() {
            return Err(refused("the client names no server"));
        }
        let (tcp, seen) = stream.into_plain()?;
        let connection = rustls::server::UnbufferedServerConnection::new(Arc::clone(&self.config))
            .map_err(|error| refused(error.to_string()))?;
        let session = Session::server(tcp, connection, &seen);
        handshake(session, hello.server_name, self.own_uri.clone())
            .await
            .map(Stream::encrypted)
    }
}

/// Opens connections to one cluster.
pub(crate) struct ClientContext {
    tls: Arc<UpstreamTls>,
    material: Material,
    config: rustls::ClientConfig,
    /// Sessions of all endpoints, to be resumed; `None` resumes none.
    sessions: Option<Arc<build::Sessions>>,
    server_name: ServerName<'static>,
    /// URI in the own certificate.
    own_uri: Option<Arc<str>>,
}

impl ClientContext {
    /// The client's half of a handshake on a new connection. The cluster's connect timeout is
    /// the caller's to keep.
    ///
    /// # Errors
    /// When the endpoint breaks the protocol, is refused, or goes away.
    pub(crate) async fn connect(&self, tcp: TcpStream, fallback: &[&[u8]]) -> io::Result<Stream> {
        let mut config = rustls::ClientConfig::clone(&self.config);
        if config.alpn_protocols.is_empty() {
            config.alpn_protocols = fallback.iter().map(|it| it.to_vec()).collect();
        }
        if let Some(sessions) = &self.sessions {
            config.resumption = build::resumption(sessions, tcp.peer_addr()?);
        }
        let connection = rustls::client::UnbufferedClientConnection::new(
            Arc::new(config),
            self.server_name.clone(),
        )
        .map_err(|error| refused(error.to_string()))?;
        handshake(Session::client(tcp, connection), None, self.own_uri.clone())
            .await
            .map(Stream::encrypted)
    }
}

async fn handshake(
    session: Session,
    server_name: Option<Box<str>>,
    own: Option<Arc<str>>,
) -> io::Result<Box<Session>> {
    let mut session = Box::new(session);
    std::future::poll_fn(|cx| session.poll_handshake(cx)).await?;
    session.meet_peer(server_name, own)?;
    Ok(session)
}

fn refused(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, reason.into())
}

/// The contexts of one configuration.
#[derive(Default)]
pub(crate) struct Contexts {
    servers: HashMap<usize, Arc<ServerContext>>,
    clients: HashMap<usize, Arc<ClientContext>>,
    files: Vec<ReadFile>,
    problems: Vec<String>,
}

impl std::fmt::Debug for Contexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contexts")
            .field("servers", &self.servers.len())
            .field("clients", &self.clients.len())
            .field("problems", &self.problems)
            .finish_non_exhaustive()
    }
}

fn place<T>(value: &Arc<T>) -> usize {
    Arc::as_ptr(value).addr()
}

impl Contexts {
    /// Makes the contexts of `mesh`, taking over from `previous` what is made of the same.
    ///
    /// What cannot be made (a file that is not there, a key of another certificate) is told by
    /// [`Self::problems`]. Its form in `previous` stays in use; without one, connections are
    /// refused.
    pub(crate) fn new(mesh: &MeshConfig, previous: Option<&Self>) -> Self {
        let mut contexts = Self::default();
        let mut reader = Reader {
            secrets: &mesh.secrets,
            files: Vec::new(),
        };
        for listener in mesh.listeners.values() {
            for chain in listener.chains.iter().chain(&listener.default_chain) {
                let Some(tls) = &chain.tls else { continue };
                let old = previous.and_then(|it| it.like_server(tls));
                match server(&mut reader, tls, old.as_ref()) {
                    Ok(context) => drop(contexts.servers.insert(place(tls), context)),
                    Err(problem) => {
                        let at = format!("listener `{}`, chain `{}`", listener.name, chain.name);
                        contexts.problems.push(format!("{at}: {problem}"));
                        // The place is that of the new configuration, the rest is as it was.
                        contexts.servers.extend(old.map(|it| (place(tls), it)));
                    }
                }
            }
        }
        for cluster in mesh.clusters.values() {
            for tls in cluster.tls.all() {
                let old = previous.and_then(|it| it.like_client(tls));
                match client(&mut reader, tls, old.as_ref()) {
                    Ok(context) => drop(contexts.clients.insert(place(tls), context)),
                    Err(problem) => {
                        let at = format!("cluster `{}`", cluster.name);
                        contexts.problems.push(format!("{at}: {problem}"));
                        contexts.clients.extend(old.map(|it| (place(tls), it)));
                    }
                }
            }
        }
        contexts.files = reader.files;
        for problem in &contexts.problems {
            tracing::error!("TLS cannot be used as configured: {problem}");
        }
        contexts
    }

    /// What accepts connections of a chain; `None` when it could not be made.
    pub(crate) fn server(&self, tls: &Arc<DownstreamTls>) -> Option<&Arc<ServerContext>> {
        self.servers.get(&place(tls))
    }

    /// What opens connections to a cluster.
    ///
    /// # Errors
    /// When it could not be made.
    pub(crate) fn client(&self, tls: &Arc<UpstreamTls>) -> io::Result<&Arc<ClientContext>> {
        let context = self.clients.get(&place(tls));
        context.ok_or_else(|| refused("its certificates cannot be used"))
    }

    /// Whether files of certificates are other ones now.
    pub(crate) fn files_changed(&self) -> bool {
        self.files.iter().any(ReadFile::changed)
    }

    fn like_server(&self, tls: &Arc<DownstreamTls>) -> Option<Arc<ServerContext>> {
        let same = self.servers.get(&place(tls));
        same.filter(|it| Arc::ptr_eq(&it.tls, tls))
            .or_else(|| self.servers.values().find(|it| it.tls == *tls))
            .cloned()
    }

    fn like_client(&self, tls: &Arc<UpstreamTls>) -> Option<Arc<ClientContext>> {
        let same = self.clients.get(&place(tls));
        same.filter(|it| Arc::ptr_eq(&it.tls, tls))
            .or_else(|| self.clients.values().find(|it| it.tls == *tls))
            .cloned()
    }
}

fn server(
    reader: &mut Reader<'_>,
    tls: &Arc<DownstreamTls>,
    old: Option<&Arc<ServerContext>>,
) -> Result<Arc<ServerContext>, String> {
    let material = reader.material(&tls.certificates, tls.validation.as_ref())?;
    if let Some(old) = old
        && Arc::ptr_eq(&old.tls, tls)
        && old.material == material
    {
        return Ok(Arc::clone(old));
    }
    // A session goes on under a new certificate, but not under other rules for clients.
    let judged_alike = |old: &&Arc<ServerContext>| {
        old.tls.validation == tls.validation
            && old.material.trusted_ca == material.trusted_ca
            && old.material.names == material.names
            && old.tls.require_client_certificate == tls.require_client_certificate
    };
    let tickets = match old.filter(judged_alike) {
        _ if tls.no_resumption => None,
        Some(old) if old.tickets.is_some() => old.tickets.clone(),
        _ => Some(build::tickets()?),
    };
    let (config, own_uri) = build::server(tls, &material, tickets.clone())?;
    Ok(Arc::new(ServerContext {
        tls: Arc::clone(tls),
        material,
        config: Arc::new(config),
        tickets,
        own_uri,
    }))
}

fn client(
    reader: &mut Reader<'_>,
    tls: &Arc<UpstreamTls>,
    old: Option<&Arc<ClientContext>>,
) -> Result<Arc<ClientContext>, String> {
    let material = reader.material(&tls.certificates, tls.validation.as_ref())?;
    if let Some(old) = old
        && Arc::ptr_eq(&old.tls, tls)
        && old.material == material
    {
        return Ok(Arc::clone(old));
    }
    // New certificates begin without sessions: an old one would show the old certificate on.
    let alike = old.filter(|it| it.material == material);
    let (config, own_uri) = match alike {
        Some(old) => (old.config.clone(), old.own_uri.clone()),
        None => build::client(tls, &material)?,
    };
    let sessions = match alike {
        Some(old) => old.sessions.clone(),
        None => build::sessions(tls),
    };
    Ok(Arc::new(ClientContext {
        tls: Arc::clone(tls),
        server_name: build::server_name(&tls.server_name)?,
        material,
        config,
        sessions,
        own_uri,
    }))
}

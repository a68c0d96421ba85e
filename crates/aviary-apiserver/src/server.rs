//! Opening and serving.

#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    future::Future,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Admission,
    api::Api,
    auth::{self, User},
    bootstrap, http as rest,
    pki::{self, Pki},
    store::{self, Store},
};

pub use crate::http::Body;

/// How often history is forgotten; events live at least this long.
const COMPACTION: Duration = Duration::from_mins(5);
/// A client that has not finished its TLS handshake by then is cut.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Configuration of a server.
#[derive(Clone)]
pub struct Config {
    /// Folder of the object store (`objects.redb` is made in it).
    pub data: PathBuf,
    /// Folder of keys and tokens; made with everything in it when absent.
    pub pki: PathBuf,
    /// Network of Service addresses. Its first address is the `kubernetes` Service, its tenth the DNS.
    pub service_network: Ipv4Addr,
    /// Bits of the network part of `service_network`, at most 28.
    pub service_prefix: u8,
    /// Hooks, in order.
    pub admission: Vec<Arc<dyn Admission>>,
    /// Unix socket of the node agent, for logs.
    pub node_socket: PathBuf,
    /// Name of the node: the user of the node token is `system:node:<name>`.
    pub node_name: String,
}

impl Config {
    /// The usual configuration below a home folder.
    pub fn at(home: &Path) -> Self {
        Self {
            data: home.join("data"),
            pki: home.join("pki"),
            service_network: Ipv4Addr::new(10, 96, 0, 0),
            service_prefix: 16,
            admission: Vec::new(),
            node_socket: home.join("run/node.sock"),
            node_name: "aviary".to_owned(),
        }
    }

    /// The `index`th address of the Service network.
    pub(crate) fn service_address(&self, index: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.service_network.to_bits().wrapping_add(index))
    }
}

/// Why a server could not be opened or served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data folder cannot be made.
    #[error("cannot make the folder {path}: {source}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The object store cannot be opened.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The keys cannot be read or made.
    #[error(transparent)]
    Pki(#[from] pki::Error),
    /// The objects that every installation has could not be stored.
    #[error("cannot store the first objects: {0}")]
    Bootstrap(String),
    /// A socket cannot be served.
    #[error("cannot serve {socket}: {source}")]
    Socket {
        /// Address or path.
        socket: String,
        /// What the system says.
        source: std::io::Error,
    },
}

/// An open API server. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    api: Arc<Api>,
    tls: Arc<rustls::ServerConfig>,
    kubeconfig: Arc<Pki>,
}

impl Server {
    /// Opens the store, makes missing keys and stores the objects that every installation has.
    ///
    /// # Errors
    /// [`Error`] names what cannot be used.
    pub async fn open(config: Config) -> Result<Self, Error> {
        std::fs::create_dir_all(&config.data).map_err(|source| Error::Folder {
            path: config.data.clone(),
            source,
        })?;
        let pki = Pki::open(&config.pki, config.service_address(1).into())?;
        let tls = pki.tls()?;
        let store = Store::open(&config.data.join("objects.redb"))?;
        let api = Arc::new(Api::new(store, config, &pki));
        bootstrap::ensure(&api)
            .await
            .map_err(|status| Error::Bootstrap(status.message))?;
        Ok(Self {
            api,
            tls,
            kubeconfig: Arc::new(pki),
        })
    }

    /// A tower service in this process, for `kube::Client::new`; its identity is the administrator.
    pub fn client_service(&self) -> ClientService {
        ClientService {
            api: Arc::clone(&self.api),
        }
    }

    /// A kubeconfig of the administrator for a server URL (`https://127.0.0.1:6443`).
    pub fn kubeconfig(&self, server: &str) -> String {
        self.kubeconfig.kubeconfig(server)
    }

    /// The authority's certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.api.ca_pem
    }

    #[cfg(test)]
    pub(crate) fn api(&self) -> Arc<Api> {
        Arc::clone(&self.api)
    }

    #[cfg(test)]
    pub(crate) async fn compact_now(&self) -> Result<(), store::Error> {
        self.api
            .store
            .compact(self.api.store.snapshot().revision)
            .await
    }

    /// Serves HTTPS on a listening socket until cancelled; open connections then get a moment to
    /// finish.
    ///
    /// # Errors
    /// [`Error::Socket`] if the socket cannot be used.
    pub async fn serve_tls(
        &self,
        listener: std::net::TcpListener,
        cancel: CancellationToken,
    ) -> Result<(), Error> {
        let socket_error = |source| Error::Socket {
            socket: "the API port".to_owned(),
            source,
        };
        listener.set_nonblocking(true).map_err(socket_error)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(socket_error)?;
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&self.tls));
        let tasks = TaskTracker::new();
        while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
            let Some(stream) = accepted_or_pause(accepted.map(|(stream, _)| stream)).await else {
                continue;
            };
            // Small answers must not wait for the client's acknowledgement.
            let _ = stream.set_nodelay(true);
            let (acceptor, api, cancel) = (acceptor.clone(), Arc::clone(&self.api), cancel.clone());
            tasks.spawn(async move {
                let handshake = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream));
                match handshake.await {
                    Ok(Ok(stream)) => connection(api, stream, cancel).await,
                    Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
                    Err(_) => tracing::debug!("TLS handshake took too long"),
                }
            });
        }
        finish(tasks).await;
        Ok(())
    }

    /// Serves plain HTTP on a unix socket (made anew, mode 0600) until cancelled. Clients need a
    /// bearer token here, too.
    ///
    /// # Errors
    /// [`Error::Socket`] if the socket cannot be made.
    pub async fn serve_unix(&self, path: &Path, cancel: CancellationToken) -> Result<(), Error> {
        use std::os::unix::fs::PermissionsExt as _;
        let socket_error = |source| Error::Socket {
            socket: path.display().to_string(),
            source,
        };
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(socket_error(error));
            }
            _ => {}
        }
        let listener = tokio::net::UnixListener::bind(path).map_err(socket_error)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(socket_error)?;
        let tasks = TaskTracker::new();
        while let Some(accepted) = cancel.run_until_cancelled(listener.accept()).await {
            if let Some(stream) = accepted_or_pause(accepted.map(|(stream, _)| stream)).await {
                tasks.spawn(connection(Arc::clone(&self.api), stream, cancel.clone()));
            }
        }
        finish(tasks).await;
        Ok(())
    }

    /// Forgets old history every five minutes until cancelled.
    pub async fn run_compaction(&self, cancel: CancellationToken) {
        let mut mark = self.api.store.snapshot().revision;
        let mut ticks = tokio::time::interval(COMPACTION);
        ticks.tick().await;
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.api.store.compact(mark).await {
                tracing::warn!(%error, "history was not compacted");
            }
            mark = self.api.store.snapshot().revision;
        }
    }
}

/// An accepted stream. Errors of one accept (out of descriptors, say) pass; a short pause keeps
/// the loop from spinning on them.
async fn accepted_or_pause<S>(accepted: std::io::Result<S>) -> Option<S> {
    match accepted {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn finish(tasks: TaskTracker) {
    tasks.close();
    if tokio::time::timeout(Duration::from_secs(2), tasks.wait())
        .await
        .is_err()
    {
        tracing::debug!(open = tasks.len(), "connections were cut");
    }
}

/// Serves one connection; the user is found by the bearer token of each request.
async fn connection<S>(api: Arc<Api>, stream: S, cancel: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let api = Arc::clone(&api);
        async move {
            let header = request.headers().get(http::header::AUTHORIZATION);
            let header = header.map(|value| value.to_str().unwrap_or_default());
            let user = auth::authenticate(header, &api.tokens, &api.config.node_name);
            Ok::<_, Infallible>(rest::handle(api, user, request).await)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(hyper_util::rt::TokioTimer::new());
    builder.http2().max_concurrent_streams(250);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended");
    }
}

/// The server as a tower service; see [`Server::client_service`].
#[derive(Clone)]
pub struct ClientService {
    api: Arc<Api>,
}

impl<B> tower::Service<Request<B>> for ClientService
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let api = Arc::clone(&self.api);
        Box::pin(async move { Ok(rest::handle(api, Some(User::admin()), request).await) })
    }
}

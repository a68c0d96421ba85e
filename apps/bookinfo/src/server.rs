//! Serving one of the services until SIGTERM, then finishing what is under way.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long open requests may take after SIGTERM.
const DRAIN: Duration = Duration::from_secs(25);
/// Largest request body, in bytes; the only bodies are login forms and ratings.
const BODY_MAX: usize = 64 * 1024;

/// A reply with its whole body.
pub(crate) type Reply = Response<Full<Bytes>>;

/// A request with its whole body.
pub(crate) struct Call {
    /// Method.
    pub(crate) method: Method,
    /// Path, split at `/`, without empty parts.
    pub(crate) path: Vec<String>,
    /// Query, without `?`.
    pub(crate) query: String,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// Body.
    pub(crate) body: Bytes,
}

/// One of the services.
pub(crate) trait App: Send + Sync + 'static {
    /// Name for the log.
    fn name(&self) -> &'static str;
    /// `v1` and so on.
    fn version(&self) -> &str;
    /// Answers one request.
    fn answer(&self, call: Call) -> impl Future<Output = Reply> + Send;
}

/// Listens on `port` of all addresses.
///
/// # Errors
/// The port is taken.
pub(crate) async fn serve(port: u16, app: impl App) -> anyhow::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await?;
    #[expect(clippy::print_stdout, reason = "the application's log")]
    {
        println!("{} {} serves port {port}", app.name(), app.version());
    }
    let app = Arc::new(app);
    let mut terminate = signal(SignalKind::terminate())?;
    let graceful = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let app = app.clone();
                let service = service_fn(move |request| {
                    let app = app.clone();
                    async move { Ok::<_, Infallible>(respond(app.as_ref(), request).await) }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
                let watched = graceful.watch(connection);
                tokio::spawn(async move {
                    // A client that goes away is no concern of the server's.
                    let _ = watched.await;
                });
            }
            _ = terminate.recv() => break,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(DRAIN, graceful.shutdown()).await;
    Ok(())
}

/// Reads the request, asks the service, says the version.
async fn respond(app: &impl App, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_MAX).collect().await else {
        return json(
            StatusCode::PAYLOAD_TOO_LARGE,
            &serde_json::json!({ "error": "body too large" }),
        );
    };
    let path = parts
        .uri
        .path()
        .split('/')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    let call = Call {
        method: parts.method,
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.to_bytes(),
    };
    let mut reply = app.answer(call).await;
    if let Ok(version) = app.version().parse() {
        reply.headers_mut().insert("x-app-version", version);
    }
    reply
}

/// A JSON reply.
pub(crate) fn json(status: StatusCode, value: &Value) -> Reply {
    reply(status, "application/json", value.to_string())
}

/// A reply of any type.
pub(crate) fn reply(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(content_type),
    );
    reply
}

/// 404 as JSON.
pub(crate) fn not_found() -> Reply {
    json(
        StatusCode::NOT_FOUND,
        &serde_json::json!({ "error": "not found" }),
    )
}

/// The answer to health checks.
pub(crate) fn healthy(what: &str) -> Reply {
    json(
        StatusCode::OK,
        &serde_json::json!({ "status": format!("{what} is healthy") }),
    )
}

//! The pages of a proxy for people and tools: administration, metrics, readiness.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use aviary_telemetry::Totals;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::life::Gate;
use crate::serve::{Handles, Told};
use crate::snapshot::Snapshot;
use crate::worker::Query;
use crate::xds;

/// What the pages are made from.
pub(crate) struct Admin {
    pub(crate) version: &'static str,
    pub(crate) node: String,
    pub(crate) started: Instant,
    pub(crate) config: Config,
    pub(crate) snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    pub(crate) workers: Handles,
    pub(crate) xds: Arc<xds::Status>,
    pub(crate) drain: CancellationToken,
    /// The sums of what the workers counted; they are asked when somebody looks.
    pub(crate) totals: Mutex<Totals>,
    /// The limits of the process.
    pub(crate) gate: Arc<Gate>,
    /// What became of log lines and spans.
    pub(crate) told: Told,
}

/// Which pages a socket has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    /// All of them; loopback only.
    Admin,
    /// Prometheus metrics.
    Metrics,
    /// Readiness.
    Readiness,
}

impl Site {
    /// What it is for, in a word.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Admin => "administration",
            Self::Metrics => "metrics",
            Self::Readiness => "readiness",
        }
    }
}

/// What `/` says.
const PAGES: &str = "\
/clusters
/config_dump
/listeners
/quitquitquit (POST): drain and end
/ready
/server_info
/stats
/stats/prometheus
";

/// One page.
struct Page {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

impl Page {
    fn text(text: String) -> Self {
        Self {
            status: StatusCode::OK,
            kind: "text/plain; charset=utf-8",
            text,
        }
    }

    fn error(status: StatusCode, text: &str) -> Self {
        Self {
            status,
            ..Self::text(format!("{text}\n"))
        }
    }
}

/// Serves the pages of `site` until it is dropped; after `end` only what was asked already.
pub(crate) async fn serve(
    listener: TcpListener,
    admin: Arc<Admin>,
    site: Site,
    end: CancellationToken,
) {
    let mut connections = JoinSet::new();
    while let Some(accepted) = end.run_until_cancelled(listener.accept()).await {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: let others end first.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let (admin, end) = (Arc::clone(&admin), end.clone());
        connections.spawn(async move {
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(respond(&admin, site, &request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            let served = end.run_until_cancelled(connection.as_mut()).await;
            let served = if let Some(served) = served {
                served
            } else {
                connection.as_mut().graceful_shutdown();
                connection.await
            };
            if let Err(error) = served {
                tracing::debug!(%error, "page connection ended");
            }
        });
    }
    drop(listener);
    connections.join_all().await;
}

async fn respond<B>(admin: &Admin, site: Site, request: &Request<B>) -> Response<Full<Bytes>> {
    let page = match (request.method(), request.uri().path()) {
        (&Method::POST, "/quitquitquit") if site == Site::Admin => {
            admin.drain.cancel();
            Page::text("OK\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, "/quitquitquit") if site == Site::Admin => {
            Page::error(StatusCode::METHOD_NOT_ALLOWED, "only POST is allowed here")
        }
        (&Method::GET | &Method::HEAD, path) => page(admin, site, path).await,
        _ => Page::error(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here"),
    };
    let mut response = Response::new(Full::new(Bytes::from(page.text)));
    *response.status_mut() = page.status;
    let kind = http::HeaderValue::from_static(page.kind);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, kind);
    response
}

async fn page(admin: &Admin, site: Site, path: &str) -> Page {
    match (site, path) {
        (Site::Readiness | Site::Admin, "/ready") | (_, "/healthz/ready") => ready(admin),
        (Site::Metrics | Site::Admin, "/stats/prometheus" | "/metrics") => metrics(admin).await,
        (Site::Admin, "/config_dump") => config_dump(admin),
        (Site::Admin, "/clusters") => Page::text(admin.workers.ask(Query::Clusters).await.concat()),
        (Site::Admin, "/listeners") => listeners(admin),
        (Site::Admin, "/server_info") => server_info(admin),
        (Site::Admin, "/stats") => stats(admin).await,
        (Site::Admin, "/") => Page::text(PAGES.to_owned()),
        (Site::Admin, _) => Page::error(StatusCode::NOT_FOUND, "no such page; `/` lists them"),
        _ => Page::error(
            StatusCode::NOT_FOUND,
            "no such page; the administration's address has more",
        ),
    }
}

fn ready(admin: &Admin) -> Page {
    if admin.drain.is_cancelled() {
        return Page::error(StatusCode::SERVICE_UNAVAILABLE, "DRAINING");
    }
    if !admin.workers.are_ready() {
        return Page::error(
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for the first configuration",
        );
    }
    Page::text("LIVE\n".to_owned())
}

async fn metrics(admin: &Admin) -> Page {
    let batches = admin.workers.ask(Query::Metrics).await;
    let now = admin.started.elapsed();
    let mut text = {
        let mut totals = admin.totals.lock();
        for batch in batches {
            totals.merge(batch, now);
        }
        totals.text(now)
    };
    text.push_str("# TYPE istio_build gauge\n");
    let version = admin.version;
    let _ = writeln!(
        text,
        "istio_build{{component=\"proxy\",tag=\"{version}\"}} 1"
    );
    Page {
        kind: "text/plain; version=0.0.4; charset=utf-8",
        ..Page::text(text)
    }
}

async fn stats(admin: &Admin) -> Page {
    let mut text = admin.workers.ask(Query::Stats).await.concat();
    text.push_str(&admin.xds.text());
    text.push_str(&admin.gate.text());
    text.push_str(&admin.told.text());
    Page::text(text)
}

fn config_dump(admin: &Admin) -> Page {
    let snapshot = admin.snapshots.borrow().clone();
    let mesh = snapshot.as_ref().map(|snapshot| snapshot.mesh().as_ref());
    let dump = serde_json::json!({
        "node": admin.node,
        "version": admin.version,
        "xds": admin.xds.json(),
        "config": mesh,
        // Without private keys: those are never serialized.
        "secrets": mesh.map(|mesh| mesh.secrets.values().collect::<Vec<_>>()),
    });
    json(&dump)
}

fn json(value: &serde_json::Value) -> Page {
    match serde_json::to_string_pretty(value) {
        Ok(text) => Page {
            kind: "application/json",
            ..Page::text(text + "\n")
        },
        Err(error) => Page::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// Source: Envoy `admin.v3.ServerInfo`, the fields that mean something here.
fn server_info(admin: &Admin) -> Page {
    let state = if admin.drain.is_cancelled() {
        "DRAINING"
    } else if admin.workers.are_ready() {
        "LIVE"
    } else {
        "INITIALIZING"
    };
    json(&serde_json::json!({
        "version": admin.version,
        "state": state,
        "uptime_current_epoch": format!("{}s", admin.started.elapsed().as_secs()),
        "node": { "id": admin.node, "cluster": admin.config.node.cluster },
        "workers": admin.config.workers,
    }))
}

fn listeners(admin: &Admin) -> Page {
    let snapshot = admin.snapshots.borrow().clone();
    let mut text = String::new();
    if let Some(snapshot) = snapshot {
        for listener in snapshot.mesh().listeners.values() {
            let _ = writeln!(text, "{}::{}", listener.name, listener.address);
        }
    }
    Page::text(text)
}

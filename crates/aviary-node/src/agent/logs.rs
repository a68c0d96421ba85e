//! The agent's HTTP on `H/run/node.sock`: health and container logs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::Error;
use crate::init::{self, PodSpec};

mod format;
mod stream;

use format::Options;

type Body = BoxBody<Bytes, Infallible>;

/// Binds the socket, in place of one that an earlier agent left.
pub(super) fn bind(home: &Path) -> Result<UnixListener, Error> {
    let path = home.join("run/node.sock");
    let what = || Error::io(format!("cannot listen on `{}`", path.display()));
    fs::create_dir_all(home.join("run")).map_err(what())?;
    let _ = fs::remove_file(&path);
    UnixListener::bind(&path).map_err(what())
}

/// Serves for ever.
pub(super) async fn serve(listener: UnixListener, home: PathBuf) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve_connection(stream, home.clone()));
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(stream: UnixStream, home: PathBuf) {
    let service = service_fn(|request| {
        let answer = answer(&request, &home);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a reader of logs went away");
    }
}

fn answer(request: &Request<Incoming>, home: &Path) -> Response<Body> {
    let parts: Vec<&str> = request.uri().path().trim_matches('/').split('/').collect();
    match (request.method(), parts.as_slice()) {
        (&Method::GET, ["healthz"]) => text(StatusCode::OK, "ok"),
        (&Method::GET, ["containerLogs", namespace, pod, container]) => {
            let query = parse_query(request.uri().query().unwrap_or_default());
            logs(home, namespace, pod, container, &query)
        }
        _ => text(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

fn parse_query(query: &str) -> HashMap<String, String> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| {
            (
                name.to_owned(),
                value.replace("%3A", ":").replace("%2B", "+"),
            )
        })
        .collect()
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(text.to_owned())).boxed());
    *response.status_mut() = status;
    response
}

fn logs(
    home: &Path,
    namespace: &str,
    pod: &str,
    container: &str,
    query: &HashMap<String, String>,
) -> Response<Body> {
    let options = match Options::parse(query) {
        Ok(options) => options,
        Err(message) => return text(StatusCode::BAD_REQUEST, &message),
    };
    let spec = PodSpec::all(home)
        .into_iter()
        .find(|spec| spec.namespace == namespace && spec.name == pod);
    let Some(spec) = spec else {
        return waiting(container, pod);
    };
    let folder = spec.folder(home);
    let log = folder.join("logs").join(format!("{container}.log"));
    if options.previous && !init::previous_log(&log).exists() {
        let message =
            format!("previous terminated container \"{container}\" in pod \"{pod}\" not found");
        return text(StatusCode::BAD_REQUEST, &message);
    }
    if !log.exists() {
        return waiting(container, pod);
    }
    Response::new(stream::body(
        log,
        init::socket(&folder),
        container.to_owned(),
        options,
    ))
}

fn waiting(container: &str, pod: &str) -> Response<Body> {
    let message = format!(
        "container \"{container}\" in pod \"{pod}\" is waiting to start: ContainerCreating"
    );
    text(StatusCode::BAD_REQUEST, &message)
}

//! Runs the controller manager alone against a served API: `manager API_SOCKET TOKENS_JSON`.
//!
//! For trying it by hand beside `cargo run -p aviary-apiserver --example serve`.

use std::path::PathBuf;

use http::{HeaderValue, Request, Uri, header::AUTHORIZATION};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::Body;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let socket = PathBuf::from(
        arguments
            .next()
            .ok_or("usage: manager API_SOCKET TOKENS_JSON")?,
    );
    let tokens = arguments
        .next()
        .ok_or("usage: manager API_SOCKET TOKENS_JSON")?;
    let tokens: serde_json::Value = serde_json::from_slice(&std::fs::read(tokens)?)?;
    let admin = tokens["admin"].as_str().ok_or("no admin token")?;
    let token = HeaderValue::from_str(&format!("Bearer {admin}"))?;
    let connect = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        Box::pin(async move { UnixStream::connect(socket).await.map(TokioIo::new) })
    });
    let http = HttpClient::builder(TokioExecutor::new()).build::<_, Body>(connect);
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (http, token) = (http.clone(), token.clone());
        request.headers_mut().insert(AUTHORIZATION, token);
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        *request.uri_mut() = format!("http://api{path}").parse().unwrap_or_default();
        async move { http.request(request).await }
    });
    let client = kube::Client::new(service, "default");
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let run = aviary_control::manager::run(client, cancel);
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => return Ok(ended?),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    stop.cancel();
    Ok(run.await?)
}

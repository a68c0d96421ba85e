//! A client of the installation's API server over its unix socket.

use std::path::PathBuf;

use anyhow::{Context, Result};
use http::header::{AUTHORIZATION, HeaderValue};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tower::ServiceExt;

use crate::home::Home;

/// Who a client speaks as; names of entries in `pki/tokens.json`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Identity {
    /// The user who runs the commands.
    Admin,
    /// The node agent.
    Node,
}

/// A client that dials anew whenever the server comes back.
///
/// # Errors
/// The tokens are not there: the API server has never been started.
pub(crate) fn connect(home: &Home, identity: Identity) -> Result<kube::Client> {
    let path = home.join("pki/tokens.json");
    let tokens: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).with_context(|| {
            format!(
                "cannot read `{}`; start the mesh with `aviary up`",
                path.display()
            )
        })?)?;
    let name = match identity {
        Identity::Admin => "admin",
        Identity::Node => "node",
    };
    let token = tokens[name]
        .as_str()
        .with_context(|| format!("no token `{name}`"))?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
    bearer.set_sensitive(true);

    let http =
        HttpClient::builder(TokioExecutor::new()).build(Connector(home.join("run/api.sock")));
    let service = http.map_request(move |mut request: http::Request<kube::client::Body>| {
        request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |p| p.as_str())
            .to_owned();
        if let Ok(uri) = format!("http://api.local{path}").parse() {
            *request.uri_mut() = uri;
        }
        request
    });
    Ok(kube::Client::new(service, "default"))
}

/// Dials one unix socket, whatever the address asked for.
#[derive(Clone)]
struct Connector(PathBuf);

impl tower::Service<http::Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = futures::future::BoxFuture<'static, std::io::Result<Self::Response>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        let path = self.0.clone();
        Box::pin(async move { Ok(TokioIo::new(UnixStream::connect(path).await?)) })
    }
}

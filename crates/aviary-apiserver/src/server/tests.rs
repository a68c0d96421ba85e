use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_util::sync::CancellationToken;

use super::{Config, Server};

async fn open(name: &str) -> (PathBuf, Server) {
    let folder = std::env::temp_dir().join(format!("aviary-{name}-{}", std::process::id()));
    let server = Server::open(Config::at(&folder)).await.expect("open");
    (folder, server)
}

fn request(path: &str, token: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::get(path).header("host", "localhost");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Empty::new()).expect("request")
}

/// Status codes of requests over one HTTP/1.1 connection.
async fn codes<S>(stream: S, requests: Vec<Request<Empty<Bytes>>>) -> Vec<u16>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("handshake");
    let driver = tokio::spawn(connection);
    let mut codes = Vec::new();
    for request in requests {
        let response = sender.send_request(request).await.expect("response");
        codes.push(response.status().as_u16());
        response.into_body().collect().await.expect("body");
    }
    drop(sender);
    driver.await.expect("driver").expect("connection");
    codes
}

#[tokio::test]
async fn serve_unix_asks_for_a_token_and_ends_when_cancelled() {
    let (folder, server) = open("unix").await;
    let path = folder.join("api.sock");
    let cancel = CancellationToken::new();
    let (served, client) = (server.clone(), cancel.clone());
    let (at, token) = (path.clone(), server.api.tokens.admin.clone());
    let serving = tokio::spawn(async move { served.serve_unix(&at, client).await });
    let stream = loop {
        match UnixStream::connect(&path).await {
            Ok(stream) => break stream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let mode = std::fs::metadata(&path)
        .expect("socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let list = "/api/v1/namespaces";
    let requests = vec![
        request(list, None),
        request(list, Some("wrong")),
        request(list, Some(&token)),
        request("/livez", None),
    ];
    assert_eq!(codes(stream, requests).await, [403, 401, 200, 200]);
    cancel.cancel();
    serving.await.expect("task").expect("served");
    drop(server);
    std::fs::remove_dir_all(folder).expect("clean up");
}

#[tokio::test]
async fn serve_tls_proves_itself_by_its_own_authority_and_speaks_http2() {
    let (folder, server) = open("tls").await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address");
    let cancel = CancellationToken::new();
    let (served, stop) = (server.clone(), cancel.clone());
    let serving = tokio::spawn(async move { served.serve_tls(listener, stop).await });
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(server.ca_pem().as_bytes()).expect("PEM");
    roots.add(authority).expect("authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.expect("connect");
    let name = ServerName::try_from("127.0.0.1").expect("name");
    let stream = connector
        .connect(name, stream)
        .await
        .expect("the certificate is trusted");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("handshake");
    let driver = tokio::spawn(connection);
    let uri = format!("https://{address}/api/v1/namespaces/default");
    let answer = sender
        .send_request(request(&uri, Some(&server.api.tokens.node)))
        .await;
    assert_eq!(answer.expect("response").status(), 200);
    drop(sender);
    driver.await.expect("driver").expect("connection");
    cancel.cancel();
    serving.await.expect("task").expect("served");
    drop(server);
    std::fs::remove_dir_all(folder).expect("clean up");
}

//! A client of HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::message::{Answer, Fields, bytes, field, text};
use crate::request::Request;
use crate::server::http2::{listed, rest};
use crate::server::{ID, SIDE};

/// Whoever waits longer for an answer has none.
const PATIENCE: Duration = Duration::from_secs(20);
/// What HTTP/2 has no place for.
const HOP: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

pub(crate) struct Client {
    address: SocketAddr,
    runtime: Runtime,
    open: Option<SendRequest<Bytes>>,
    connections: JoinSet<()>,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        Self {
            address,
            runtime: runtime.expect("a runtime"),
            open: None,
            connections: JoinSet::new(),
        }
    }

    pub(crate) fn ask(&mut self, request: &Request, side: &str) -> Option<Answer> {
        let (head, body) = worded(request, side)?;
        let reused = self.open.is_some();
        let mut asked = self.exchange(head.clone(), body.clone());
        // Closed meanwhile: the request was not taken.
        if reused && asked.as_ref().is_err_and(|error| !error.is_reset()) {
            self.open = None;
            asked = self.exchange(head, body);
        }
        Some(asked.unwrap_or_else(|error| Answer {
            headers: vec![("(error)".to_owned(), error.to_string())],
            ..Answer::default()
        }))
    }

    fn exchange(
        &mut self,
        head: http::Request<()>,
        body: Option<Bytes>,
    ) -> Result<Answer, h2::Error> {
        let Self {
            address,
            runtime,
            open,
            connections,
        } = self;
        let exchange = async {
            let sender = match open.take() {
                Some(sender) => sender.ready().await?,
                None => connect(*address, connections).await?,
            };
            exchange(open.insert(sender), head, body).await
        };
        let limited = async { tokio::time::timeout(PATIENCE, exchange).await };
        runtime
            .block_on(limited)
            .unwrap_or_else(|_| Ok(Answer::default()))
    }
}

/// The request in words of HTTP/2, where it has such.
fn worded(request: &Request, side: &str) -> Option<(http::Request<()>, Option<Bytes>)> {
    if request.version != "HTTP/1.1" || request.target.contains(['#', '\\']) {
        return None;
    }
    let uri = format!("http://{}{}", request.host, request.target);
    let mut head = http::Request::builder()
        .version(http::Version::HTTP_2)
        .method(request.method)
        .uri(bytes(&uri).as_slice());
    for (name, value) in &request.headers {
        let name = name.to_ascii_lowercase();
        let is_odd = name == "te" && value != "trailers" || value.trim() != value;
        if HOP.contains(&name.as_str()) || is_odd {
            return None;
        }
        head = head.header(name, bytes(value));
    }
    head = head.header(ID, &request.id).header(SIDE, side);
    let body = request.body.map(|body| Bytes::from(body.as_bytes()));
    if let Some(body) = &body
        && !request.chunked
        && field(&request.headers, "content-length").is_none()
    {
        head = head.header("content-length", body.len());
    }
    Some((head.body(()).ok()?, body))
}

async fn connect(
    address: SocketAddr,
    connections: &mut JoinSet<()>,
) -> Result<SendRequest<Bytes>, h2::Error> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|_| Reason::CONNECT_ERROR)?;
    let _ = stream.set_nodelay(true);
    let (sender, connection) = h2::client::handshake(stream).await?;
    connections.spawn(async move {
        let _ = connection.await;
    });
    sender.ready().await
}

async fn exchange(
    sender: &mut SendRequest<Bytes>,
    head: http::Request<()>,
    body: Option<Bytes>,
) -> Result<Answer, h2::Error> {
    let (answer, mut up) = sender.send_request(head, body.is_none())?;
    if let Some(body) = body {
        // The proxy may have answered already, and want no more.
        let _ = up.send_data(body, true);
    }
    let (head, mut stream) = answer.await?.into_parts();
    let headers = listed(&head.headers);
    let (body, trailers) = match rest(&mut stream).await {
        Ok((body, trailers)) => (text(&body), trailers),
        Err(_) => ("(broken off)".to_owned(), Fields::new()),
    };
    Ok(Answer {
        status: head.status.as_u16(),
        headers,
        body,
        trailers,
    })
}

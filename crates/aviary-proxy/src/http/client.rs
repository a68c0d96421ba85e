//! The client's half of the codec: one connection to an endpoint.

use http::{Request, Response};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Body;
use super::server::Local;

/// Sends requests on one connection.
pub(crate) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<Body>),
    /// Many at a time; copies share the connection.
    Http2(http2::SendRequest<Body>),
}

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) struct SendError {
    /// The request, when nothing of it was sent.
    pub(crate) unsent: Option<Box<Request<Body>>>,
    /// The codec's words.
    pub(crate) reason: String,
    /// The endpoint said that it did not look at the request.
    pub(crate) refused: bool,
}

/// What drives a connection; it ends when the connection does.
pub(crate) type Driver = std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Longest reply head that is read, in bytes.
const HEAD_LIMIT: usize = 64 << 10;
/// Most header fields of a reply.
const FIELD_LIMIT: usize = 128;

/// Starts to speak HTTP/1.1 on `stream`.
///
/// # Errors
/// The codec's words.
pub(crate) async fn http1(stream: TcpStream) -> Result<(Sender, Driver), String> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_LIMIT)
        .max_headers(FIELD_LIMIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "upstream connection ended");
        }
    };
    Ok((Sender::Http1(sender), Box::pin(driver)))
}

/// Starts to speak HTTP/2 on `stream`, without asking first.
///
/// # Errors
/// The codec's words.
pub(crate) async fn http2(stream: TcpStream) -> Result<(Sender, Driver), String> {
    let (sender, connection) = http2::Builder::new(Local)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    };
    Ok((Sender::Http2(sender), Box::pin(driver)))
}

impl Sender {
    /// Whether a request can be sent now.
    pub(crate) fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    /// Waits until the last exchange is over; false when the connection ended with it.
    pub(crate) async fn ready(&mut self) -> bool {
        match self {
            Self::Http1(sender) => sender.ready().await.is_ok(),
            Self::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    /// A second sender on the same connection, where the protocol has streams.
    pub(crate) fn share(&self) -> Option<Self> {
        match self {
            Self::Http1(_) => None,
            Self::Http2(sender) => Some(Self::Http2(sender.clone())),
        }
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// When the connection ends before that.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Body>, SendError> {
        let result = match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        };
        match result {
            Ok(response) => Ok(response.map(Body::Wire)),
            Err(mut error) => {
                let unsent = error.take_message().map(Box::new);
                let error = error.into_error();
                let refused = std::error::Error::source(&error)
                    .is_some_and(|source| source.to_string().contains("refused"));
                Err(SendError {
                    unsent,
                    reason: error.to_string(),
                    refused,
                })
            }
        }
    }
}

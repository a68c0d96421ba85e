//! Connections that stop being HTTP after status 101.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Body;

/// One side's connection, to be had once its 101 went through.
pub(crate) struct Pending(OnUpgrade);

impl Pending {
    /// The client's side.
    pub(crate) fn of_request(request: &mut http::Request<Body>) -> Self {
        Self(hyper::upgrade::on(request))
    }

    /// The endpoint's side.
    pub(crate) fn of_response(response: &mut http::Response<Body>) -> Self {
        Self(hyper::upgrade::on(response))
    }

    /// Waits for it.
    ///
    /// # Errors
    /// When the connection ended instead.
    pub(crate) async fn ready(self) -> Result<impl AsyncRead + AsyncWrite + Unpin, hyper::Error> {
        self.0.await.map(TokioIo::new)
    }
}

//! Calls of other services.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// An answer that is no success.
    Status(StatusCode),
    /// No answer in time.
    Timeout,
    /// No connection, or not JSON.
    Broken,
}

impl Failure {
    /// The status that stands for it in our own answers.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Status(status) => *status,
            Self::Timeout | Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Another service.
#[derive(Clone)]
pub(crate) struct Upstream {
    client: Client<HttpConnector, Empty<Bytes>>,
    base: String,
}

impl Upstream {
    /// The service `name`: `<NAME>_HOSTNAME` (and `<NAME>_SERVICE_PORT`) of the environment may say where it is, `SERVICES_DOMAIN` which
    /// domain follows a short name.
    pub(crate) fn new(name: &str) -> Self {
        let upper = name.to_uppercase();
        let host = crate::setting(&format!("{upper}_HOSTNAME"), name);
        let domain = crate::setting("SERVICES_DOMAIN", "");
        let port = crate::setting(&format!("{upper}_PORT_NUMBER"), "9080");
        let host = match host.split_once(':') {
            Some(_) => host,
            None if domain.is_empty() => format!("{host}:{port}"),
            None => format!("{host}.{domain}:{port}"),
        };
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(connector);
        Self {
            client,
            base: format!("http://{host}"),
        }
    }

    /// Asks for JSON once, for at most `timeout`.
    pub(crate) async fn get(
        &self,
        path: &str,
        headers: &HeaderMap,
        timeout: Duration,
    ) -> Result<Value, Failure> {
        let mut request = Request::get(format!("{}{path}", self.base))
            .body(Empty::new())
            .map_err(|_| Failure::Broken)?;
        *request.headers_mut() = headers.clone();
        let call = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|_| Failure::Broken)?;
            let status = response.status();
            if !status.is_success() {
                return Err(Failure::Status(status));
            }
            let body = Limited::new(response.into_body(), ANSWER_MAX)
                .collect()
                .await;
            let body = body.map_err(|_| Failure::Broken)?.to_bytes();
            serde_json::from_slice(&body).map_err(|_| Failure::Broken)
        };
        tokio::time::timeout(timeout, call)
            .await
            .unwrap_or(Err(Failure::Timeout))
    }

    /// Asks up to `attempts` times, each for at most `timeout`.
    pub(crate) async fn get_with_attempts(
        &self,
        path: &str,
        headers: &HeaderMap,
        timeout: Duration,
        attempts: u32,
    ) -> Result<Value, Failure> {
        let mut last = Failure::Broken;
        for _ in 0..attempts {
            match self.get(path, headers, timeout).await {
                Ok(value) => return Ok(value),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }
}

//! One proxy's stream, in either protocol.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aviary_translate::{ProxyKey, ProxyKind};
use aviary_xds::{
    ads::{Push, ServerSession},
    name::{self, NodeId, NodeKind},
    protobuf::envoy::{
        config::core::v3::Node,
        service::discovery::v3::{
            DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
        },
    },
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    proxies::{Place, Proxies},
    token::Verifier,
};
use crate::mesh::Publisher;

/// A client that opens a stream has to say who it is within this time.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// A request of one of the two protocols.
pub(super) trait Message: Send + 'static {
    /// What answers it.
    type Response: Send + 'static;
    /// Gives it to the session.
    fn hand_to(self, session: &mut ServerSession);
    /// The message of this protocol.
    fn response(push: Push) -> Option<Self::Response>;
}

impl Message for DeltaDiscoveryRequest {
    type Response = DeltaDiscoveryResponse;

    fn hand_to(self, session: &mut ServerSession) {
        session.handle_delta(self);
    }

    fn response(push: Push) -> Option<Self::Response> {
        match push {
            Push::Delta(response) => Some(response),
            Push::Sotw(_) => None,
        }
    }
}

impl Message for DiscoveryRequest {
    type Response = DiscoveryResponse;

    fn hand_to(self, session: &mut ServerSession) {
        session.handle_sotw(self);
    }

    fn response(push: Push) -> Option<Self::Response> {
        match push {
            Push::Sotw(response) => Some(response),
            Push::Delta(_) => None,
        }
    }
}

/// What a stream needs.
pub(super) struct Stream {
    pub(super) publisher: Arc<Publisher>,
    pub(super) proxies: Arc<Proxies>,
    pub(super) verifier: Arc<Verifier>,
    /// The token that came with the stream.
    pub(super) token: String,
    pub(super) stop: CancellationToken,
}

impl Stream {
    /// Serves the stream until it ends or the server stops.
    pub(super) async fn run<M: Message>(
        self,
        mut requests: Streaming<M>,
        responses: mpsc::Sender<Result<M::Response, Status>>,
    ) {
        let ended = tokio::select! {
            () = self.stop.cancelled() => Err(Status::unavailable("the control plane is stopping")),
            ended = self.serve(&mut requests, &responses) => ended,
        };
        if let Err(status) = ended {
            tracing::debug!(%status, "ADS stream ended");
            // The client may be gone already.
            let _ = responses.send(Err(status)).await;
        }
    }

    async fn serve<M: Message>(
        &self,
        requests: &mut Streaming<M>,
        responses: &mpsc::Sender<Result<M::Response, Status>>,
    ) -> Result<(), Status> {
        let mut session = ServerSession::new();
        let first = tokio::time::timeout(FIRST_MESSAGE, requests.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no first message"))??;
        let Some(first) = first else { return Ok(()) };
        first.hand_to(&mut session);
        let (node, key) = self.identify(session.node())?;
        let mut feed = self.publisher.subscribe(key.clone()).await;
        session.set_snapshot(Arc::clone(&feed.borrow_and_update()));
        let place = self.proxies.enter(node.clone(), key);
        tracing::info!(node, "proxy connected");
        let start = Instant::now();
        loop {
            while let Some(push) = session.poll_response(start.elapsed()) {
                let Some(response) = M::response(push) else {
                    continue;
                };
                if responses.send(Ok(response)).await.is_err() {
                    return Ok(());
                }
            }
            report(&place, &session);
            let wake = session.wake_at();
            tokio::select! {
                message = requests.message() => match message? {
                    Some(message) => message.hand_to(&mut session),
                    None => return Ok(()),
                },
                changed = feed.changed() => {
                    changed.map_err(|_| Status::unavailable("the control plane is stopping"))?;
                    session.set_snapshot(Arc::clone(&feed.borrow_and_update()));
                }
                () = until(start, wake) => {}
            }
        }
    }

    /// Who is speaking.
    fn identify(&self, node: Option<&Node>) -> Result<(String, ProxyKey), Status> {
        let node = node.ok_or_else(|| Status::invalid_argument("the first message has no node"))?;
        if !self.verifier.accepts(&node.id, &self.token) {
            return Err(Status::unauthenticated(format!(
                "the token is not that of `{}`",
                node.id
            )));
        }
        let key = proxy_key(node).map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok((node.id.clone(), key))
    }
}

/// Everything about a proxy that its configuration may depend on.
fn proxy_key(node: &Node) -> Result<ProxyKey, name::Error> {
    let id: NodeId = node.id.parse()?;
    let metadata = name::metadata_of(node);
    let labels = metadata
        .get("LABELS")
        .and_then(serde_json::Value::as_object);
    let pairs = labels.into_iter().flatten();
    let labels: BTreeMap<String, String> = pairs
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let kind = match id.kind {
        NodeKind::Sidecar => ProxyKind::Sidecar,
        NodeKind::Router => ProxyKind::Router,
    };
    Ok(ProxyKey {
        kind,
        namespace: id.namespace,
        labels,
    })
}

fn report(place: &Place<'_>, session: &ServerSession) {
    let refusals: Vec<String> = session
        .nacks()
        .map(|(kind, nack)| format!("{kind}: {}", nack.message))
        .collect();
    let refusal = (!refusals.is_empty()).then(|| refusals.join("; "));
    if let Some(refusal) = &refusal {
        tracing::warn!(refusal, "a proxy refused its configuration");
    }
    place.report(session.acked().unwrap_or_default(), refusal);
}

async fn until(start: Instant, wake: Option<Duration>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(start + wake).await,
        None => std::future::pending().await,
    }
}

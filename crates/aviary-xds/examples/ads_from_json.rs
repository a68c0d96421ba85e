//! Serves one configuration to any xDS client: `ads_from_json PORT < mesh-config.json`.
//!
//! Prints each refusal and, once the client holds everything, `acked`. For trying a stock Envoy.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program: it has a clock and talks"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use aviary_mesh::MeshConfig;
use aviary_xds::Snapshot;
use aviary_xds::ads::{Push, ServerSession};
use aviary_xds::protobuf::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use aviary_xds::protobuf::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

struct Ads(Arc<Snapshot>);

type Replies<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Ads {
    fn serve<Q, R>(
        &self,
        mut requests: Streaming<Q>,
        handle: impl Fn(&mut ServerSession, Q) + Send + 'static,
        reply: impl Fn(Push) -> Option<R> + Send + 'static,
    ) -> Replies<R>
    where
        Q: Send + 'static,
        R: Send + 'static,
    {
        let mut session = ServerSession::new();
        session.set_snapshot(Arc::clone(&self.0));
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let start = Instant::now();
            let mut said = (None, 0);
            while let Some(Ok(request)) = requests.next().await {
                handle(&mut session, request);
                while let Some(push) = session.poll_response(start.elapsed()) {
                    let Some(message) = reply(push) else { return };
                    if sender.send(Ok(message)).await.is_err() {
                        return;
                    }
                }
                let state = (session.acked(), session.nacks().count());
                if state != said {
                    said = state;
                    for (kind, nack) in session.nacks() {
                        println!("refused {kind} {:?}: {}", nack.resources, nack.message);
                    }
                    if state.0.is_some() {
                        println!("acked");
                    }
                }
            }
        });
        Box::pin(ReceiverStream::new(receiver))
    }
}

#[tonic::async_trait]
impl AggregatedDiscoveryService for Ads {
    type StreamAggregatedResourcesStream = Replies<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Replies<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let reply = |push| match push {
            Push::Sotw(message) => Some(message),
            Push::Delta(_) => None,
        };
        Ok(Response::new(self.serve(
            request.into_inner(),
            ServerSession::handle_sotw,
            reply,
        )))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let reply = |push| match push {
            Push::Delta(message) => Some(message),
            Push::Sotw(_) => None,
        };
        Ok(Response::new(self.serve(
            request.into_inner(),
            ServerSession::handle_delta,
            reply,
        )))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("give a port")?.parse()?;
    let config: MeshConfig = serde_json::from_reader(std::io::stdin())?;
    let snapshot = Arc::new(Snapshot::new(1, Arc::new(config), None));
    tonic::transport::Server::builder()
        .add_service(AggregatedDiscoveryServiceServer::new(Ads(snapshot)))
        .serve(([127, 0, 0, 1], port).into())
        .await?;
    Ok(())
}

//! Serves configurations in turn to any xDS client: `ads_alternate PORT MILLISECONDS FILE...`.
//!
//! Files are in Envoy's bootstrap format; their static resources are served, the next file's after so many
//! milliseconds, then the first one's again.
//! Prints each refusal, and `acked` each time a client holds everything.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a program: it has a clock and talks"
)]

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aviary_xds::ads::{Push, ServerSession};
use aviary_xds::protobuf::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use aviary_xds::protobuf::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use aviary_xds::{Bootstrap, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

struct Ads(watch::Receiver<Arc<Snapshot>>);

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
        let mut snapshots = self.0.clone();
        let mut session = ServerSession::new();
        session.set_snapshot(Arc::clone(&snapshots.borrow_and_update()));
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let start = Instant::now();
            let mut said = (None, 0);
            loop {
                tokio::select! {
                    request = requests.next() => match request {
                        Some(Ok(request)) => handle(&mut session, request),
                        _ => return,
                    },
                    changed = snapshots.changed() => match changed {
                        Ok(()) => session.set_snapshot(Arc::clone(&snapshots.borrow_and_update())),
                        Err(_) => return,
                    },
                }
                while let Some(push) = session.poll_response(start.elapsed()) {
                    let Some(message) = reply(push) else { return };
                    if sender.send(Ok(message)).await.is_err() {
                        return;
                    }
                }
                tell(&session, &mut said);
            }
        });
        Box::pin(ReceiverStream::new(receiver))
    }
}

/// Says what is new since `said`.
fn tell(session: &ServerSession, said: &mut (Option<u64>, usize)) {
    let state = (session.acked(), session.nacks().count());
    if state == *said {
        return;
    }
    for (kind, nack) in session.nacks() {
        println!("refused {kind} {:?}: {}", nack.resources, nack.message);
    }
    if state.0.is_some() && state.0 != said.0 {
        println!("acked");
    }
    *said = state;
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
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().ok_or("give a port")?.parse()?;
    let every = Duration::from_millis(args.next().ok_or("give milliseconds")?.parse()?);
    let mut configs = Vec::new();
    for file in args {
        let text = std::fs::read_to_string(&file)?;
        let bootstrap = Bootstrap::read(&text).map_err(|error| format!("{file}: {error}"))?;
        configs.push(Arc::new(bootstrap.config));
    }
    let first = Arc::clone(configs.first().ok_or("give a file")?);
    let (sender, receiver) = watch::channel(Arc::new(Snapshot::new(1, first, None)));
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(every);
        let mut version = 1;
        for config in configs.iter().cycle().skip(1) {
            ticks.tick().await;
            version += 1;
            let before = Arc::clone(&sender.borrow());
            sender.send_replace(Arc::new(Snapshot::new(
                version,
                Arc::clone(config),
                Some(&before),
            )));
        }
    });
    tonic::transport::Server::builder()
        .add_service(AggregatedDiscoveryServiceServer::new(Ads(receiver)))
        .serve(([127, 0, 0, 1], port).into())
        .await?;
    Ok(())
}

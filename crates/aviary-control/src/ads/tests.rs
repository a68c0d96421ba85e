use std::{path::PathBuf, sync::Arc, time::Duration};

use aviary_mesh::MeshConfig;
use aviary_translate::{Kind, ObjectKey, Snapshot};
use aviary_xds::{
    ads::ClientSession,
    name::{NodeId, NodeKind, node},
    protobuf::envoy::service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
};
use aws_lc_rs::hmac;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::UnixStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, Streaming, transport::Endpoint};

use super::{Progress, Proxies, Server};
use crate::mesh::{Change, Publisher};

const KEY: [u8; 32] = [9; 32];
/// Fails a test that would wait without end.
const LIMIT: Duration = Duration::from_secs(30);

/// A server on a socket of its own, stopped on drop.
struct Running {
    publisher: Arc<Publisher>,
    proxies: Arc<Proxies>,
    folder: PathBuf,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Running {
    fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("aviary-ads-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (publisher, proxies) = (Arc::<Publisher>::default(), Arc::<Proxies>::default());
        let stop = CancellationToken::new();
        let server = Server::new(publisher.clone(), proxies.clone(), KEY, stop.clone());
        let socket = folder.join("xds.sock");
        tokio::spawn(async move { server.run(&socket).await.unwrap() });
        Self {
            publisher,
            proxies,
            folder,
            stop,
        }
    }

    /// Opens a stream with the token of node `signed`.
    async fn connect(&self, signed: &str) -> Proxy {
        let socket = self.folder.join("xds.sock");
        let connect = tower::service_fn(move |_: http::Uri| {
            let socket = socket.clone();
            async move {
                loop {
                    match UnixStream::connect(&socket).await {
                        Ok(stream) => return Ok::<_, std::io::Error>(TokioIo::new(stream)),
                        // The server has not bound yet.
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
            }
        });
        let channel = Endpoint::from_static("http://xds")
            .connect_with_connector(connect)
            .await
            .unwrap();
        let (requests, receiver) = mpsc::channel(64);
        let mut request = Request::new(ReceiverStream::new(receiver));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &KEY), signed.as_bytes());
        let token = super::token::hex(tag.as_ref());
        request
            .metadata_mut()
            .insert("authorization", format!("Bearer {token}").parse().unwrap());
        let labels = json!({"LABELS": {"app": "client"}});
        let mut session = ClientSession::new(node(&node_id(), labels.as_object().unwrap().clone()));
        for first in session.connect() {
            requests.send(first).await.unwrap();
        }
        let mut service = AggregatedDiscoveryServiceClient::new(channel);
        let responses = service
            .delta_aggregated_resources(request)
            .await
            .unwrap()
            .into_inner();
        Proxy {
            session,
            requests,
            responses,
        }
    }

    async fn progress(&self, version: u64, want: &Progress) {
        let mut changes = self.proxies.changes();
        let reached = async {
            while self.proxies.progress(version, &self.publisher.versions()) != *want {
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(LIMIT, reached)
            .await
            .expect("the progress is reached");
    }
}

fn node_id() -> NodeId {
    NodeId {
        kind: NodeKind::Sidecar,
        address: "10.244.0.5".parse().unwrap(),
        pod: "client-1".to_owned(),
        namespace: "prod".to_owned(),
    }
}

/// A proxy's side of a stream.
struct Proxy {
    session: ClientSession,
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Proxy {
    /// The next configuration that is complete.
    async fn next(&mut self) -> Result<Arc<MeshConfig>, Status> {
        let next = async {
            loop {
                let Some(response) = self.responses.message().await? else {
                    return Err(Status::unavailable("the stream ended"));
                };
                for request in self.session.handle_response(response) {
                    self.requests.send(request).await.unwrap();
                }
                if let Some(config) = self.session.take_config() {
                    return Ok(config);
                }
            }
        };
        tokio::time::timeout(LIMIT, next).await.expect("an answer")
    }

    /// Reads until a configuration equals `want`.
    async fn until(&mut self, want: &MeshConfig) {
        while *self.next().await.unwrap() != *want {}
    }
}

fn service(name: &str) -> serde_json::Value {
    json!({
        "metadata": {"name": name, "namespace": "prod"},
        "spec": {"clusterIP": "10.96.0.9", "selector": {"app": name}, "ports": [{"name": "http", "port": 9080}]},
    })
}

fn snapshot(services: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for name in services {
        snapshot.insert(Kind::Service, &service(name)).unwrap();
    }
    snapshot.settle();
    snapshot
}

fn translated(snapshot: &Snapshot) -> MeshConfig {
    let key = aviary_translate::ProxyKey {
        kind: aviary_translate::ProxyKind::Sidecar,
        namespace: "prod".to_owned(),
        labels: [("app".to_owned(), "client".to_owned())].into(),
    };
    aviary_translate::translate(snapshot, &key).0
}

#[tokio::test]
async fn stream_brings_configuration_and_every_change_of_it() {
    let running = Running::start("changes");
    let mut proxy = running.connect(&node_id().to_string()).await;
    let mut now = snapshot(&["reviews"]);
    let first = running.publisher.publish(&now, Change::All);
    proxy.until(&translated(&now)).await;
    running
        .progress(
            first,
            &Progress {
                acked: 1,
                total: 1,
                refusals: vec![],
            },
        )
        .await;

    now.insert(Kind::Service, &service("ratings")).unwrap();
    now.settle();
    running.publisher.publish(&now, Change::All);
    proxy.until(&translated(&now)).await;

    assert!(now.remove(Kind::Service, &ObjectKey::new("prod", "reviews")));
    now.settle();
    running.publisher.publish(&now, Change::All);
    proxy.until(&translated(&now)).await;
}

#[tokio::test]
async fn version_that_does_not_concern_a_proxy_counts_as_confirmed() {
    let running = Running::start("unconcerned");
    let mut proxy = running.connect(&node_id().to_string()).await;
    let now = snapshot(&["reviews"]);
    running.publisher.publish(&now, Change::All);
    proxy.until(&translated(&now)).await;
    let same = running.publisher.publish(&now, Change::All);
    running
        .progress(
            same,
            &Progress {
                acked: 1,
                total: 1,
                refusals: vec![],
            },
        )
        .await;
}

#[tokio::test]
async fn stream_with_token_of_another_proxy_is_refused() {
    let running = Running::start("token");
    running.publisher.publish(&snapshot(&[]), Change::All);
    let mut proxy = running
        .connect("sidecar~10.244.0.6~other.prod~prod.svc.cluster.local")
        .await;
    assert_eq!(
        proxy.next().await.unwrap_err().code(),
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn proxy_that_leaves_is_not_counted() {
    let running = Running::start("leave");
    let mut proxy = running.connect(&node_id().to_string()).await;
    let now = snapshot(&["reviews"]);
    let version = running.publisher.publish(&now, Change::All);
    proxy.until(&translated(&now)).await;
    drop(proxy);
    running
        .progress(
            version,
            &Progress {
                acked: 0,
                total: 0,
                refusals: vec![],
            },
        )
        .await;
}

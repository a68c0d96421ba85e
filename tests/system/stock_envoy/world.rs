//! What stands behind the proxy: one server per endpoint, on loopback.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use aviary_mesh::MeshConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The servers, each of one cluster.
pub(crate) struct World {
    clusters: BTreeSet<String>,
    _servers: JoinSet<()>,
}

impl World {
    /// Starts a server for every cluster that has endpoints, and leads its endpoints there.
    pub(crate) async fn start(mesh: &mut MeshConfig) -> Result<Self> {
        let mut servers = JoinSet::new();
        let mut clusters = BTreeSet::new();
        for (name, set) in &mut mesh.endpoints {
            let set = Arc::make_mut(set);
            set.endpoints.truncate(1);
            let Some(endpoint) = set.endpoints.first_mut() else {
                continue;
            };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            endpoint.address = listener.local_addr()?;
            clusters.insert(name.clone());
            servers.spawn(serve(listener, name.clone()));
        }
        Ok(Self {
            clusters,
            _servers: servers,
        })
    }

    /// Whether requests to a cluster find a server.
    pub(crate) fn has_endpoints(&self, cluster: &str) -> bool {
        self.clusters.contains(cluster)
    }

    /// An address that nobody listens on just now.
    #[expect(clippy::unused_self, reason = "addresses belong to the world")]
    pub(crate) fn free_address(&self) -> SocketAddr {
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.local_addr().expect("an address")
    }

    /// Makes a call: `200 <cluster> <path>` as the server saw it, `302 <location>`, or the status.
    pub(crate) async fn call(
        &self,
        address: SocketAddr,
        method: &str,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<String> {
        let mut stream = TcpStream::connect(address)
            .await
            .context("the proxy does not listen")?;
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in headers {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request += "content-length: 0\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await?;
        let (head, _) = reply.split_once("\r\n\r\n").context("no reply")?;
        let status = head.split(' ').nth(1).context("no status")?.to_owned();
        let fields: BTreeMap<&str, &str> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .collect();
        Ok(match (fields.get("x-cluster"), fields.get("location")) {
            (Some(cluster), _) => format!("{status} {cluster} {}", fields["x-path"]),
            (None, Some(location)) => format!("{status} {location}"),
            (None, None) => status,
        })
    }
}

/// Answers every request with the cluster's name and the path that arrived.
async fn serve(listener: TcpListener, cluster: String) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, cluster.clone()));
    }
}

async fn answer(mut stream: TcpStream, cluster: String) {
    let mut seen = Vec::new();
    loop {
        let mut part = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut part).await else {
            return;
        };
        seen.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let path = head.split(' ').nth(1).unwrap_or_default();
        let reply = format!(
            "HTTP/1.1 200 OK\r\nx-cluster: {cluster}\r\nx-path: {path}\r\ncontent-length: 0\r\n\r\n"
        );
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
        seen.clear();
    }
}

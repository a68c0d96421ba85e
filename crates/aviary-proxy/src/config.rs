//! What a proxy must be told at its start: raw environment or a file in, resolved values out.

mod standalone;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::MeshConfig;
use aviary_mesh::endpoint::WorkloadLabels;
use aviary_xds::bootstrap::Server;
use aviary_xds::name::{self, NodeId, NodeKind};
use aviary_xds::protobuf::envoy::config::core::v3::Node;
use serde_json::json;

/// Everything that one proxy is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Beside a workload, at the edge, or on its own.
    pub kind: ProxyKind,
    /// Who it says it is to the control plane.
    pub node: Node,
    /// Name of the pod it runs in.
    pub pod: String,
    /// Namespace of that pod.
    pub namespace: String,
    /// The pod's address.
    pub address: IpAddr,
    /// The pod's service account.
    pub service_account: String,
    /// Name of the pod's owner, e.g. `reviews-v1`.
    pub workload: String,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// Resources that are there from the start and that the control plane cannot change.
    pub fixed: Arc<MeshConfig>,
    /// The control plane; `None` serves only what `fixed` and `state` hold.
    pub xds: Option<Xds>,
    /// Folder for the last good configuration; `None` keeps none.
    pub state: Option<PathBuf>,
    /// Listening sockets made by somebody else, each for one port of the configuration.
    pub inherited: Vec<Inherited>,
    /// Threads that carry traffic, at least 1.
    pub workers: usize,
    /// The proxy's own addresses.
    pub ports: Ports,
    /// After this long a drain ends though streams are open. Default 25 s.
    pub drain_limit: Duration,
    /// Whether access log lines go to standard output.
    pub access_log: bool,
    /// How it stays within its means, and follows an older proxy.
    pub life: Life,
}

/// How a proxy stays within its means, and follows an older one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// Unix socket by which it takes the listening sockets of the proxy that runs, and hands its own
    /// to the next one; `None` does neither.
    pub hand_over: Option<PathBuf>,
    /// Resident memory that it should not exceed, in bytes: at 85 % connections are not kept, at
    /// 92 % requests are refused, at 96 % connections wait. A limit of its control group counts
    /// in the same way.
    pub memory_limit_bytes: Option<u64>,
}

/// Where the proxy stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// Beside one workload; its own sockets carry a mark so that they are not redirected.
    Sidecar,
    /// At the edge.
    Router,
    /// Told by a file what to do, outside of a mesh: says nothing of itself to its peers.
    Standalone,
}

/// How the control plane is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xds {
    /// Where the ADS server is.
    pub server: Server,
    /// Sent with each stream, e.g. a bearer token that proves the node id.
    pub metadata: Vec<(String, String)>,
}

/// A listening socket made by somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inherited {
    /// The port of the configuration's listener that it belongs to.
    pub port: u16,
    /// The descriptor; the proxy takes it over.
    pub fd: RawFd,
}

/// The proxy's own addresses; what has none is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Configuration dump and statistics; loopback.
    pub admin: Option<SocketAddr>,
    /// Prometheus metrics.
    pub metrics: Option<SocketAddr>,
    /// Readiness.
    pub readiness: Option<SocketAddr>,
}

impl Default for Ports {
    fn default() -> Self {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            admin: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 15000)),
            metrics: Some(SocketAddr::new(any, 15020)),
            readiness: Some(SocketAddr::new(any, 15021)),
        }
    }
}

/// A drain of a pod's proxy ends after this long though streams are open.
const DRAIN_LIMIT: Duration = Duration::from_secs(25);

/// A value of the environment that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error("{0} is not set; the node agent sets it for every proxy")]
    Missing(&'static str),
    /// It is there and means nothing.
    #[error("{name} is `{value}`, expected {expected}")]
    Invalid {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}

impl Config {
    /// From this process's environment.
    ///
    /// # Errors
    /// As [`Config::from_vars`].
    pub fn from_env() -> Result<Self, Error> {
        Self::from_vars(&std::env::vars().collect())
    }

    /// From the variables that the node agent sets: `POD_NAME`, `POD_NAMESPACE`, `INSTANCE_IP`,
    /// `SERVICE_ACCOUNT`, `AVIARY_PROXY_TYPE`, `AVIARY_XDS_SOCKET`, `AVIARY_XDS_TOKEN`,
    /// `AVIARY_PROXY_STATE`, `ISTIO_META_LABELS`, `ISTIO_META_WORKLOAD`, `AVIARY_LISTEN_FDS`,
    /// `AVIARY_PROXY_WORKERS`.
    ///
    /// # Errors
    /// Names the variable that is missing or wrong, and what was expected.
    pub fn from_vars(vars: &HashMap<String, String>) -> Result<Self, Error> {
        let pod = required(vars, "POD_NAME")?;
        let kind = match optional(vars, "AVIARY_PROXY_TYPE").unwrap_or("sidecar") {
            "sidecar" => ProxyKind::Sidecar,
            "router" => ProxyKind::Router,
            other => return Err(invalid("AVIARY_PROXY_TYPE", other, "`sidecar` or `router`")),
        };
        let address = required(vars, "INSTANCE_IP")?;
        let address = address
            .parse()
            .map_err(|_| invalid("INSTANCE_IP", &address, "an IP address"))?;
        let labels = match optional(vars, "ISTIO_META_LABELS") {
            None => BTreeMap::new(),
            Some(text) => serde_json::from_str(text)
                .map_err(|_| invalid("ISTIO_META_LABELS", text, "a JSON object of strings"))?,
        };
        let xds = match optional(vars, "AVIARY_XDS_SOCKET") {
            None => None,
            Some(socket) => Some(Xds {
                server: Server::Unix(PathBuf::from(socket)),
                metadata: vec![(
                    "authorization".to_owned(),
                    format!("Bearer {}", required(vars, "AVIARY_XDS_TOKEN")?),
                )],
            }),
        };
        let workers = match optional(vars, "AVIARY_PROXY_WORKERS") {
            None => 1,
            Some(text) => match text.parse() {
                Ok(count @ 1..=256) => count,
                _ => {
                    return Err(invalid(
                        "AVIARY_PROXY_WORKERS",
                        text,
                        "a number from 1 to 256",
                    ));
                }
            },
        };
        let mut config = Self {
            kind,
            node: Node::default(),
            fixed: Arc::default(),
            namespace: required(vars, "POD_NAMESPACE")?,
            address,
            service_account: optional(vars, "SERVICE_ACCOUNT")
                .unwrap_or("default")
                .to_owned(),
            workload: optional(vars, "ISTIO_META_WORKLOAD")
                .unwrap_or(&pod)
                .to_owned(),
            pod,
            labels,
            xds,
            state: optional(vars, "AVIARY_PROXY_STATE").map(PathBuf::from),
            inherited: inherited(optional(vars, "AVIARY_LISTEN_FDS").unwrap_or(""))?,
            workers,
            ports: Ports::default(),
            drain_limit: DRAIN_LIMIT,
            access_log: true,
            life: Life::default(),
        };
        config.node = node(&config);
        Ok(config)
    }

    /// What its own metrics and its peers' metrics say of the workload it stands for.
    ///
    /// Source: Istio's canonical service rules: `service.istio.io/canonical-name`, then
    /// `app.kubernetes.io/name`, then `app`, then the owner's name; revision likewise, then `latest`.
    pub fn workload_labels(&self) -> WorkloadLabels {
        let label = |names: &[&str], otherwise: &str| {
            names
                .iter()
                .find_map(|name| self.labels.get(*name))
                .map_or_else(|| otherwise.to_owned(), Clone::clone)
        };
        WorkloadLabels {
            workload: self.workload.clone(),
            namespace: self.namespace.clone(),
            app: label(&["app"], ""),
            version: label(&["version"], ""),
            canonical_service: label(
                &[
                    "service.istio.io/canonical-name",
                    "app.kubernetes.io/name",
                    "app",
                ],
                &self.workload,
            ),
            canonical_revision: label(
                &[
                    "service.istio.io/canonical-revision",
                    "app.kubernetes.io/version",
                    "version",
                ],
                "latest",
            ),
            service_account: self.service_account.clone(),
            cluster_id: "Kubernetes".to_owned(),
            pod: self.pod.clone(),
        }
    }
}

/// What the proxy of a pod tells the control plane of itself; the id is
/// `<kind>~<ip>~<pod>.<ns>~<ns>.svc.cluster.local`.
///
/// Source: Istio's bootstrap, `Node.id`.
fn node(config: &Config) -> Node {
    let id = NodeId {
        kind: match config.kind {
            ProxyKind::Sidecar => NodeKind::Sidecar,
            ProxyKind::Router | ProxyKind::Standalone => NodeKind::Router,
        },
        address: config.address,
        pod: config.pod.clone(),
        namespace: config.namespace.clone(),
    };
    let mut metadata = serde_json::Map::new();
    for (key, value) in [
        ("NAMESPACE", json!(config.namespace)),
        ("LABELS", json!(config.labels)),
        ("WORKLOAD_NAME", json!(config.workload)),
        ("SERVICE_ACCOUNT", json!(config.service_account)),
        ("INSTANCE_IPS", json!(config.address.to_string())),
        ("CLUSTER_ID", json!("Kubernetes")),
        ("MESH_ID", json!("cluster.local")),
    ] {
        metadata.insert(key.to_owned(), value);
    }
    name::node(&id, metadata)
}

fn optional<'a>(vars: &'a HashMap<String, String>, name: &str) -> Option<&'a str> {
    vars.get(name)
        .map(String::as_str)
        .filter(|value| !value.is_empty())
}

fn required(vars: &HashMap<String, String>, name: &'static str) -> Result<String, Error> {
    optional(vars, name)
        .map(str::to_owned)
        .ok_or(Error::Missing(name))
}

fn invalid(name: &'static str, value: &str, expected: &'static str) -> Error {
    Error::Invalid {
        name,
        value: value.to_owned(),
        expected,
    }
}

fn inherited(text: &str) -> Result<Vec<Inherited>, Error> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.split_once('=')
                .and_then(|(port, fd)| {
                    let fd = fd.trim().parse().ok().filter(|fd| *fd >= 3)?;
                    Some(Inherited {
                        port: port.trim().parse().ok()?,
                        fd,
                    })
                })
                .ok_or_else(|| invalid("AVIARY_LISTEN_FDS", text, "`port=descriptor,…`"))
        })
        .collect()
}

#[cfg(test)]
mod tests;

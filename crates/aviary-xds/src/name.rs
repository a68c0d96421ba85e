//! Names that carry structure: clusters and nodes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::google::protobuf::{ListValue, Struct, Value, value};

/// Everything whose destination no service is known for, from a workload.
pub const PASSTHROUGH_CLUSTER: &str = "PassthroughCluster";
/// The same, to a workload.
pub const INBOUND_PASSTHROUGH_CLUSTER: &str = "InboundPassthroughCluster";
/// Takes connections nowhere.
pub const BLACK_HOLE_CLUSTER: &str = "BlackHoleCluster";

/// A text that is not a name of that kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct Error {
    text: String,
    expected: &'static str,
}

/// A cluster on the way to a service: `outbound|9080|v1|reviews.prod.svc.cluster.local`.
///
/// Source: Istio's cluster names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutboundCluster {
    /// Service port.
    pub port: u16,
    /// Subset; empty for all of the service.
    pub subset: String,
    /// FQDN of the service.
    pub host: String,
}

impl fmt::Display for OutboundCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "outbound|{}|{}|{}", self.port, self.subset, self.host)
    }
}

impl FromStr for OutboundCluster {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error {
            text: text.to_owned(),
            expected: "an outbound cluster name",
        };
        let mut parts = text.splitn(4, '|');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("outbound"), Some(port), Some(subset), Some(host)) => Ok(Self {
                port: port.parse().map_err(|_| error())?,
                subset: subset.to_owned(),
                host: host.to_owned(),
            }),
            _ => Err(error()),
        }
    }
}

/// The cluster on the way to a workload's own port: `inbound|9080||`.
pub fn inbound_cluster(port: u16) -> String {
    format!("inbound|{port}||")
}

/// What a proxy stands beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeKind {
    /// One workload.
    Sidecar,
    /// The edge.
    Router,
}

/// A proxy: `sidecar~10.244.0.5~reviews-v1-abc.prod~prod.svc.cluster.local`.
///
/// Source: Istio's node ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId {
    /// What it stands beside.
    pub kind: NodeKind,
    /// Address of its pod.
    pub address: IpAddr,
    /// Name of its pod.
    pub pod: String,
    /// Namespace of its pod.
    pub namespace: String,
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            NodeKind::Sidecar => "sidecar",
            NodeKind::Router => "router",
        };
        let Self {
            address,
            pod,
            namespace,
            ..
        } = self;
        write!(
            f,
            "{kind}~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local"
        )
    }
}

impl FromStr for NodeId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error {
            text: text.to_owned(),
            expected: "a node id",
        };
        let parts: Vec<_> = text.split('~').collect();
        let [kind, address, pod, _domain] = parts.as_slice() else {
            return Err(error());
        };
        let (pod, namespace) = pod.rsplit_once('.').ok_or_else(error)?;
        Ok(Self {
            kind: match *kind {
                "sidecar" => NodeKind::Sidecar,
                "router" => NodeKind::Router,
                _ => return Err(error()),
            },
            address: address.parse().map_err(|_| error())?,
            pod: pod.to_owned(),
            namespace: namespace.to_owned(),
        })
    }
}

/// The first message's node: an id, and metadata as a JSON object.
pub fn node(id: &NodeId, metadata: serde_json::Map<String, serde_json::Value>) -> Node {
    Node {
        id: id.to_string(),
        cluster: format!("{}.{}", id.pod, id.namespace),
        user_agent_name: "aviary".to_owned(),
        metadata: Some(struct_of(metadata)),
        ..Node::default()
    }
}

/// A node's metadata as a JSON object; empty when it sent none.
pub fn metadata_of(node: &Node) -> serde_json::Map<String, serde_json::Value> {
    node.metadata.as_ref().map(object_of).unwrap_or_default()
}

pub(crate) fn struct_of(object: serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct {
        fields: object
            .into_iter()
            .map(|(key, value)| (key, value_of(value)))
            .collect(),
    }
}

pub(crate) fn value_of(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => value::Kind::NullValue(0),
        Json::Bool(value) => value::Kind::BoolValue(value),
        Json::Number(value) => value::Kind::NumberValue(value.as_f64().unwrap_or_default()),
        Json::String(value) => value::Kind::StringValue(value),
        Json::Array(values) => value::Kind::ListValue(ListValue {
            values: values.into_iter().map(value_of).collect(),
        }),
        Json::Object(object) => value::Kind::StructValue(struct_of(object)),
    };
    Value { kind: Some(kind) }
}

fn object_of(value: &Struct) -> serde_json::Map<String, serde_json::Value> {
    let mut fields: Vec<_> = value.fields.iter().collect();
    fields.sort_unstable_by_key(|(key, _)| *key);
    fields
        .into_iter()
        .map(|(key, value)| (key.clone(), json_of(value)))
        .collect()
}

fn json_of(value: &Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match &value.kind {
        None | Some(value::Kind::NullValue(_)) => Json::Null,
        Some(value::Kind::BoolValue(value)) => Json::Bool(*value),
        Some(value::Kind::NumberValue(value)) => Json::from(*value),
        Some(value::Kind::StringValue(value)) => Json::String(value.clone()),
        Some(value::Kind::ListValue(list)) => list.values.iter().map(json_of).collect(),
        Some(value::Kind::StructValue(object)) => Json::Object(object_of(object)),
    }
}

#[cfg(test)]
mod tests;

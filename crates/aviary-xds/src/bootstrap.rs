//! A file in Envoy's bootstrap format as the model.
//!
//! The text becomes protobuf by the schema of Envoy's messages and is then decoded by the same code as
//! xDS, so a file means what the same resources over xDS mean, and what is not supported is refused
//! with its place in the file.

mod ads;
mod encode;
mod links;
mod schema;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use aviary_mesh::{Cluster, MeshConfig};
use envoy_types::pb::envoy::config::bootstrap::v3::bootstrap::StaticResources;
use envoy_types::pb::envoy::config::bootstrap::v3::{Admin, Bootstrap as Proto};
use envoy_types::pb::envoy::config::cluster::v3::Cluster as ProtoCluster;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::address::Address;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::listener::v3::Listener as ProtoListener;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message, Name};

pub use ads::{Ads, Server};

use crate::resource::{Fault, nothing_left};
use crate::{Kind, Resource};
use schema::Schema;

/// What a proxy that stands alone is started with.
///
/// Source: Envoy `config.bootstrap.v3.Bootstrap`.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// Who the proxy is; sent to the ADS server.
    pub node: Node,
    /// Where its own pages are; `None` has none.
    pub admin: Option<SocketAddr>,
    /// The static resources.
    pub config: MeshConfig,
    /// Where the dynamic ones come from.
    pub ads: Option<Ads>,
}

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}{}{reason}", if path.is_empty() { "" } else { ": " })]
pub struct Error {
    /// The place, as in `static_resources.listeners[0].name`; empty for the whole.
    pub path: String,
    /// What is wrong there, and where it helps, what to do.
    pub reason: String,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self {
            path: fault.path,
            reason: fault.reason,
        }
    }
}

impl Bootstrap {
    /// From YAML or JSON.
    ///
    /// # Errors
    /// When it is neither, has a field that Envoy does not know, or asks for something that is not
    /// supported: nothing is ignored.
    pub fn read(text: &str) -> Result<Self, Error> {
        let value: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| Error {
            path: String::new(),
            reason: error.to_string(),
        })?;
        let bytes = encode::message(
            &Schema::new(),
            "envoy.config.bootstrap.v3.Bootstrap",
            &value,
            0,
        )?;
        let proto =
            Proto::decode(bytes.as_slice()).map_err(|error| Fault::new(error.to_string()))?;
        Ok(from_proto(proto)?)
    }
}

fn from_proto(mut proto: Proto) -> Result<Bootstrap, Fault> {
    let node = proto.node.take().unwrap_or_default();
    let admin = proto.admin.take().map(|admin| admin_of(&admin));
    let dynamic = proto.dynamic_resources.take();
    let mut fixed = proto.static_resources.take().unwrap_or_default();
    nothing_left(&proto)?;

    let ads = match &dynamic {
        None => None,
        Some(dynamic) => Some(
            ads::of(dynamic, &mut fixed.clusters).map_err(|fault| fault.at("dynamic_resources"))?,
        ),
    };
    let config = resources(fixed).map_err(|fault| fault.at("static_resources"))?;
    if ads.is_none() {
        links::check(&config).map_err(|fault| fault.at("static_resources"))?;
    }
    Ok(Bootstrap {
        node,
        admin: admin
            .transpose()
            .map_err(|fault| fault.at("admin"))?
            .flatten(),
        config,
        ads,
    })
}

/// The address alone is served: logs and profiles of the administration are not.
fn admin_of(admin: &Admin) -> Result<Option<SocketAddr>, Fault> {
    let rest = Admin {
        address: None,
        ..admin.clone()
    };
    nothing_left(&rest)?;
    let Some(address) = &admin.address else {
        return Ok(None);
    };
    let refuse = |reason: &str| Err(Fault::new(reason).at("address"));
    let Some(Address::SocketAddress(address)) = &address.address else {
        return refuse("a socket address is needed");
    };
    let Some(PortSpecifier::PortValue(port)) = address.port_specifier else {
        return refuse("a port number is needed");
    };
    match (address.address.parse(), u16::try_from(port)) {
        (Ok(ip), Ok(port)) => Ok(Some(SocketAddr::new(ip, port))),
        _ => refuse("an IP address and a port are needed"),
    }
}

fn resources(mut fixed: StaticResources) -> Result<MeshConfig, Fault> {
    let listeners = std::mem::take(&mut fixed.listeners);
    let clusters = std::mem::take(&mut fixed.clusters);
    let secrets = std::mem::take(&mut fixed.secrets);
    nothing_left(&fixed)?;
    let mut config = MeshConfig::default();
    for (index, proto) in clusters.into_iter().enumerate() {
        let at = format!("clusters[{index}]");
        let cluster = cluster(&proto).map_err(|fault| fault.at(&at))?;
        insert(&mut config.clusters, &proto.name, cluster).map_err(|fault| fault.at(&at))?;
    }
    for (index, proto) in secrets.into_iter().enumerate() {
        let at = format!("secrets[{index}]");
        if let Resource::Secret(secret) =
            decode(Kind::Secrets, &proto.name, &proto).map_err(|fault| fault.at(&at))?
        {
            insert(&mut config.secrets, &proto.name, secret).map_err(|fault| fault.at(&at))?;
        }
    }
    for (index, mut proto) in listeners.into_iter().enumerate() {
        let at = format!("listeners[{index}]");
        name(&mut proto, index);
        let Resource::Listener(listener) =
            decode(Kind::Listener, &proto.name, &proto).map_err(|fault| fault.at(&at))?
        else {
            continue;
        };
        insert(&mut config.listeners, &proto.name, listener).map_err(|fault| fault.at(&at))?;
    }
    Ok(config)
}

/// Envoy makes a name up for a listener that has none.
fn name(proto: &mut ProtoListener, index: usize) {
    if proto.name.is_empty() {
        proto.name = format!("listener-{index}");
    }
}

fn cluster(proto: &ProtoCluster) -> Result<Arc<Cluster>, Fault> {
    match decode(Kind::Cluster, &proto.name, proto)? {
        Resource::Cluster(cluster) => Ok(cluster),
        other => Err(Fault::new(format!("`{}` is no cluster", other.name()))),
    }
}

fn decode<P: Message + Name>(kind: Kind, name: &str, proto: &P) -> Result<Resource, Fault> {
    let any = Any {
        type_url: P::type_url(),
        value: proto.encode_to_vec(),
    };
    Resource::decode(kind, name, &any).map_err(|error| Fault {
        path: error.path,
        reason: error.reason,
    })
}

fn insert<T>(table: &mut BTreeMap<String, Arc<T>>, name: &str, value: Arc<T>) -> Result<(), Fault> {
    if name.is_empty() {
        return Err(Fault::new("is missing").at("name"));
    }
    match table.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(Fault::new(format!("`{name}` is there twice")).at("name")),
    }
}

#[cfg(test)]
mod tests;

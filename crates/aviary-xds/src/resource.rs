//! The model's five resource types as Envoy protobuf and back.
//!
//! Decoding is strict by construction: what is understood is taken out of a message, and what is
//! left of it must be nothing, so that a field that the model has no place for is refused with its
//! path and never ignored. Where Envoy has a default, an absent field means the same as that value.

mod action;
mod balance;
mod chain;
mod client;
mod cluster;
mod edits;
mod endpoint;
mod extra;
mod filter;
mod listener;
mod log;
mod manager;
mod matches;
mod outlier;
mod protocol;
mod rbac;
mod retry;
mod route;
mod tcp;
mod transport;
mod value;

use std::fmt::Debug;
use std::sync::Arc;

use aviary_mesh::tls::Secret;
use aviary_mesh::{Cluster, EndpointSet, Listener, RouteTable};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{AggregatedConfigSource, ApiVersion, ConfigSource};
use envoy_types::pb::google::protobuf::Any;

use crate::type_url::Kind;

/// A resource, decoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// From CDS.
    Cluster(Arc<Cluster>),
    /// From EDS.
    Endpoints(Arc<EndpointSet>),
    /// From LDS.
    Listener(Arc<Listener>),
    /// From RDS.
    Routes(Arc<RouteTable>),
    /// From SDS.
    Secret(Arc<Secret>),
}

impl Resource {
    /// Its name; that of an endpoint set is its cluster's.
    pub fn name(&self) -> &str {
        match self {
            Self::Cluster(cluster) => &cluster.name,
            Self::Endpoints(set) => &set.cluster,
            Self::Listener(listener) => &listener.name,
            Self::Routes(table) => &table.name,
            Self::Secret(secret) => &secret.name,
        }
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Cluster(_) => Kind::Cluster,
            Self::Endpoints(_) => Kind::Endpoints,
            Self::Listener(_) => Kind::Listener,
            Self::Routes(_) => Kind::Routes,
            Self::Secret(_) => Kind::Secrets,
        }
    }

    /// As protobuf. Maps have no order there, so the bytes may differ from time to time.
    pub fn encode(&self) -> Any {
        match self {
            Self::Cluster(cluster) => value::any(&cluster::to_proto(cluster)),
            Self::Endpoints(set) => value::any(&endpoint::to_proto(set)),
            Self::Listener(listener) => value::any(&listener::to_proto(listener)),
            Self::Routes(table) => value::any(&route::to_proto(table)),
            Self::Secret(secret) => value::any(&transport::secret::to_proto(secret)),
        }
    }

    /// A hash of what it says: the same resource has the same one in every process.
    pub fn fingerprint(&self) -> String {
        let text = match self {
            Self::Cluster(cluster) => serde_json::to_vec(cluster),
            Self::Endpoints(set) => serde_json::to_vec(set),
            Self::Listener(listener) => serde_json::to_vec(listener),
            Self::Routes(table) => serde_json::to_vec(table),
            // Written out it is redacted.
            Self::Secret(_) => Ok(self.encode().value),
        };
        fnv1a(&text.unwrap_or_default())
    }

    /// From protobuf.
    ///
    /// # Errors
    /// When it is not of type `kind`, is malformed, or says something that the model cannot hold;
    /// the error is the text of a NACK.
    pub fn decode(kind: Kind, name: &str, any: &Any) -> Result<Self, Error> {
        let refuse = |fault: Fault| Error {
            kind,
            name: name.to_owned(),
            path: fault.path,
            reason: fault.reason,
        };
        let resource = match kind {
            Kind::Cluster => {
                strictly(any, cluster::from_proto).map(|it| Self::Cluster(Arc::new(it)))
            }
            Kind::Endpoints => {
                strictly(any, endpoint::from_proto).map(|it| Self::Endpoints(Arc::new(it)))
            }
            Kind::Listener => {
                strictly(any, listener::from_proto).map(|it| Self::Listener(Arc::new(it)))
            }
            Kind::Routes => strictly(any, route::from_proto).map(|it| Self::Routes(Arc::new(it))),
            Kind::Secrets => {
                let decode = |proto| {
                    let secret = transport::secret::from_proto(&proto)?;
                    same(&proto, &transport::secret::to_proto(&secret)).map(|()| secret)
                };
                strictly(any, decode).map(|it| Self::Secret(Arc::new(it)))
            }
        }
        .map_err(refuse)?;
        if resource.name() != name {
            let reason = format!("is `{}` inside", resource.name());
            return Err(refuse(Fault::new(reason).at("name")));
        }
        Ok(resource)
    }
}

/// FNV-1a: stable over builds, unlike the standard library's hashes.
fn fnv1a(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// A resource that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} `{name}`: {}{}{reason}", path, if path.is_empty() { "" } else { ": " })]
pub struct Error {
    /// Its type.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// The field, as in `filter_chains[0].filters[0].name`; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

/// What is wrong inside a resource, and where.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) path: String,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            reason: reason.into(),
        }
    }

    /// The same, seen from the message that holds `field`.
    pub(crate) fn at(mut self, field: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') {
            ""
        } else {
            "."
        };
        self.path = format!("{field}{dot}{}", self.path);
        self
    }
}

/// Says where in a message a fault is.
trait Within {
    /// The same, seen from the message that holds `field`.
    fn within(self, field: &str) -> Self;
}

impl<T> Within for Result<T, Fault> {
    fn within(self, field: &str) -> Self {
        self.map_err(|fault| fault.at(field))
    }
}

/// Converts a list, with the index of what cannot be converted.
fn each<T, U>(
    field: &str,
    items: impl IntoIterator<Item = T>,
    mut convert: impl FnMut(T) -> Result<U, Fault>,
) -> Result<Vec<U>, Fault> {
    items
        .into_iter()
        .enumerate()
        .map(|(index, item)| convert(item).within(&format!("{field}[{index}]")))
        .collect()
}

fn strictly<M, P>(any: &Any, decode: impl Fn(P) -> Result<M, Fault>) -> Result<M, Fault>
where
    P: prost::Message + prost::Name + Default,
{
    value::unpack(any).and_then(decode)
}

/// Refuses a message that is not what its model gives when encoded again.
fn same<P: PartialEq + Debug>(got: &P, understood: &P) -> Result<(), Fault> {
    if got == understood {
        return Ok(());
    }
    Err(Fault {
        path: first_difference(&format!("{got:#?}"), &format!("{understood:#?}")),
        reason: "is not supported".to_owned(),
    })
}

/// Refuses what is left of a message after everything that is understood was taken out.
pub(crate) fn nothing_left<P: PartialEq + Debug + Default>(rest: &P) -> Result<(), Fault> {
    let nothing = P::default();
    if *rest == nothing {
        return Ok(());
    }
    Err(Fault {
        path: first_difference(&format!("{rest:#?}"), &format!("{nothing:#?}")),
        reason: "is not supported".to_owned(),
    })
}

/// Path of the first line that differs between two pretty-printed values.
fn first_difference(got: &str, understood: &str) -> String {
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut other = understood.lines();
    for line in got.lines() {
        let indent = line.len() - line.trim_start().len();
        path.retain(|(depth, _)| *depth < indent);
        if let Some((field, _)) = line.trim_start().split_once(':')
            && field
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            path.push((indent, field.to_owned()));
        }
        if other.next() != Some(line) {
            break;
        }
    }
    path.into_iter()
        .map(|(_, field)| field)
        .collect::<Vec<_>>()
        .join(".")
}

/// Where everything that is named comes from: the same stream.
fn ads_source() -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..ConfigSource::default()
    }
}

#[cfg(test)]
mod tests;

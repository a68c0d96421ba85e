//! A configuration as a session sends it: encoded, with a version for every resource.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aviary_mesh::listener::{ChainAction, Listener, RouteSource};
use aviary_mesh::{Cluster, Discovery, EndpointSet, MeshConfig};
use envoy_types::pb::google::protobuf::Any;

use crate::{Kind, Resource};

/// An encoded resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its fingerprint: the same resource has the same version, also after a restart.
    pub version: Arc<str>,
    /// What is sent.
    pub body: Arc<Any>,
}

impl Entry {
    fn new(resource: &Resource) -> Self {
        Self {
            version: resource.fingerprint().into(),
            body: Arc::new(resource.encode()),
        }
    }

    /// What is said of a cluster that nobody knows.
    pub(crate) fn empty_endpoints(cluster: &str) -> Self {
        let set = EndpointSet {
            cluster: cluster.to_owned(),
            ..EndpointSet::default()
        };
        Self::new(&Resource::Endpoints(Arc::new(set)))
    }
}

/// Everything for one kind of proxy, encoded once for all that are configured alike.
#[derive(Debug, Default)]
pub struct Snapshot {
    version: u64,
    config: Arc<MeshConfig>,
    entries: [BTreeMap<String, Entry>; 5],
    /// Endpoints, routes and secrets that the clusters and listeners here ask for.
    referenced: [BTreeSet<String>; 5],
}

impl Snapshot {
    /// Encodes `config`, taking over from `previous` what is the same.
    ///
    /// `version` names it in [`crate::ads::ServerSession::acked`]; it grows with each change.
    pub fn new(version: u64, config: Arc<MeshConfig>, previous: Option<&Self>) -> Self {
        let mut snapshot = Self {
            version,
            ..Self::default()
        };
        let old = previous.map(|previous| &*previous.config);
        let known = |kind: Kind, name: &str| {
            previous
                .and_then(|previous| previous.entries[kind.index()].get(name))
                .cloned()
        };
        snapshot.entries = [
            encode(
                &config.clusters,
                old.map(|old| &old.clusters),
                known,
                Resource::Cluster,
            ),
            encode(
                &config.endpoints,
                old.map(|old| &old.endpoints),
                known,
                Resource::Endpoints,
            ),
            encode(
                &config.listeners,
                old.map(|old| &old.listeners),
                known,
                Resource::Listener,
            ),
            encode(
                &config.routes,
                old.map(|old| &old.routes),
                known,
                Resource::Routes,
            ),
            encode(
                &config.secrets,
                old.map(|old| &old.secrets),
                known,
                Resource::Secret,
            ),
        ];
        snapshot.referenced[Kind::Endpoints.index()] = config
            .clusters
            .values()
            .filter(|cluster| cluster.discovery == Discovery::Eds)
            .map(|cluster| cluster.name.clone())
            .collect();
        snapshot.referenced[Kind::Routes.index()] = config
            .listeners
            .values()
            .flat_map(|listener| named_routes(listener))
            .collect();
        let of_listeners = config
            .listeners
            .values()
            .flat_map(|it| secrets_of_listener(it));
        let of_clusters = config
            .clusters
            .values()
            .flat_map(|it| secrets_of_cluster(it));
        snapshot.referenced[Kind::Secrets.index()] = of_listeners.chain(of_clusters).collect();
        snapshot.config = config;
        snapshot
    }

    /// As given to [`Self::new`].
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What was encoded.
    pub fn config(&self) -> &Arc<MeshConfig> {
        &self.config
    }

    /// The resources of a type by name.
    pub fn entries(&self, kind: Kind) -> &BTreeMap<String, Entry> {
        &self.entries[kind.index()]
    }

    pub(crate) fn referenced(&self, kind: Kind) -> &BTreeSet<String> {
        &self.referenced[kind.index()]
    }
}

fn encode<T: PartialEq>(
    new: &BTreeMap<String, Arc<T>>,
    old: Option<&BTreeMap<String, Arc<T>>>,
    known: impl Fn(Kind, &str) -> Option<Entry>,
    resource: impl Fn(Arc<T>) -> Resource,
) -> BTreeMap<String, Entry> {
    let entry = |name: &String, value: &Arc<T>| {
        let resource = resource(Arc::clone(value));
        old.and_then(|old| old.get(name))
            .filter(|old| Arc::ptr_eq(old, value) || old == &value)
            .and_then(|_| known(resource.kind(), name))
            .unwrap_or_else(|| Entry::new(&resource))
    };
    new.iter()
        .map(|(name, value)| (name.clone(), entry(name, value)))
        .collect()
}

/// The route tables that a listener asks for by name.
pub(crate) fn named_routes(listener: &Listener) -> Vec<String> {
    listener
        .chains
        .iter()
        .chain(&listener.default_chain)
        .filter_map(|chain| match &chain.action {
            ChainAction::Http(http) => match &http.routes {
                RouteSource::Named(name) => Some(name.clone()),
                RouteSource::Inline(_) => None,
            },
            ChainAction::Tcp(_) => None,
        })
        .collect()
}

/// The secrets that a listener asks for by name.
pub(crate) fn secrets_of_listener(listener: &Listener) -> Vec<String> {
    let chains = listener.chains.iter().chain(&listener.default_chain);
    let tls = chains.filter_map(|chain| chain.tls.as_deref());
    tls.flat_map(|tls| tls.secrets().map(str::to_owned))
        .collect()
}

/// The secrets that a cluster asks for by name.
pub(crate) fn secrets_of_cluster(cluster: &Cluster) -> Vec<String> {
    let tls = cluster.tls.all();
    tls.flat_map(|tls| tls.secrets().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests;

//! The proxy's side: delta ADS, warming, ACK and NACK.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aviary_mesh::tls::Secret;
use aviary_mesh::{Cluster, Discovery, EndpointSet, Listener, MeshConfig, RouteTable};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::google::rpc::Status;

use crate::snapshot::{named_routes, secrets_of_cluster, secrets_of_listener};
use crate::{Kind, Resource};

/// gRPC's code for a resource that cannot be used.
const INVALID_ARGUMENT: i32 = 3;

/// A resource with the version that the server gave it.
#[derive(Debug, Clone)]
struct Held<T> {
    version: String,
    value: Arc<T>,
}

type Table<T> = BTreeMap<String, Held<T>>;

/// What a proxy knows, over all its streams to the control plane.
///
/// Each stream begins with [`Self::connect`]; each response goes to [`Self::handle_response`];
/// whenever [`Self::take_config`] gives a configuration, it replaces the one in use.
#[derive(Debug)]
pub struct ClientSession {
    node: Node,
    clusters: Table<Cluster>,
    endpoints: Table<EndpointSet>,
    listeners: Table<Listener>,
    routes: Table<RouteTable>,
    secrets: Table<Secret>,
    /// Names subscribed to, by type.
    subscribed: [BTreeSet<String>; 5],
    /// Named resources that the server says do not exist.
    absent: [BTreeSet<String>; 5],
    /// Names of resources that are there from the start, by type; the server cannot change them.
    fixed: [BTreeSet<String>; 5],
    received: [bool; 5],
    active: Arc<MeshConfig>,
    fresh: bool,
    ready: bool,
    nack: Option<String>,
    judge: Judge,
}

/// Says why its user cannot honour a resource that was understood.
pub type Judge = fn(&Resource) -> Result<(), String>;

impl ClientSession {
    /// A session that knows nothing yet; `node` is sent first on every stream.
    pub fn new(node: Node) -> Self {
        Self {
            node,
            clusters: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            listeners: BTreeMap::new(),
            routes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            subscribed: Default::default(),
            absent: Default::default(),
            fixed: Default::default(),
            received: [false; 5],
            active: Arc::default(),
            fresh: false,
            ready: false,
            nack: None,
            judge: |_| Ok(()),
        }
    }

    /// With a judge of each resource that comes; what it refuses is refused as what cannot be read.
    #[must_use]
    pub fn with_judge(mut self, judge: Judge) -> Self {
        self.judge = judge;
        self
    }

    /// With clusters and listeners that are there from the start; the server is not asked for them,
    /// and what it says of resources with their names is passed over. What they name is asked for.
    ///
    /// Source: Envoy, where static resources win over dynamic ones.
    #[must_use]
    pub fn with_fixed(mut self, fixed: &MeshConfig) -> Self {
        for cluster in fixed.clusters.values() {
            self.apply(Resource::Cluster(Arc::clone(cluster)), String::new());
        }
        for listener in fixed.listeners.values() {
            self.apply(Resource::Listener(Arc::clone(listener)), String::new());
        }
        for secret in fixed.secrets.values() {
            self.apply(Resource::Secret(Arc::clone(secret)), String::new());
        }
        self.fixed[Kind::Secrets.index()] = fixed.secrets.keys().cloned().collect();
        self.fixed[Kind::Cluster.index()] = fixed.clusters.keys().cloned().collect();
        self.fixed[Kind::Listener.index()] = fixed.listeners.keys().cloned().collect();
        self
    }

    /// The first requests of a new stream: what is wanted and which versions are here already.
    pub fn connect(&mut self) -> Vec<DeltaDiscoveryRequest> {
        let wanted = Kind::ALL
            .into_iter()
            .filter(|kind| kind.is_wildcard() || !self.subscribed[kind.index()].is_empty());
        let mut requests: Vec<_> = wanted
            .map(|kind| DeltaDiscoveryRequest {
                type_url: kind.type_url().to_owned(),
                resource_names_subscribe: self.subscribed[kind.index()].iter().cloned().collect(),
                initial_resource_versions: self.versions(kind),
                ..DeltaDiscoveryRequest::default()
            })
            .collect();
        if let Some(first) = requests.first_mut() {
            first.node = Some(self.node.clone());
        }
        requests
    }

    /// Takes a response; gives what is sent back: new subscriptions, and an ACK or a NACK.
    ///
    /// The good resources of a response are used even when others are refused; of those the last
    /// good form stays.
    pub fn handle_response(
        &mut self,
        response: DeltaDiscoveryResponse,
    ) -> Vec<DeltaDiscoveryRequest> {
        let Some(kind) = Kind::from_type_url(&response.type_url) else {
            let reason = format!("type {} was not asked for", response.type_url);
            return vec![answer(response.type_url, response.nonce, Some(reason))];
        };
        let mut refused = Vec::new();
        for resource in response.resources {
            let any = resource.resource.unwrap_or_else(Any::default);
            match Resource::decode(kind, &resource.name, &any) {
                Ok(value) => match (self.judge)(&value) {
                    Ok(()) => self.apply(value, resource.version),
                    Err(reason) => refused.push(format!("{kind} `{}`: {reason}", resource.name)),
                },
                Err(error) => refused.push(error.to_string()),
            }
        }
        for name in &response.removed_resources {
            self.remove(kind, name);
        }
        self.received[kind.index()] = true;
        let mut requests = Vec::new();
        match kind {
            Kind::Cluster => {
                requests.extend(self.subscribe(Kind::Endpoints));
                requests.extend(self.subscribe(Kind::Secrets));
            }
            Kind::Listener => {
                requests.extend(self.subscribe(Kind::Routes));
                requests.extend(self.subscribe(Kind::Secrets));
            }
            Kind::Endpoints | Kind::Routes | Kind::Secrets => {}
        }
        let reason = (!refused.is_empty()).then(|| refused.join("; "));
        self.nack.clone_from(&reason);
        requests.push(answer(response.type_url, response.nonce, reason));
        self.assemble();
        requests
    }

    /// The configuration, when it changed since the last call and is complete.
    pub fn take_config(&mut self) -> Option<Arc<MeshConfig>> {
        if !self.fresh {
            return None;
        }
        self.fresh = false;
        Some(Arc::clone(&self.active))
    }

    /// Whether there was a complete configuration.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The text of the last NACK, when the last response was refused.
    pub fn last_nack(&self) -> Option<&str> {
        self.nack.as_deref()
    }

    /// What is named by clusters and listeners but did not arrive yet.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for kind in Kind::ALL {
            if kind.is_wildcard() {
                if !self.received[kind.index()] {
                    missing.push(format!("every {kind}"));
                }
                continue;
            }
            let names = self.wanted(kind);
            missing.extend(
                names
                    .iter()
                    .filter(|name| !self.arrived(kind, name))
                    .map(|name| format!("{kind} `{name}`")),
            );
        }
        missing
    }

    fn versions(&self, kind: Kind) -> std::collections::HashMap<String, String> {
        fn of<T>(table: &Table<T>) -> std::collections::HashMap<String, String> {
            table
                .iter()
                .filter(|(_, held)| !held.version.is_empty())
                .map(|(name, held)| (name.clone(), held.version.clone()))
                .collect()
        }
        match kind {
            Kind::Cluster => of(&self.clusters),
            Kind::Endpoints => of(&self.endpoints),
            Kind::Listener => of(&self.listeners),
            Kind::Routes => of(&self.routes),
            Kind::Secrets => of(&self.secrets),
        }
    }

    fn apply(&mut self, resource: Resource, version: String) {
        let name = resource.name().to_owned();
        if self.fixed[resource.kind().index()].contains(&name) {
            return;
        }
        self.absent[resource.kind().index()].remove(&name);
        match resource {
            Resource::Cluster(value) => drop(self.clusters.insert(name, Held { version, value })),
            Resource::Endpoints(value) => {
                drop(self.endpoints.insert(name, Held { version, value }));
            }
            Resource::Listener(value) => drop(self.listeners.insert(name, Held { version, value })),
            Resource::Routes(value) => drop(self.routes.insert(name, Held { version, value })),
            Resource::Secret(value) => drop(self.secrets.insert(name, Held { version, value })),
        }
    }

    fn remove(&mut self, kind: Kind, name: &str) {
        if self.fixed[kind.index()].contains(name) {
            return;
        }
        match kind {
            Kind::Cluster => drop(self.clusters.remove(name)),
            Kind::Endpoints => drop(self.endpoints.remove(name)),
            Kind::Listener => drop(self.listeners.remove(name)),
            Kind::Routes => drop(self.routes.remove(name)),
            Kind::Secrets => drop(self.secrets.remove(name)),
        }
        if self.subscribed[kind.index()].contains(name) {
            self.absent[kind.index()].insert(name.to_owned());
        }
    }

    fn wanted(&self, kind: Kind) -> BTreeSet<String> {
        match kind {
            Kind::Endpoints => self
                .clusters
                .values()
                .filter(|held| held.value.discovery == Discovery::Eds)
                .map(|held| held.value.name.clone())
                .collect(),
            Kind::Routes => self
                .listeners
                .values()
                .flat_map(|held| named_routes(&held.value))
                .collect(),
            Kind::Secrets => {
                let listeners = self.listeners.values();
                let of_listeners = listeners.flat_map(|held| secrets_of_listener(&held.value));
                let clusters = self.clusters.values();
                let of_clusters = clusters.flat_map(|held| secrets_of_cluster(&held.value));
                of_listeners.chain(of_clusters).collect()
            }
            Kind::Cluster | Kind::Listener => BTreeSet::new(),
        }
    }

    /// Subscribes to what is wanted now and drops what is not.
    fn subscribe(&mut self, kind: Kind) -> Option<DeltaDiscoveryRequest> {
        let wanted = self.wanted(kind);
        let before = std::mem::replace(&mut self.subscribed[kind.index()], wanted);
        let now = &self.subscribed[kind.index()];
        let request = DeltaDiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            resource_names_subscribe: now.difference(&before).cloned().collect(),
            resource_names_unsubscribe: before.difference(now).cloned().collect(),
            ..DeltaDiscoveryRequest::default()
        };
        for name in &request.resource_names_unsubscribe {
            self.remove(kind, name);
            self.absent[kind.index()].remove(name);
        }
        let changes = !request.resource_names_subscribe.is_empty()
            || !request.resource_names_unsubscribe.is_empty();
        changes.then_some(request)
    }

    fn arrived(&self, kind: Kind, name: &str) -> bool {
        let here = match kind {
            Kind::Endpoints => self.endpoints.contains_key(name),
            Kind::Routes => self.routes.contains_key(name),
            Kind::Secrets => self.secrets.contains_key(name),
            Kind::Cluster | Kind::Listener => true,
        };
        here || self.absent[kind.index()].contains(name)
    }

    fn all_arrived(&self, kind: Kind, names: &[String]) -> bool {
        names.iter().all(|name| self.arrived(kind, name))
    }

    /// Puts together what is complete: a new cluster waits for its endpoints, a new listener for
    /// its routes, both for their secrets, while the ones before them stay in use.
    fn assemble(&mut self) {
        if !self.ready {
            if !self.missing().is_empty() {
                return;
            }
            self.ready = true;
        }
        let mut config = MeshConfig::default();
        for (name, held) in &self.clusters {
            if held.value.discovery == Discovery::Eds {
                if let Some(endpoints) = self.endpoints.get(name) {
                    config
                        .endpoints
                        .insert(name.clone(), Arc::clone(&endpoints.value));
                } else if !self.arrived(Kind::Endpoints, name) {
                    continue;
                }
            }
            let names = secrets_of_cluster(&held.value);
            if self.all_arrived(Kind::Secrets, &names) {
                config
                    .clusters
                    .insert(name.clone(), Arc::clone(&held.value));
            } else if let Some(before) = self.active.clusters.get(name) {
                config.clusters.insert(name.clone(), Arc::clone(before));
            }
        }
        for (name, held) in &self.listeners {
            let warm = self.all_arrived(Kind::Routes, &named_routes(&held.value))
                && self.all_arrived(Kind::Secrets, &secrets_of_listener(&held.value));
            if warm {
                config
                    .listeners
                    .insert(name.clone(), Arc::clone(&held.value));
            } else if let Some(before) = self.active.listeners.get(name) {
                config.listeners.insert(name.clone(), Arc::clone(before));
            }
        }
        for name in config
            .listeners
            .values()
            .flat_map(|listener| named_routes(listener))
        {
            let table = self.routes.get(&name).map(|held| &held.value);
            if let Some(table) = table.or_else(|| self.active.routes.get(&name)) {
                config.routes.insert(name, Arc::clone(table));
            }
        }
        // A secret that a resource before its change still needs stays.
        let of_listeners = config
            .listeners
            .values()
            .flat_map(|it| secrets_of_listener(it));
        let of_clusters = config
            .clusters
            .values()
            .flat_map(|it| secrets_of_cluster(it));
        for name in of_listeners.chain(of_clusters).collect::<BTreeSet<_>>() {
            let secret = self.secrets.get(&name).map(|held| &held.value);
            if let Some(secret) = secret.or_else(|| self.active.secrets.get(&name)) {
                config.secrets.insert(name, Arc::clone(secret));
            }
        }
        if config != *self.active || self.active.listeners.is_empty() {
            self.active = Arc::new(config);
            self.fresh = true;
        }
    }
}

fn answer(type_url: String, nonce: String, reason: Option<String>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url,
        response_nonce: nonce,
        error_detail: reason.map(|message| Status {
            code: INVALID_ARGUMENT,
            message,
            ..Status::default()
        }),
        ..DeltaDiscoveryRequest::default()
    }
}

#[cfg(test)]
mod tests;

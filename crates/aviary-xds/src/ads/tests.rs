//! Both sides against each other, with lost connections and changing snapshots.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::cluster::{Balance, Cluster, Limits, UpstreamProtocol};
use aviary_mesh::endpoint::{Endpoint, Health, WorkloadLabels};
use aviary_mesh::listener::{ChainAction, ChainMatch, Direction, HttpChain, RouteSource};
use aviary_mesh::route::{Forward, HeaderEdits, RouteAction, RouteMatch, WeightedCluster};
use aviary_mesh::{
    Discovery, EndpointSet, FilterChain, Listener, MeshConfig, Route, RouteTable, VirtualHost,
};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::{Kind, Snapshot};

pub(super) fn cluster(name: &str) -> Cluster {
    Cluster {
        tls: aviary_mesh::tls::ClusterTls::default(),
        name: name.to_owned(),
        discovery: Discovery::Eds,
        connect_timeout: Duration::from_secs(10),
        balance: Balance::LeastRequest,
        limits: Limits::default(),
        outlier: None,
        protocol: UpstreamProtocol::Http1,
        source_address: None,
        idle_timeout: None,
        service: None,
        ..Cluster::default()
    }
}

fn endpoints(name: &str, port: u16) -> EndpointSet {
    EndpointSet {
        cluster: name.to_owned(),
        endpoints: vec![Endpoint {
            mesh_tls: false,
            address: ([10, 244, 0, 1], port).into(),
            weight: 1,
            health: Health::Healthy,
            workload: Arc::new(WorkloadLabels::default()),
            ..Endpoint::new(([127, 0, 0, 1], 1).into())
        }],
        ..EndpointSet::default()
    }
}

pub(super) fn listener(port: u16) -> Listener {
    let http = HttpChain {
        stat_prefix: "test".to_owned(),
        direction: Direction::Outbound,
        routes: RouteSource::Named(port.to_string()),
        use_remote_address: false,
        access_log: Vec::new(),
        server_name: "istio-envoy".to_owned(),
        ..HttpChain::default()
    };
    Listener {
        name: format!("0.0.0.0_{port}"),
        address: ([0, 0, 0, 0], port).into(),
        bind_to_port: false,
        use_original_dst: false,
        direction: Direction::Outbound,
        http_inspector: false,
        tls_inspector: false,
        inspect_timeout: Duration::ZERO,
        chains: vec![FilterChain {
            tls: None,
            name: "default".to_owned(),
            matches: ChainMatch::default(),
            action: ChainAction::Http(http),
            ..FilterChain::default()
        }],
        default_chain: None,
        ..Listener::default()
    }
}

pub(super) fn table(port: u16, cluster: &str, weight: u32) -> RouteTable {
    let branch = |name: &str, weight| WeightedCluster {
        name: name.to_owned(),
        weight,
        ..WeightedCluster::default()
    };
    let forward = Forward {
        clusters: vec![branch(cluster, weight), branch(cluster, 100 - weight)],
        ..Forward::default()
    };
    let route = Route {
        name: String::new(),
        matches: RouteMatch::default(),
        action: RouteAction::Forward(forward),
        request_headers: HeaderEdits::default(),
        response_headers: HeaderEdits::default(),
        fault: None,
        origin: String::new(),
        operation: String::new(),
        ..Route::default()
    };
    RouteTable {
        name: port.to_string(),
        virtual_hosts: vec![VirtualHost {
            name: format!("any:{port}"),
            domains: vec!["*".to_owned()],
            routes: vec![route],
            include_attempt_count: false,
            ..VirtualHost::default()
        }],
        ignore_port_in_host: true,
        ..RouteTable::default()
    }
}

/// A configuration in which every route leads to a cluster that exists.
fn random_config(rng: &mut SmallRng) -> MeshConfig {
    let mut config = MeshConfig::default();
    let mut names = vec![format!("outbound|80||always-{}", rng.random_range(0..3))];
    for number in 0..6 {
        if rng.random_bool(0.6) {
            names.push(format!("outbound|80||service-{number}"));
        }
    }
    for name in &names {
        let mut cluster = cluster(name);
        cluster.limits.max_connections = rng.random_bool(0.5).then_some(7);
        config.clusters.insert(name.clone(), Arc::new(cluster));
        if rng.random_bool(0.9) {
            let set = endpoints(name, rng.random_range(1..4));
            config.endpoints.insert(name.clone(), Arc::new(set));
        }
    }
    for port in 8080..8084 {
        if rng.random_bool(0.3) {
            continue;
        }
        let cluster = &names[rng.random_range(0..names.len())];
        let table = table(port, cluster, rng.random_range(1..100));
        config
            .listeners
            .insert(format!("0.0.0.0_{port}"), Arc::new(listener(port)));
        config.routes.insert(port.to_string(), Arc::new(table));
    }
    config
}

/// What a client ends up with: clusters without known endpoints have empty ones.
fn complete(config: &MeshConfig) -> MeshConfig {
    let mut config = config.clone();
    for name in config.clusters.keys() {
        config.endpoints.entry(name.clone()).or_insert_with(|| {
            Arc::new(EndpointSet {
                cluster: name.clone(),
                endpoints: Vec::new(),
                ..EndpointSet::default()
            })
        });
    }
    config
}

fn assert_no_dangling_route(config: &MeshConfig) {
    for table in config.routes.values() {
        for route in table.virtual_hosts.iter().flat_map(|host| &host.routes) {
            let RouteAction::Forward(forward) = &route.action else {
                continue;
            };
            for branch in &forward.clusters {
                assert!(
                    config.clusters.contains_key(&branch.name),
                    "route table {} leads to {}, which is not there",
                    table.name,
                    branch.name
                );
            }
        }
    }
}

/// A server, a client, and a network that delivers late and breaks.
struct Simulation {
    rng: SmallRng,
    server: ServerSession,
    client: ClientSession,
    requests: VecDeque<DeltaDiscoveryRequest>,
    responses: VecDeque<DeltaDiscoveryResponse>,
    snapshot: Arc<Snapshot>,
    config: Option<Arc<MeshConfig>>,
    sent: usize,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let snapshot = Arc::new(Snapshot::new(1, Arc::new(random_config(&mut rng)), None));
        let mut simulation = Self {
            rng,
            server: ServerSession::new(),
            client: ClientSession::new(Node {
                id: "test".to_owned(),
                ..Node::default()
            }),
            requests: VecDeque::new(),
            responses: VecDeque::new(),
            snapshot,
            config: None,
            sent: 0,
        };
        simulation.reconnect();
        simulation
    }

    fn reconnect(&mut self) {
        self.server = ServerSession::new();
        self.server.set_snapshot(Arc::clone(&self.snapshot));
        self.requests = self.client.connect().into();
        self.responses.clear();
    }

    fn change(&mut self) {
        let config = Arc::new(random_config(&mut self.rng));
        let version = self.snapshot.version() + 1;
        self.snapshot = Arc::new(Snapshot::new(version, config, Some(&self.snapshot)));
        self.server.set_snapshot(Arc::clone(&self.snapshot));
    }

    /// One delivery in one direction; false when nothing is under way.
    fn deliver(&mut self) -> bool {
        while let Some(push) = self.server.poll_response(Duration::ZERO) {
            let Push::Delta(response) = push else {
                panic!("a delta client")
            };
            self.sent += response.resources.len();
            self.responses.push_back(response);
        }
        let up = self.rng.random_bool(0.5);
        if (up || self.responses.is_empty())
            && let Some(request) = self.requests.pop_front()
        {
            self.server.handle_delta(request);
            return true;
        }
        let Some(response) = self.responses.pop_front() else {
            return !self.requests.is_empty();
        };
        self.requests.extend(self.client.handle_response(response));
        if let Some(config) = self.client.take_config() {
            assert_no_dangling_route(&config);
            self.config = Some(config);
        }
        true
    }

    fn settle(&mut self) {
        for _ in 0..1_000 {
            if !self.deliver() {
                return;
            }
        }
        panic!("the sessions never come to rest");
    }

    fn assert_converged(&self, seed: u64) {
        let config = self.config.as_deref().expect("a configuration");
        let wanted = complete(self.snapshot.config());
        assert_eq!(config.clusters, wanted.clusters, "seed {seed}");
        assert_eq!(config.endpoints, wanted.endpoints, "seed {seed}");
        assert_eq!(config.listeners, wanted.listeners, "seed {seed}");
        assert_eq!(config.routes, wanted.routes, "seed {seed}");
        assert_eq!(
            self.server.acked(),
            Some(self.snapshot.version()),
            "seed {seed}"
        );
        assert_eq!(self.server.nacks().count(), 0);
        assert!(self.client.is_ready());
    }
}

fn seeds() -> Vec<u64> {
    (0..64).collect()
}

#[test]
fn sessions_changes_and_lost_connections_converge_without_dangling_routes() {
    for seed in seeds() {
        let mut simulation = Simulation::new(seed);
        for _ in 0..60 {
            match simulation.rng.random_range(0..20) {
                0 => simulation.reconnect(),
                1..=4 => simulation.change(),
                _ => drop(simulation.deliver()),
            }
        }
        simulation.settle();
        simulation.assert_converged(seed);
    }
}

#[test]
fn reconnect_without_change_sends_nothing_again() {
    let mut simulation = Simulation::new(7);
    simulation.settle();
    simulation.assert_converged(7);
    let sent = simulation.sent;
    assert!(sent > 0);
    simulation.reconnect();
    simulation.settle();
    simulation.assert_converged(7);
    assert_eq!(simulation.sent, sent);
}

/// A client of the whole-state protocol, which keeps what it is told.
#[derive(Default)]
struct SotwClient {
    held: [std::collections::BTreeMap<String, Vec<u8>>; 5],
}

impl SotwClient {
    fn start() -> Vec<DiscoveryRequest> {
        let request = |kind: Kind| DiscoveryRequest {
            type_url: kind.type_url().to_owned(),
            ..DiscoveryRequest::default()
        };
        vec![request(Kind::Cluster), request(Kind::Listener)]
    }

    fn handle(&mut self, response: DiscoveryResponse) -> Vec<DiscoveryRequest> {
        let kind = Kind::from_type_url(&response.type_url).expect("a known type");
        if kind.is_wildcard() {
            self.held[kind.index()].clear();
        }
        for any in &response.resources {
            // The name is field 1 of all four types.
            let (length, rest) = (usize::from(any.value[1]), &any.value[2..]);
            let name = String::from_utf8(rest[..length].to_vec()).expect("a name");
            self.held[kind.index()].insert(name, any.value.clone());
        }
        let mut ack = DiscoveryRequest {
            version_info: response.version_info,
            response_nonce: response.nonce,
            type_url: response.type_url,
            ..DiscoveryRequest::default()
        };
        if !kind.is_wildcard() {
            ack.resource_names = self.held[kind.index()].keys().cloned().collect();
        }
        vec![ack]
    }
}

#[test]
fn sotw_removal_comes_after_what_replaces_it() {
    let mut before = MeshConfig::default();
    before
        .clusters
        .insert("old".to_owned(), Arc::new(cluster("old")));
    before
        .endpoints
        .insert("old".to_owned(), Arc::new(endpoints("old", 1)));
    let mut after = MeshConfig::default();
    after
        .clusters
        .insert("new".to_owned(), Arc::new(cluster("new")));
    after
        .endpoints
        .insert("new".to_owned(), Arc::new(endpoints("new", 1)));
    let mut server = ServerSession::new();
    let mut client = SotwClient::default();
    server.set_snapshot(Arc::new(Snapshot::new(1, Arc::new(before), None)));
    let mut clusters_seen = Vec::new();
    let mut requests = VecDeque::from(SotwClient::start());
    let subscribe = |names: &[&str], nonce: &str| DiscoveryRequest {
        type_url: Kind::Endpoints.type_url().to_owned(),
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        response_nonce: nonce.to_owned(),
        ..DiscoveryRequest::default()
    };
    requests.push_back(subscribe(&["old"], ""));
    let mut run = |server: &mut ServerSession, requests: &mut VecDeque<DiscoveryRequest>| {
        let mut last_endpoints_nonce = String::new();
        while let Some(request) = requests.pop_front() {
            server.handle_sotw(request);
            while let Some(push) = server.poll_response(Duration::ZERO) {
                let Push::Sotw(response) = push else {
                    panic!("a whole-state client")
                };
                if response.type_url == Kind::Endpoints.type_url() {
                    last_endpoints_nonce.clone_from(&response.nonce);
                }
                requests.extend(client.handle(response));
                clusters_seen.push(client.held[0].keys().cloned().collect::<Vec<_>>().join("+"));
            }
        }
        last_endpoints_nonce
    };
    let nonce = run(&mut server, &mut requests);
    assert_eq!(server.acked(), Some(1));
    server.set_snapshot(Arc::new(Snapshot::new(2, Arc::new(after), None)));
    while let Some(Push::Sotw(response)) = server.poll_response(Duration::ZERO) {
        assert_eq!(response.resources.len(), 2, "the old one stays for now");
        requests.push_back(DiscoveryRequest {
            response_nonce: response.nonce,
            type_url: response.type_url,
            ..DiscoveryRequest::default()
        });
    }
    requests.push_back(subscribe(&["new", "old"], &nonce));
    run(&mut server, &mut requests);
    assert_eq!(clusters_seen.last().map(String::as_str), Some("new"));
    assert_eq!(server.acked(), Some(2));
}

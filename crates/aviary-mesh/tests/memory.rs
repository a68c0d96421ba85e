//! What a configured service costs in memory: a test of its own, so that nothing else allocates.

use std::net::SocketAddr;
use std::sync::Arc;

use aviary_mesh::cluster::ServiceLabels;
use aviary_mesh::compiled::Config;
use aviary_mesh::endpoint::WorkloadLabels;
use aviary_mesh::route::{Forward, Retry, RouteAction, WeightedCluster};
use aviary_mesh::{Cluster, Endpoint, EndpointSet, MeshConfig, Route, RouteTable, VirtualHost};

const SERVICES: usize = 4_000;
const LIMIT: usize = 10 * 1024;

/// Resident memory of this process, in bytes.
#[expect(clippy::disallowed_methods, reason = "the system tells by a file")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's own status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.expect("a size").trim().trim_end_matches(" kB");
    kib.trim().parse::<usize>().expect("a number") * 1024
}

fn endpoint(number: usize, service: &str) -> Endpoint {
    let [_, _, high, low] = u32::try_from(number).expect("few").to_be_bytes();
    Endpoint {
        workload: Arc::new(WorkloadLabels {
            workload: format!("{service}-v1"),
            namespace: "shop".to_owned(),
            app: service.to_owned(),
            version: "v1".to_owned(),
            canonical_service: service.to_owned(),
            canonical_revision: "v1".to_owned(),
            service_account: "default".to_owned(),
            cluster_id: "Kubernetes".to_owned(),
            pod: format!("{service}-v1-5d5c6f7b9c-{number:05}"),
        }),
        ..Endpoint::new(SocketAddr::from(([10, 244, high, low], 9080)))
    }
}

fn add(mesh: &mut MeshConfig, table: &mut RouteTable, number: usize) {
    let service = format!("service-{number:05}");
    let host = format!("{service}.shop.svc.cluster.local");
    let name = format!("outbound|9080||{host}");
    let cluster = Cluster {
        name: name.clone(),
        service: Some(ServiceLabels {
            host: host.clone(),
            name: service.clone(),
            namespace: "shop".to_owned(),
        }),
        ..Cluster::default()
    };
    mesh.clusters.insert(name.clone(), Arc::new(cluster));
    let set = EndpointSet {
        cluster: name.clone(),
        endpoints: vec![
            endpoint(2 * number, &service),
            endpoint(2 * number + 1, &service),
        ],
        ..EndpointSet::default()
    };
    mesh.endpoints.insert(name.clone(), Arc::new(set));
    let forward = Forward {
        clusters: vec![WeightedCluster {
            name,
            weight: 100,
            ..WeightedCluster::default()
        }],
        retry: Some(Retry {
            on: vec!["connect-failure".to_owned(), "refused-stream".to_owned()],
            ..Retry::default()
        }),
        ..Forward::default()
    };
    table.virtual_hosts.push(VirtualHost {
        name: format!("{host}:9080"),
        domains: vec![
            host.clone(),
            service.clone(),
            format!("{service}.shop"),
            format!("{service}.shop.svc"),
            format!("10.96.{}.{}", number / 256, number % 256),
        ],
        routes: vec![Route {
            name: "default".to_owned(),
            action: RouteAction::Forward(forward),
            operation: format!("{host}:9080/*"),
            ..Route::default()
        }],
        include_attempt_count: true,
        ..VirtualHost::default()
    });
}

#[test]
fn service_configured_costs_little_memory() {
    let before = resident();
    let mut mesh = MeshConfig::default();
    let mut table = RouteTable {
        name: "9080".to_owned(),
        ignore_port_in_host: true,
        ..RouteTable::default()
    };
    for number in 0..SERVICES {
        add(&mut mesh, &mut table, number);
    }
    mesh.routes.insert("9080".to_owned(), Arc::new(table));
    let config = Config::new(Arc::new(mesh), None);
    let each = (resident() - before) / SERVICES;
    println!("{each} bytes for each service");
    assert!(each <= LIMIT, "{each} bytes for each service");
    assert_eq!(config.mesh().clusters.len(), SERVICES);
}

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status;

use super::*;
use crate::ads::tests::{cluster, listener, table};
use aviary_mesh::{EndpointSet, MeshConfig};

fn config(names: &[&str], routed: &str) -> Arc<MeshConfig> {
    let mut config = MeshConfig::default();
    for name in names {
        config
            .clusters
            .insert((*name).to_owned(), Arc::new(cluster(name)));
        let set = EndpointSet {
            cluster: (*name).to_owned(),
            endpoints: Vec::new(),
            ..EndpointSet::default()
        };
        config.endpoints.insert((*name).to_owned(), Arc::new(set));
    }
    config
        .listeners
        .insert("0.0.0.0_80".to_owned(), Arc::new(listener(80)));
    config
        .routes
        .insert("80".to_owned(), Arc::new(table(80, routed, 50)));
    Arc::new(config)
}

fn request(kind: Kind, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: kind.type_url().to_owned(),
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn answer(response: &DeltaDiscoveryResponse, refusal: Option<&str>) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        error_detail: refusal.map(|message| Status {
            message: message.to_owned(),
            ..Status::default()
        }),
        ..DeltaDiscoveryRequest::default()
    }
}

fn poll(server: &mut ServerSession, secs: u64) -> Vec<DeltaDiscoveryResponse> {
    std::iter::from_fn(|| server.poll_response(Duration::from_secs(secs)))
        .map(|push| match push {
            Push::Delta(response) => response,
            Push::Sotw(_) => panic!("a delta client"),
        })
        .collect()
}

/// `+name` for what was sent and `-name` for what was removed, by type.
fn summary(responses: &[DeltaDiscoveryResponse]) -> Vec<String> {
    responses
        .iter()
        .map(|response| {
            let kind = Kind::from_type_url(&response.type_url).expect("a known type");
            let added = response.resources.iter().map(|it| format!(" +{}", it.name));
            let removed = response
                .removed_resources
                .iter()
                .map(|name| format!(" -{name}"));
            let names: String = added.chain(removed).collect();
            format!("{kind:?}{names}")
        })
        .collect()
}

/// A client that holds `config(&["a"], "a")`.
fn settled() -> ServerSession {
    let mut server = ServerSession::new();
    server.set_snapshot(Arc::new(Snapshot::new(1, config(&["a"], "a"), None)));
    for request in [
        request(Kind::Cluster, &[]),
        request(Kind::Listener, &[]),
        request(Kind::Endpoints, &["a"]),
        request(Kind::Routes, &["80"]),
    ] {
        server.handle_delta(request);
    }
    loop {
        let responses = poll(&mut server, 0);
        if responses.is_empty() {
            break;
        }
        for response in &responses {
            server.handle_delta(answer(response, None));
        }
    }
    assert_eq!(server.acked(), Some(1));
    server
}

#[test]
fn change_goes_out_in_order_and_removals_last() {
    let mut server = settled();
    server.set_snapshot(Arc::new(Snapshot::new(2, config(&["b"], "b"), None)));
    let mut log = Vec::new();
    let mut responses = poll(&mut server, 0);
    while !responses.is_empty() {
        log.extend(summary(&responses));
        for response in &responses {
            assert_eq!(server.acked(), Some(1));
            if response.type_url == Kind::Cluster.type_url()
                && response.removed_resources.is_empty()
            {
                server.handle_delta(request(Kind::Endpoints, &["b"]));
            }
            server.handle_delta(answer(response, None));
        }
        responses = poll(&mut server, 0);
    }
    assert_eq!(
        log,
        ["Cluster +b", "Endpoints +b", "Routes +80", "Cluster -a"]
    );
    assert_eq!(server.acked(), Some(2));
}

#[test]
fn refused_cluster_holds_routes_back_until_it_changes() {
    let mut server = settled();
    server.set_snapshot(Arc::new(Snapshot::new(2, config(&["a", "b"], "b"), None)));
    let responses = poll(&mut server, 0);
    assert_eq!(summary(&responses), ["Cluster +b"]);
    server.handle_delta(answer(&responses[0], Some("no such thing")));
    assert_eq!(poll(&mut server, 60), []);
    assert_eq!(server.acked(), Some(1));
    let nacks: Vec<_> = server
        .nacks()
        .map(|(kind, nack)| (kind, nack.message.as_str()))
        .collect();
    assert_eq!(nacks, [(Kind::Cluster, "no such thing")]);
    server.set_snapshot(Arc::new(Snapshot::new(3, config(&["a"], "a"), None)));
    assert_eq!(server.acked(), Some(3));
    assert_eq!(server.nacks().count(), 0);
}

#[test]
fn endpoints_change_does_not_wait_for_clusters() {
    let mut server = settled();
    let mut changed = MeshConfig::clone(&config(&["a", "b"], "a"));
    let mut set = EndpointSet {
        cluster: "a".to_owned(),
        endpoints: Vec::new(),
        ..EndpointSet::default()
    };
    set.endpoints.push(aviary_mesh::Endpoint {
        mesh_tls: false,
        address: ([10, 0, 0, 1], 80).into(),
        weight: 1,
        health: aviary_mesh::endpoint::Health::Healthy,
        workload: Arc::default(),
        ..aviary_mesh::Endpoint::new(([127, 0, 0, 1], 1).into())
    });
    changed.endpoints.insert("a".to_owned(), Arc::new(set));
    server.set_snapshot(Arc::new(Snapshot::new(2, Arc::new(changed), None)));
    assert_eq!(
        summary(&poll(&mut server, 0)),
        ["Cluster +b", "Endpoints +a"]
    );
}

#[test]
fn newer_snapshot_replaces_one_that_waits_for_an_answer() {
    let mut server = settled();
    server.set_snapshot(Arc::new(Snapshot::new(2, config(&["a", "b"], "a"), None)));
    let first = poll(&mut server, 0);
    assert_eq!(summary(&first), ["Cluster +b"]);
    server.set_snapshot(Arc::new(Snapshot::new(3, config(&["a", "c"], "a"), None)));
    server.set_snapshot(Arc::new(Snapshot::new(4, config(&["a", "d"], "a"), None)));
    assert_eq!(poll(&mut server, 0), []);
    server.handle_delta(answer(&first[0], None));
    assert_eq!(summary(&poll(&mut server, 0)), ["Cluster +d"]);
}

#[test]
fn client_that_never_asks_for_endpoints_is_waited_for_with_patience() {
    let mut server = settled();
    server.set_snapshot(Arc::new(Snapshot::new(2, config(&["a", "b"], "b"), None)));
    let clusters = poll(&mut server, 10);
    server.handle_delta(answer(&clusters[0], None));
    assert_eq!(poll(&mut server, 10), []);
    assert_eq!(server.wake_at(), Some(Duration::from_secs(15)));
    assert_eq!(summary(&poll(&mut server, 15)), ["Routes +80"]);
}

#[test]
fn unknown_endpoints_are_answered_empty() {
    let mut server = settled();
    server.handle_delta(request(Kind::Endpoints, &["nobody"]));
    assert_eq!(summary(&poll(&mut server, 0)), ["Endpoints +nobody"]);
}

#[test]
fn answer_with_an_old_nonce_is_ignored() {
    let mut server = settled();
    server.set_snapshot(Arc::new(Snapshot::new(2, config(&["a", "b"], "a"), None)));
    let mut response = poll(&mut server, 0).remove(0);
    response.nonce = "1".to_owned();
    server.handle_delta(answer(&response, Some("late")));
    assert_eq!(server.nacks().count(), 0);
}

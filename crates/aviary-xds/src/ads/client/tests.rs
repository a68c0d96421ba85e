use envoy_types::pb::envoy::service::discovery::v3::Resource as Wire;

use super::*;
use crate::Snapshot;
use crate::ads::tests::{cluster, listener, table};

fn config() -> MeshConfig {
    let mut config = MeshConfig::default();
    config
        .clusters
        .insert("a".to_owned(), Arc::new(cluster("a")));
    let set = EndpointSet {
        cluster: "a".to_owned(),
        endpoints: Vec::new(),
        ..EndpointSet::default()
    };
    config.endpoints.insert("a".to_owned(), Arc::new(set));
    config
        .listeners
        .insert("0.0.0.0_80".to_owned(), Arc::new(listener(80)));
    config
        .routes
        .insert("80".to_owned(), Arc::new(table(80, "a", 50)));
    config
}

fn response(kind: Kind, config: &MeshConfig) -> DeltaDiscoveryResponse {
    let snapshot = Snapshot::new(1, Arc::new(config.clone()), None);
    let resources = snapshot.entries(kind).iter().map(|(name, entry)| Wire {
        name: name.clone(),
        version: entry.version.to_string(),
        resource: Some(Any::clone(&entry.body)),
        ..Wire::default()
    });
    DeltaDiscoveryResponse {
        type_url: kind.type_url().to_owned(),
        nonce: "1".to_owned(),
        resources: resources.collect(),
        ..DeltaDiscoveryResponse::default()
    }
}

fn session() -> ClientSession {
    ClientSession::new(Node::default())
}

/// A session that holds all of `config`.
fn complete(config: &MeshConfig) -> ClientSession {
    let mut session = session();
    for kind in Kind::ALL {
        session.handle_response(response(kind, config));
    }
    assert_eq!(session.take_config().as_deref(), Some(config));
    session
}

#[test]
fn config_comes_only_when_everything_named_is_there() {
    let config = config();
    let mut session = session();
    assert_eq!(session.connect().len(), 2);
    let requests = session.handle_response(response(Kind::Cluster, &config));
    assert_eq!(requests[0].resource_names_subscribe, ["a"]);
    assert_eq!(requests[1].error_detail, None);
    session.handle_response(response(Kind::Listener, &config));
    assert_eq!(session.missing(), ["endpoints of `a`", "route table `80`"]);
    session.handle_response(response(Kind::Endpoints, &config));
    assert!(!session.is_ready());
    assert_eq!(session.take_config(), None);
    session.handle_response(response(Kind::Routes, &config));
    assert!(session.is_ready());
    assert_eq!(session.take_config().as_deref(), Some(&config));
    assert_eq!(session.take_config(), None);
}

#[test]
fn bad_resource_is_refused_with_reason_and_the_good_one_is_used() {
    let before = config();
    let mut session = complete(&before);
    let mut after = before.clone();
    after
        .clusters
        .insert("b".to_owned(), Arc::new(cluster("b")));
    let mut changed = cluster("a");
    changed.limits.max_requests = Some(3);
    after.clusters.insert("a".to_owned(), Arc::new(changed));
    let mut message = response(Kind::Cluster, &after);
    message.resources[0].resource = Some(Any::default());
    let answer = session.handle_response(message).pop().expect("an answer");
    let reason = answer.error_detail.expect("a refusal").message;
    assert!(reason.starts_with("cluster `a`: "), "{reason}");
    assert_eq!(session.last_nack(), Some(reason.as_str()));
    session.handle_response(response(Kind::Endpoints, &after));
    assert_eq!(session.clusters["a"].value, before.clusters["a"]);
    assert!(session.clusters.contains_key("b"));
}

#[test]
fn new_cluster_waits_for_its_endpoints_while_the_rest_goes_on() {
    let before = config();
    let mut session = complete(&before);
    let mut after = before;
    after
        .clusters
        .insert("b".to_owned(), Arc::new(cluster("b")));
    session.handle_response(response(Kind::Cluster, &after));
    assert_eq!(session.take_config(), None);
    let set = EndpointSet {
        cluster: "b".to_owned(),
        endpoints: Vec::new(),
        ..EndpointSet::default()
    };
    after.endpoints.insert("b".to_owned(), Arc::new(set));
    session.handle_response(response(Kind::Endpoints, &after));
    assert_eq!(session.take_config().as_deref(), Some(&after));
}

#[test]
fn reconnect_tells_what_is_here() {
    let mut session = complete(&config());
    let requests = session.connect();
    assert_eq!(requests.len(), 4);
    assert!(requests[0].node.is_some());
    for request in requests {
        assert_eq!(
            request.initial_resource_versions.len(),
            1,
            "{}",
            request.type_url
        );
    }
}

#[test]
fn removed_route_table_leaves_the_last_one_in_use() {
    let config = config();
    let mut session = complete(&config);
    session.handle_response(DeltaDiscoveryResponse {
        type_url: Kind::Routes.type_url().to_owned(),
        removed_resources: vec!["80".to_owned()],
        ..DeltaDiscoveryResponse::default()
    });
    assert_eq!(session.take_config(), None);
}

#[test]
fn cluster_waits_for_its_secret_and_keeps_the_old_form_meanwhile() {
    use aviary_mesh::tls::{
        Certificate, ClusterTls, Private, Secret, SecretKind, Source, UpstreamTls,
    };
    let with_secret = |name: &str| {
        let mut cluster = cluster("a");
        cluster.tls = ClusterTls {
            matches: Vec::new(),
            fallback: Some(Arc::new(UpstreamTls {
                certificates: vec![Certificate::Secret(name.to_owned())],
                ..UpstreamTls::default()
            })),
        };
        Arc::new(cluster)
    };
    let secret = |name: &str| {
        Arc::new(Secret {
            name: name.to_owned(),
            kind: SecretKind::Certificate {
                chain: Source::Text("c".to_owned()),
                key: Private::new(Source::Text("k".to_owned())),
            },
        })
    };
    let mut before = config();
    before.clusters.insert("a".to_owned(), with_secret("one"));
    before.secrets.insert("one".to_owned(), secret("one"));
    let mut session = complete(&before);
    let mut after = before.clone();
    after.clusters.insert("a".to_owned(), with_secret("two"));
    after.secrets = [("two".to_owned(), secret("two"))].into();
    let requests = session.handle_response(response(Kind::Cluster, &after));
    let asked = requests
        .iter()
        .find(|request| request.type_url == Kind::Secrets.type_url())
        .expect("a subscription");
    assert_eq!(asked.resource_names_subscribe, ["two"]);
    assert_eq!(asked.resource_names_unsubscribe, ["one"]);
    assert_eq!(session.take_config(), None);
    session.handle_response(response(Kind::Secrets, &after));
    assert_eq!(session.take_config().as_deref(), Some(&after));
}

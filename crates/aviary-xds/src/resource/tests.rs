mod arbitrary;

use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3::Listener as ProtoListener;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, route::Action};
use proptest::prelude::*;

use super::*;

/// The same value back.
fn check(resource: &Resource) -> Result<(), TestCaseError> {
    let any = resource.encode();
    let back = Resource::decode(resource.kind(), resource.name(), &any);
    prop_assert_eq!(back.as_ref(), Ok(resource));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cluster_encoded_and_decoded_is_the_same(cluster in arbitrary::cluster()) {
        check(&Resource::Cluster(Arc::new(cluster)))?;
    }

    #[test]
    fn endpoints_encoded_and_decoded_are_the_same(set in arbitrary::endpoints()) {
        check(&Resource::Endpoints(Arc::new(set)))?;
    }

    #[test]
    fn listener_encoded_and_decoded_is_the_same(listener in arbitrary::listener()) {
        check(&Resource::Listener(Arc::new(listener)))?;
    }

    #[test]
    fn routes_encoded_and_decoded_are_the_same(table in arbitrary::table()) {
        check(&Resource::Routes(Arc::new(table)))?;
    }
}

fn table_with_route() -> RouteConfiguration {
    let forward = aviary_mesh::route::Forward {
        clusters: vec![aviary_mesh::route::WeightedCluster {
            name: "a".to_owned(),
            weight: 100,
            ..Default::default()
        }],
        ..Default::default()
    };
    let route = aviary_mesh::Route {
        action: aviary_mesh::route::RouteAction::Forward(forward),
        ..aviary_mesh::Route::default()
    };
    route::to_proto(&RouteTable {
        name: "9080".to_owned(),
        virtual_hosts: vec![aviary_mesh::VirtualHost {
            name: "reviews:9080".to_owned(),
            domains: vec!["reviews".to_owned()],
            routes: vec![route],
            include_attempt_count: true,
            ..aviary_mesh::VirtualHost::default()
        }],
        ignore_port_in_host: true,
        ..RouteTable::default()
    })
}

fn refusal(proto: &RouteConfiguration) -> String {
    Resource::decode(Kind::Routes, "9080", &value::any(proto))
        .unwrap_err()
        .to_string()
}

#[test]
fn decode_unknown_field_is_refused_with_its_path() {
    let mut proto = table_with_route();
    let Some(Action::Route(action)) = &mut proto.virtual_hosts[0].routes[0].action else {
        panic!("a forward")
    };
    action.metadata_match = Some(envoy_types::pb::envoy::config::core::v3::Metadata::default());
    assert_eq!(
        refusal(&proto),
        "route table `9080`: virtual_hosts[0].routes[0].route.metadata_match: is not supported"
    );
}

#[test]
fn decode_bad_regex_is_refused_with_its_path() {
    let mut proto = table_with_route();
    let matches = proto.virtual_hosts[0].routes[0]
        .r#match
        .as_mut()
        .expect("a match");
    matches.path_specifier = Some(
        envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier::SafeRegex(
            matches::regex("("),
        ),
    );
    let text = refusal(&proto);
    assert!(
        text.starts_with("route table `9080`: virtual_hosts[0].routes[0].match.safe_regex: "),
        "{text}"
    );
}

#[test]
fn decode_unknown_filter_is_refused_with_its_path() {
    let mut proto = ProtoListener {
        name: "l".to_owned(),
        ..ProtoListener::default()
    };
    proto.address = value::address("127.0.0.1:80".parse().expect("an address"));
    proto
        .filter_chains
        .push(envoy_types::pb::envoy::config::listener::v3::FilterChain {
            filters: vec![envoy_types::pb::envoy::config::listener::v3::Filter {
                name: "envoy.filters.network.rbac".to_owned(),
                config_type: Some(
                    envoy_types::pb::envoy::config::listener::v3::filter::ConfigType::TypedConfig(
                        Any::default(),
                    ),
                ),
            }],
            ..Default::default()
        });
    let error = Resource::decode(Kind::Listener, "l", &value::any(&proto)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "listener `l`: filter_chains[0].filters[0].typed_config: filter `` is not supported here; \
         use envoy.filters.network.http_connection_manager or envoy.filters.network.tcp_proxy"
    );
}

#[test]
fn decode_other_name_or_type_is_refused() {
    let proto = table_with_route();
    let any = value::any(&proto);
    let error = Resource::decode(Kind::Routes, "8080", &any).unwrap_err();
    assert_eq!(
        error.to_string(),
        "route table `8080`: name: is `9080` inside"
    );
    assert!(Resource::decode(Kind::Cluster, "9080", &any).is_err());
}

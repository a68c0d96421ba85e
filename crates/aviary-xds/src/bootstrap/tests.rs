use std::path::PathBuf;

use envoy_types::pb::envoy::config::cluster::v3::Cluster as ProtoCluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::google::protobuf::Duration;
use serde_json::json;

use super::*;

fn refused(text: &str) -> String {
    Bootstrap::read(text).unwrap_err().to_string()
}

#[test]
fn read_admin_and_node_are_found() {
    let text = "
        node: {id: me, cluster: mine, metadata: {ROLE: {a: [1, true, null]}}}
        admin: {address: {socket_address: {address: 127.0.0.1, portValue: 9901}}}";
    let bootstrap = Bootstrap::read(text).unwrap();
    assert_eq!(bootstrap.node.id, "me");
    assert_eq!(bootstrap.admin, Some("127.0.0.1:9901".parse().unwrap()));
    assert_eq!(bootstrap.config, MeshConfig::default());
    assert_eq!(bootstrap.ads, None);
    assert_eq!(
        crate::name::metadata_of(&bootstrap.node)["ROLE"],
        json!({"a": [1.0, true, null]})
    );
}

#[test]
fn read_what_cannot_be_used_is_refused_with_its_place() {
    for (text, error) in [
        ("[]", "expected a mapping, found a list"),
        (
            "static_resources: {listener: []}",
            "static_resources.listener: `StaticResources` has no such field; did you mean `listeners`?",
        ),
        ("qqq: 1", "qqq: `Bootstrap` has no such field"),
        (
            "static_resources: {clusters: [{name: a, connect_timeout: 1}]}",
            "static_resources.clusters[0].connect_timeout: expected a text, found 1: put it in quotes",
        ),
        (
            "static_resources: {clusters: [{name: a, connect_timeout: 1m}]}",
            "static_resources.clusters[0].connect_timeout: `1m` is not a duration such as `1.5s`",
        ),
        (
            "static_resources: {clusters: [{name: a, lb_policy: BEST}]}",
            "static_resources.clusters[0].lb_policy: `BEST` is none of ROUND_ROBIN, LEAST_REQUEST, RING_HASH, RANDOM, \
             MAGLEV, CLUSTER_PROVIDED, LOAD_BALANCING_POLICY_CONFIG",
        ),
        (
            "static_resources: {clusters: [{name: a, type: STATIC, cluster_type: {name: b}}]}",
            "static_resources.clusters[0].cluster_type: cannot stand beside `type`",
        ),
        (
            "static_resources: {listeners: [{name: a, filter_chains: [{filters: [{name: b, typed_config: {}}]}]}]}",
            "static_resources.listeners[0].filter_chains[0].filters[0].typed_config.@type: is missing: it says what \
             this is, as `type.googleapis.com/envoy.…`",
        ),
        (
            "static_resources: {listeners: [{listener_filters: [{typed_config: {'@type': x/a.B}}]}]}",
            "static_resources.listeners[0].listener_filters[0].typed_config.@type: `a.B` is not supported; take out \
             what it configures",
        ),
        (
            "static_resources: {clusters: [{name: a, typed_extension_protocol_options: {x: 1}}]}",
            "static_resources.clusters[0].typed_extension_protocol_options[x]: expected a mapping, found 1",
        ),
        (
            "overload_manager: {refresh_interval: 1s}",
            "overload_manager.refresh_interval: is not supported; take it out",
        ),
        (
            "admin: {profile_path: /tmp/x}",
            "admin.profile_path: is not supported",
        ),
        (
            "static_resources: {clusters: [{name: a, per_connection_buffer_limit_bytes: 4294967296}]}",
            "static_resources.clusters[0].per_connection_buffer_limit_bytes: 4294967296 is not from 0 to 4294967295",
        ),
    ] {
        assert_eq!(refused(text), error, "{text}");
    }
}

#[test]
fn any_of_a_well_known_type_holds_its_value() {
    let schema = Schema::new();
    let any = |value| {
        encode::message(
            &schema,
            "envoy.config.core.v3.Metadata",
            &json!({
                "typed_filter_metadata": {"x": value},
            }),
            0,
        )
    };
    let bytes =
        any(json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "a"}));
    let metadata = Metadata::decode(bytes.unwrap().as_slice()).unwrap();
    let any_of = &metadata.typed_filter_metadata["x"];
    assert_eq!(any_of.value, b"\x0a\x01a");
    for wrong in [
        json!({"@type": "type.googleapis.com/google.protobuf.StringValue"}),
        json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": 1}),
        json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "a", "b": 1}),
    ] {
        assert!(any(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn message_written_in_json_is_the_message() {
    let schema = Schema::new();
    let value = json!({
        "name": "a",
        "type": "STRICT_DNS",
        "connectTimeout": "0.25s",
        "per_connection_buffer_limit_bytes": 32768,
        "outlier_detection": null,
        "close_connections_on_host_health_failure": true,
        "common_lb_config": {"healthy_panic_threshold": {"value": 12.5}},
        "typed_extension_protocol_options": {
            "x": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {"max_concurrent_streams": "7"}},
            },
        },
    });
    let bytes = encode::message(&schema, "envoy.config.cluster.v3.Cluster", &value, 0).unwrap();
    let cluster = ProtoCluster::decode(bytes.as_slice()).unwrap();
    assert_eq!(cluster.name, "a");
    assert_eq!(
        cluster.cluster_discovery_type,
        Some(ClusterDiscoveryType::Type(1))
    );
    assert_eq!(
        cluster.connect_timeout,
        Some(Duration {
            seconds: 0,
            nanos: 250_000_000
        })
    );
    assert_eq!(
        cluster.per_connection_buffer_limit_bytes.unwrap().value,
        32768
    );
    assert_eq!(cluster.outlier_detection, None);
    assert!(cluster.close_connections_on_host_health_failure);
    let panic = cluster.common_lb_config.unwrap().healthy_panic_threshold;
    assert!((panic.unwrap().value - 12.5).abs() < 1e-9);
    let options = &cluster.typed_extension_protocol_options["x"];
    let options = HttpProtocolOptions::decode(options.value.as_slice()).unwrap();
    assert!(
        format!("{options:?}").contains("max_concurrent_streams: Some(UInt32Value { value: 7 })")
    );
}

const ADS: &str = "
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: control}, initial_metadata: [{key: authorization, value: Bearer x}]}]
  cds_config: {ads: {}}
  lds_config: {ads: {}}
static_resources:
  clusters:
  - name: control
    type: STATIC
    load_assignment:
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: /run/xds.sock}}}}]}]
";

#[test]
fn read_ads_over_a_unix_socket_takes_its_cluster_from_traffic() {
    let bootstrap = Bootstrap::read(ADS).unwrap();
    assert_eq!(
        bootstrap.ads,
        Some(Ads {
            cluster: "control".into(),
            server: Server::Unix(PathBuf::from("/run/xds.sock")),
            metadata: vec![("authorization".into(), "Bearer x".into())],
        })
    );
    assert!(bootstrap.config.clusters.is_empty());
}

#[test]
fn read_ads_that_is_not_served_is_refused() {
    assert_eq!(
        refused(&ADS.replace("DELTA_GRPC", "GRPC")),
        "dynamic_resources.ads_config.api_type: write `DELTA_GRPC`: no other form is supported"
    );
    assert_eq!(
        refused(&ADS.replace("cluster_name: control", "cluster_name: other")),
        "dynamic_resources.ads_config.grpc_services[0].envoy_grpc.cluster_name: `other` is none of \
         static_resources.clusters"
    );
    assert_eq!(
        refused(&ADS.replace("cds_config: {ads: {}}", "cds_config: {path: /x}")),
        "dynamic_resources.cds_config: write `{ads: {}}`: dynamic resources come by ADS only"
    );
}

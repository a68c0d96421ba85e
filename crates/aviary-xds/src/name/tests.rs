use super::*;

#[test]
fn outbound_cluster_parsed_and_printed_is_the_same() {
    let text = "outbound|9080|v1|reviews.prod.svc.cluster.local";
    let cluster: OutboundCluster = text.parse().expect("a name");
    assert_eq!(cluster.port, 9080);
    assert_eq!(cluster.subset, "v1");
    assert_eq!(cluster.host, "reviews.prod.svc.cluster.local");
    assert_eq!(cluster.to_string(), text);
    for bad in ["inbound|9080||", "outbound|x||h", "outbound|1|v", ""] {
        assert!(bad.parse::<OutboundCluster>().is_err(), "{bad}");
    }
    assert_eq!(inbound_cluster(9080), "inbound|9080||");
}

#[test]
fn node_id_parsed_and_printed_is_the_same() {
    let text = "router~10.244.0.5~gateway-7.x.prod~prod.svc.cluster.local";
    let id: NodeId = text.parse().expect("a node id");
    assert_eq!(id.kind, NodeKind::Router);
    assert_eq!(
        (id.pod.as_str(), id.namespace.as_str()),
        ("gateway-7.x", "prod")
    );
    assert_eq!(id.to_string(), text);
    for bad in [
        "",
        "sidecar~x~a.b~c",
        "ztunnel~1.1.1.1~a.b~c",
        "sidecar~1.1.1.1~a~c",
    ] {
        assert_eq!(
            bad.parse::<NodeId>().expect_err("a bad id").to_string(),
            format!("`{bad}` is not a node id")
        );
    }
}

#[test]
fn node_metadata_comes_back() {
    let id: NodeId = "sidecar~10.0.0.1~a.b~b.svc.cluster.local"
        .parse()
        .expect("a node id");
    let json = serde_json::json!({
        "LABELS": {"app": "a", "version": "v1"},
        "INSTANCE_IPS": ["10.0.0.1"],
        "ON": true,
        "NOTHING": null,
    });
    let serde_json::Value::Object(metadata) = json else {
        panic!("an object")
    };
    let node = node(&id, metadata.clone());
    assert_eq!(node.id, id.to_string());
    assert_eq!(metadata_of(&node), metadata);
}

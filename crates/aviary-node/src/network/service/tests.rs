use serde_json::{from_value, json};

use super::*;

fn service(cluster_ip: &str) -> Service {
    from_value(json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": cluster_ip, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    }))
    .unwrap()
}

fn slice(addresses: &[(&str, bool)]) -> EndpointSlice {
    let endpoints: Vec<_> = addresses
        .iter()
        .map(|(address, ready)| json!({"addresses": [address], "conditions": {"ready": ready}}))
        .collect();
    from_value(json!({
        "metadata": {"name": "web-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }))
    .unwrap()
}

#[test]
fn ports_take_ready_endpoints_only() {
    let slice = slice(&[
        ("10.244.0.3", true),
        ("10.244.0.2", true),
        ("10.244.0.4", false),
    ]);
    let expected = ServicePort {
        address: Ipv4Addr::new(10, 96, 0, 7),
        port: 80,
        protocol: Protocol::Tcp,
        endpoints: vec![
            (Ipv4Addr::new(10, 244, 0, 2), 8080),
            (Ipv4Addr::new(10, 244, 0, 3), 8080),
        ],
    };
    assert_eq!(ports([&service("10.96.0.7")], &[&slice]), [expected]);
}

#[test]
fn ports_of_headless_service_are_none() {
    assert_eq!(
        ports([&service("None")], &[&slice(&[("10.244.0.2", true)])]),
        []
    );
}

#[test]
fn rules_choose_among_endpoints_and_mask_hairpins() {
    let slice = slice(&[("10.244.0.2", true), ("10.244.0.3", true)]);
    let text = rules(&ports([&service("10.96.0.7")], &[&slice]));
    let line = "ip daddr 10.96.0.7 tcp dport 80 dnat ip addr . port to numgen random mod 2 map \
                { 0 : 10.244.0.2 . 8080, 1 : 10.244.0.3 . 8080 }";
    assert!(text.contains(line), "{text}");
    let pairs =
        "ip saddr . ip daddr { 10.244.0.2 . 10.244.0.2, 10.244.0.3 . 10.244.0.3 } masquerade";
    assert!(text.contains(pairs), "{text}");
}

#[test]
fn rules_without_endpoints_translate_nothing() {
    let text = rules(&ports([&service("10.96.0.7")], &[]));
    assert!(!text.contains("dnat"), "{text}");
    assert!(text.contains("reject with tcp reset"), "{text}");
}

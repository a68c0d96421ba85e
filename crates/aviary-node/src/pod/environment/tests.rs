use serde_json::{from_value, json};

use super::*;

#[test]
fn expand_known_unknown_and_escaped() {
    let known = [("A", "1"), ("B", "2"), ("A", "3")].map(|(n, v)| (n.to_owned(), v.to_owned()));
    for (text, expected) in [
        ("x$(A)y$(B)", "x3y2"),
        ("$(C)", "$(C)"),
        ("$$(A)", "$(A)"),
        ("$A $(A", "$A $(A"),
        ("100$", "100$"),
    ] {
        assert_eq!(expand(text, &known), expected, "{text}");
    }
}

#[test]
fn field_gives_names_labels_and_addresses() {
    let pod: Pod = from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "labels": {"app.kubernetes.io/name": "x", "v": "1"}},
        "spec": {"containers": [], "serviceAccountName": "sa"},
    }))
    .unwrap();
    let place = Place {
        address: Ipv4Addr::new(10, 244, 0, 5),
        host_address: Ipv4Addr::LOCALHOST,
        node_name: "aviary",
    };
    for (path, expected) in [
        ("metadata.name", Some("p")),
        ("metadata.labels['app.kubernetes.io/name']", Some("x")),
        ("metadata.labels['none']", Some("")),
        (
            "metadata.labels",
            Some("app.kubernetes.io/name=\"x\"\nv=\"1\""),
        ),
        ("status.podIP", Some("10.244.0.5")),
        ("spec.serviceAccountName", Some("sa")),
        ("spec.nodeName", Some("aviary")),
        ("spec.unknown", None),
    ] {
        assert_eq!(field(&pod, path, place).as_deref(), expected, "{path}");
    }
}

#[test]
fn service_links_of_own_namespace_and_api_server() {
    let service = |namespace: &str, name: &str, address: &str| -> Service {
        from_value(json!({
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": address, "ports": [{"name": "http", "port": 80}]},
        }))
        .unwrap()
    };
    let services = [
        service("n", "my-web", "10.96.0.7"),
        service("n", "headless", "None"),
        service("other", "web", "10.96.0.8"),
        service("default", "kubernetes", "10.96.0.1"),
    ];
    let links = service_links(&services, "n", true);
    let names: Vec<&str> = links
        .iter()
        .map(|(n, _)| n.as_str())
        .filter(|n| n.ends_with("HOST"))
        .collect();
    assert_eq!(names, ["KUBERNETES_SERVICE_HOST", "MY_WEB_SERVICE_HOST"]);
    let value = |name: &str| {
        links
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(value("MY_WEB_SERVICE_PORT_HTTP"), Some("80"));
    assert_eq!(value("MY_WEB_PORT_80_TCP"), Some("tcp://10.96.0.7:80"));
    assert_eq!(
        service_links(&services, "n", false)
            .iter()
            .filter(|(n, _)| n.starts_with("MY"))
            .count(),
        0
    );
}

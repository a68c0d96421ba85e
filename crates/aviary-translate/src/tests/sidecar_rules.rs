//! Sidecars: protocols, names, passthrough, inbound.

use aviary_mesh::{
    cluster::Limits,
    endpoint::Health::{Draining, Healthy},
    resolve,
};

use super::support::{Mesh, bookinfo, service, service_on};
use crate::analyze;

const OUT: &str = "virtualOutbound";

#[test]
fn host_forms_reach_the_service() {
    let mesh = Mesh::new(&bookinfo("prod"));
    let page = mesh.sidecar("prod", &[("app", "productpage")]);
    let far = mesh.sidecar("other", &[("app", "client")]);
    let reviews = "outbound|9080||reviews.prod.svc.cluster.local";
    let call = |host: &str| format!("GET {host} /");
    for host in [
        "reviews",
        "reviews:9080",
        "REVIEWS",
        "reviews.prod",
        "reviews.prod.svc",
        "reviews.prod.svc.cluster.local:9080",
        "10.96.0.13:9080",
    ] {
        assert_eq!(
            page.call(OUT, "10.96.0.13:9080", &call(host)),
            reviews,
            "{host}"
        );
    }
    assert_eq!(
        far.call(OUT, "10.96.0.13:9080", &call("reviews.prod")),
        reviews
    );
    assert_eq!(
        far.call(OUT, "10.96.0.13:9080", &call("reviews")),
        "PassthroughCluster"
    );
}

#[test]
fn unknown_destinations_pass_through() {
    let mesh = Mesh::new(&bookinfo("prod"));
    let page = mesh.sidecar("prod", &[("app", "productpage")]);
    assert_eq!(page.call(OUT, "1.2.3.4:443", ""), "tcp PassthroughCluster");
    assert_eq!(
        page.call(OUT, "1.2.3.4:9080", "GET example.com /"),
        "PassthroughCluster"
    );
}

#[test]
fn port_protocols_choose_listeners() {
    let pods = [("v1", "10.244.0.21")];
    let mesh = Mesh::new(
        &(service_on("prod", "db", "10.96.0.21", "mysql", 3306, 3306, &pods)
            + &service_on("prod", "odd", "10.96.0.22", "", 7000, 7001, &pods)),
    );
    let client = mesh.sidecar("prod", &[("app", "client")]);
    let db = "tcp outbound|3306||db.prod.svc.cluster.local";
    assert_eq!(client.call(OUT, "10.96.0.21:3306", ""), db);
    let odd = "outbound|7000||odd.prod.svc.cluster.local";
    assert_eq!(client.call(OUT, "10.96.0.22:7000", "GET odd:7000 /"), odd);
    assert_eq!(
        client.call(OUT, "10.96.0.22:7000", ""),
        format!("tcp {odd}")
    );
    assert_eq!(client.endpoints(odd), ["10.244.0.21:7001"]);
    let own = mesh.sidecar("prod", &[("app", "odd"), ("version", "v1")]);
    let inbound = |request: &str| own.call("virtualInbound", "10.244.0.21:7001", request);
    assert_eq!(inbound("GET odd /"), "inbound|7001||");
    assert_eq!(inbound(""), "tcp inbound|7001||");
}

#[test]
fn inbound_leads_to_the_workloads_own_port() {
    let mesh = Mesh::new(&bookinfo("prod"));
    let reviews = mesh.sidecar("prod", &[("app", "reviews"), ("version", "v1")]);
    let call =
        |destination: &str, request: &str| reviews.call("virtualInbound", destination, request);
    assert_eq!(
        call("10.244.0.13:9080", "GET reviews:9080 /"),
        "inbound|9080||"
    );
    assert_eq!(
        call("10.244.0.13:5000", ""),
        "tcp InboundPassthroughCluster"
    );
    assert_eq!(call("10.244.0.13:15006", ""), "tcp BlackHoleCluster");
    assert!(!reviews.config.clusters.contains_key("inbound|9090||"));
}

#[test]
fn named_target_port_is_looked_up_in_the_pod() {
    let mesh = Mesh::new(
        "kind: Service\nmetadata: {name: a, namespace: prod}\n\
         spec: {clusterIP: 10.96.0.9, selector: {app: a}, ports: [{name: http, port: 80, targetPort: web}]}\n\
         ---\nkind: Pod\nmetadata: {name: a-1, namespace: prod, labels: {app: a}}\n\
         spec: {containers: [{name: a, ports: [{name: web, containerPort: 8123}]}]}",
    );
    let own = mesh.sidecar("prod", &[("app", "a")]);
    assert_eq!(
        own.call("virtualInbound", "10.244.0.9:8123", "GET a /"),
        "inbound|8123||"
    );
}

#[test]
fn oldest_rules_of_a_host_win_and_others_are_remarked() {
    let rules = |name: &str, second: u32, status: u32| {
        format!(
            "---\nkind: VirtualService\nmetadata: {{name: {name}, namespace: prod, creationTimestamp: '2026-01-01T00:00:0{second}Z'}}\n\
             spec: {{hosts: [reviews], http: [{{directResponse: {{status: {status}}}}}]}}\n"
        )
    };
    let mesh = Mesh::new(&(bookinfo("prod") + &rules("a", 5, 201) + &rules("b", 1, 202)));
    let page = mesh.sidecar("prod", &[("app", "productpage")]);
    assert_eq!(page.call(OUT, "10.96.0.13:9080", "GET reviews /"), "202 ");
    let found = analyze(&mesh.snapshot);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].code, found[0].object.name.as_str()),
        ("AV0109", "a")
    );
}

#[test]
fn exact_host_beats_wildcard() {
    let rules = |name: &str, host: &str, status: u32| {
        format!(
            "---\nkind: VirtualService\nmetadata: {{name: {name}, namespace: prod}}\n\
             spec: {{hosts: ['{host}'], http: [{{directResponse: {{status: {status}}}}}]}}\n"
        )
    };
    let input = bookinfo("prod")
        + &rules("a", "*.prod.svc.cluster.local", 201)
        + &rules("b", "reviews", 202);
    let mesh = Mesh::new(&input);
    let page = mesh.sidecar("prod", &[("app", "productpage")]);
    assert_eq!(page.call(OUT, "10.96.0.13:9080", "GET reviews /"), "202 ");
    assert_eq!(page.call(OUT, "10.96.0.12:9080", "GET details /"), "201 ");
}

#[test]
fn source_labels_and_port_narrow_a_rule() {
    let mesh = Mesh::new(
        &(bookinfo("prod")
            + "---\nkind: VirtualService\nmetadata: {name: a, namespace: prod}\n\
               spec:\n  hosts: [reviews]\n  http:\n\
               \x20 - {match: [{sourceLabels: {app: productpage}}], directResponse: {status: 201}}\n\
               \x20 - {match: [{port: 80}], directResponse: {status: 202}}\n\
               \x20 - {match: [{withoutHeaders: {x-beta: {exact: 'on'}}, method: {exact: GET}}], directResponse: {status: 203}}\n\
               \x20 - {match: [{queryParams: {v: {regex: '[0-9]+'}}}], directResponse: {status: 204}}\n"),
    );
    let page = mesh.sidecar("prod", &[("app", "productpage")]);
    let other = mesh.sidecar("prod", &[("app", "other")]);
    let at = "10.96.0.13:9080";
    assert_eq!(page.call(OUT, at, "GET reviews /"), "201 ");
    assert_eq!(other.call(OUT, at, "GET reviews /"), "203 ");
    assert_eq!(other.call(OUT, at, "GET reviews / x-beta=on"), "404 NR");
    assert_eq!(other.call(OUT, at, "POST reviews /?v=12"), "204 ");
    assert_eq!(other.call(OUT, at, "POST reviews /?v=x"), "404 NR");
}

#[test]
fn policy_layers_override_section_by_section() {
    let mesh = Mesh::new(
        &(bookinfo("prod")
            + "---\nkind: DestinationRule\nmetadata: {name: a, namespace: prod}\n\
               spec:\n  host: reviews\n\
               \x20 trafficPolicy: {loadBalancer: {simple: RANDOM}, connectionPool: {tcp: {maxConnections: 7, connectTimeout: 1s}}}\n\
               \x20 subsets:\n\
               \x20 - {name: v1, labels: {version: v1}, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 0, consecutiveGatewayErrors: 3}}}\n\
               \x20 - {name: v2, labels: {version: v2}, trafficPolicy: {portLevelSettings: [{port: {number: 9080}, connectionPool: {http: {maxRetries: 2}}}]}}\n"),
    );
    let page = mesh.sidecar("prod", &[("app", "productpage")]);
    let cluster = |subset: &str| {
        &page.config.clusters[&format!("outbound|9080|{subset}|reviews.prod.svc.cluster.local")]
    };
    let v1 = cluster("v1");
    assert_eq!(v1.balance, aviary_mesh::cluster::Balance::Random);
    assert_eq!(v1.limits.max_connections, Some(7));
    assert_eq!(v1.connect_timeout, std::time::Duration::from_secs(1));
    let outlier = v1.outlier.as_ref().unwrap();
    assert_eq!(
        (outlier.consecutive_5xx, outlier.consecutive_gateway_errors),
        (None, Some(3))
    );
    let v2 = cluster("v2");
    assert_eq!(v2.balance, aviary_mesh::cluster::Balance::LeastRequest);
    assert_eq!(
        v2.limits,
        Limits {
            max_retries: Some(2),
            ..Limits::default()
        }
    );
    assert_eq!(cluster("").outlier, None);
}

#[test]
fn clients_namespace_rule_wins_entirely() {
    let rule = |namespace: &str, host: &str, subset: &str| {
        format!(
            "---\nkind: DestinationRule\nmetadata: {{name: a, namespace: {namespace}}}\n\
             spec: {{host: {host}, subsets: [{{name: {subset}, labels: {{version: v1}}}}]}}\n"
        )
    };
    let fqdn = "reviews.prod.svc.cluster.local";
    let mesh = Mesh::new(
        &(bookinfo("prod") + &rule("prod", "reviews", "own") + &rule("far", fqdn, "theirs")),
    );
    let has = |namespace: &str, subset: &str| {
        let name = format!("outbound|9080|{subset}|{fqdn}");
        mesh.sidecar(namespace, &[("app", "x")])
            .config
            .clusters
            .contains_key(&name)
    };
    assert!(has("prod", "own") && !has("prod", "theirs"));
    assert!(has("far", "theirs") && !has("far", "own"));
    assert!(has("third", "own") && !has("third", "theirs"));
}

#[test]
fn endpoints_lane_equals_full_translation() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    let key = crate::ProxyKey {
        kind: crate::ProxyKind::Sidecar,
        namespace: "prod".to_owned(),
        labels: [("app".to_owned(), "reviews".to_owned())].into(),
    };
    let (before, _) = crate::translate(&mesh.snapshot, &key);
    mesh.apply(&service(
        "prod",
        "details",
        "10.96.0.12",
        &[("v1", "10.244.0.99")],
    ));
    let lane = crate::translate_endpoints(&mesh.snapshot, &key, &before);
    let (full, _) = crate::translate(&mesh.snapshot, &key);
    assert_eq!(lane, full);
    assert_ne!(lane, before);
    let compiled = aviary_mesh::compiled::Config::new(std::sync::Arc::new(lane), None);
    let bound = &compiled.mesh().listeners["virtualInbound"];
    assert!(resolve::chain(&compiled, bound, &resolve::Connection::default()).is_some());
}

#[test]
fn terminating_endpoints_drain_and_unready_ones_are_left_out() {
    let mesh = Mesh::new(
        &(service("prod", "a", "10.96.0.9", &[])
            + "kind: EndpointSlice\nmetadata: {name: a-2, namespace: prod, labels: {kubernetes.io/service-name: a}}\n\
               addressType: IPv4\nports: [{name: http, port: 9080}]\nendpoints:\n\
               - {addresses: ['10.244.0.1'], conditions: {ready: true}}\n\
               - {addresses: ['10.244.0.2'], conditions: {ready: false, serving: true, terminating: true}}\n\
               - {addresses: ['10.244.0.3'], conditions: {ready: false, serving: false}}\n"),
    );
    let client = mesh.sidecar("prod", &[("app", "x")]);
    let set = &client.config.endpoints["outbound|9080||a.prod.svc.cluster.local"];
    let found: Vec<_> = set
        .endpoints
        .iter()
        .map(|one| (one.address.to_string(), one.health))
        .collect();
    assert_eq!(
        found,
        [
            ("10.244.0.1:9080".to_owned(), Healthy),
            ("10.244.0.2:9080".to_owned(), Draining)
        ]
    );
}

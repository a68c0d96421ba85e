//! Policies of routes and Services: origins, faults, hashes, warm-up, pools, ejection.

use std::time::Duration;

use aviary_mesh::{
    ChainAction, Cluster,
    cluster::{Balance, SlowStart, UpstreamProtocol},
    route::{FaultAbort, Forward, HashOf, Route, RouteAction},
};

use super::support::{Mesh, bookinfo, service_on};

const REVIEWS: &str = "outbound|9080||reviews.prod.svc.cluster.local";

/// The first route to `reviews`, for a client in its namespace.
fn route(mesh: &Mesh) -> Route {
    let client = mesh.sidecar("prod", &[("app", "productpage")]);
    let table = &client.config.routes["9080"];
    let host = table
        .virtual_hosts
        .iter()
        .find(|host| host.name.starts_with("reviews."));
    host.expect("its virtual host").routes[0].clone()
}

fn forward(mesh: &Mesh) -> Forward {
    match route(mesh).action {
        RouteAction::Forward(forward) => forward,
        other => panic!("{other:?}"),
    }
}

fn cluster(mesh: &Mesh, name: &str) -> Cluster {
    let client = mesh.sidecar("prod", &[("app", "productpage")]);
    Cluster::clone(&client.config.clusters[name])
}

/// Bookinfo with a policy for `reviews`.
fn with_policy(policy: &str) -> Mesh {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(&format!(
        "kind: DestinationRule\nmetadata: {{name: reviews, namespace: prod}}\n\
         spec: {{host: reviews, trafficPolicy: {policy}, subsets: [{{name: v1, labels: {{version: v1}}, \
         trafficPolicy: {{loadBalancer: {{consistentHash: {{useSourceIp: true, maglev: {{tableSize: 11}}}}}}}}}}]}}"
    ));
    mesh
}

/// Bookinfo with a rule for `reviews`.
fn with_rule(rule: &str) -> Mesh {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(&rule_of(rule));
    mesh
}

fn rule_of(rule: &str) -> String {
    format!(
        "kind: VirtualService\nmetadata: {{name: reviews, namespace: prod}}\n\
         spec: {{hosts: [reviews], http: [{rule}]}}"
    )
}

#[test]
fn cors_policy_is_istios() {
    let mesh = with_rule(
        "{route: [{destination: {host: reviews}}], corsPolicy: {allowOrigins: [{prefix: 'https://shop'}], \
         allowMethods: [GET, PUT], allowHeaders: [x-a], exposeHeaders: [x-b, x-c], maxAge: 24h, \
         allowCredentials: true, unmatchedPreflights: IGNORE}}",
    );
    let cors = route(&mesh).filters.cors.expect("a policy");
    assert!(cors.allow_origins[0].matches("https://shop.example"));
    assert_eq!(cors.allow_methods, "GET,PUT");
    assert_eq!(cors.allow_headers, "x-a");
    assert_eq!(cors.expose_headers, "x-b,x-c");
    assert_eq!(cors.max_age, "86400");
    assert!(cors.allow_credentials && !cors.forward_unmatched_preflights);
    let older =
        with_rule("{route: [{destination: {host: reviews}}], corsPolicy: {allowOrigin: ['*']}}");
    let cors = route(&older).filters.cors.expect("a policy");
    assert!(cors.allow_origins[0].matches("*") && cors.forward_unmatched_preflights);
}

#[test]
fn fault_may_answer_with_a_grpc_status() {
    let mesh = with_rule(
        "{route: [{destination: {host: reviews}}], \
         fault: {abort: {grpcStatus: UNAVAILABLE, percentage: {value: 50}}}}",
    );
    let abort = route(&mesh).fault.and_then(|fault| fault.abort);
    let expected = FaultAbort {
        status: 200,
        grpc_status: Some(14),
        percent: 50.0,
    };
    assert_eq!(abort, Some(expected));
}

#[test]
fn redirect_port_may_be_the_requests() {
    let port = |derive: &str| {
        let rule = format!("{{redirect: {{scheme: https, derivePort: {derive}}}}}");
        match route(&with_rule(&rule)).action {
            RouteAction::Redirect(redirect) => redirect.port,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(port("FROM_REQUEST_PORT"), Some(9080));
    assert_eq!(port("FROM_PROTOCOL_DEFAULT"), None);
}

#[test]
fn consistent_hash_reaches_cluster_and_routes() {
    let mesh = with_policy("{loadBalancer: {consistentHash: {httpHeaderName: X-User}}}");
    assert_eq!(cluster(&mesh, REVIEWS).balance, Balance::RING);
    let of_subset = cluster(&mesh, &REVIEWS.replace("||", "|v1|"));
    let maglev = Balance::Maglev {
        table: 11,
        by_hostname: false,
    };
    assert_eq!(of_subset.balance, maglev);
    let hashed = |mesh: &Mesh| {
        let hash = forward(mesh).hash;
        hash.into_iter().map(|it| it.of).collect::<Vec<_>>()
    };
    let header = || HashOf::Header("x-user".to_owned());
    assert_eq!(hashed(&mesh), [header()], "the default route");
    let mut routed = mesh;
    routed.apply(&rule_of(
        "{route: [{destination: {host: reviews}, weight: 10}, \
         {destination: {host: reviews, subset: v1}, weight: 90}]}",
    ));
    assert_eq!(hashed(&routed), [header(), HashOf::SourceIp]);
    let details = cluster(&routed, "outbound|9080||details.prod.svc.cluster.local");
    assert_eq!(details.balance, Balance::LeastRequest);
}

#[test]
fn consistent_hash_of_a_cookie_has_its_lifetime() {
    let mesh = with_policy(
        "{loadBalancer: {consistentHash: {httpCookie: {name: session, ttl: 0s, path: /}, \
         ringHash: {minimumRingSize: 4096}}}}",
    );
    let ring = Balance::RingHash {
        min: 4096,
        max: 8 << 20,
        by_hostname: false,
    };
    assert_eq!(cluster(&mesh, REVIEWS).balance, ring);
    let HashOf::Cookie(cookie) = &forward(&mesh).hash[0].of else {
        panic!("a cookie")
    };
    assert_eq!(cookie.ttl, Some(Duration::ZERO));
}

#[test]
fn tcp_follows_the_clients_address() {
    let pods = [("v1", "10.244.0.21")];
    let mut mesh = Mesh::new(&service_on(
        "prod",
        "db",
        "10.96.0.9",
        "tcp",
        3306,
        3306,
        &pods,
    ));
    mesh.apply(
        "kind: DestinationRule\nmetadata: {name: db, namespace: prod}\n\
         spec: {host: db, trafficPolicy: {loadBalancer: {consistentHash: {useSourceIp: true}}}}",
    );
    let client = mesh.sidecar("prod", &[("app", "x")]);
    let listener = &client.config.listeners["10.96.0.9_3306"];
    match &listener.chains[0].action {
        ChainAction::Tcp(tcp) => assert!(tcp.hash_source_ip),
        ChainAction::Http(_) => panic!("TCP"),
    }
}

#[test]
fn warmup_holds_for_balancers_that_look_at_load_or_turn() {
    let slow = |simple: &str| {
        let mesh = with_policy(&format!(
            "{{loadBalancer: {{simple: {simple}, warmup: {{duration: 30s, aggression: 2}}}}}}"
        ));
        cluster(&mesh, REVIEWS).slow_start
    };
    let expected = SlowStart {
        window: Duration::from_secs(30),
        aggression: 2.0,
        min_weight_percent: 10.0,
    };
    assert_eq!(slow("ROUND_ROBIN"), Some(expected));
    assert_eq!(slow("LEAST_REQUEST"), Some(expected));
}

#[test]
fn connection_pool_reaches_the_cluster() {
    let mesh = with_policy(
        "{connectionPool: {tcp: {maxConnectionDuration: 1h, tcpKeepalive: {probes: 3, time: 60s}}, \
         http: {h2UpgradePolicy: UPGRADE, maxConcurrentStreams: 7}}}",
    );
    let reviews = cluster(&mesh, REVIEWS);
    assert_eq!(reviews.protocol, UpstreamProtocol::Http2);
    assert_eq!(reviews.http2.max_concurrent_streams, Some(7));
    assert_eq!(
        reviews.max_connection_duration,
        Some(Duration::from_hours(1))
    );
    let keepalive = reviews.keepalive.expect("probes");
    assert_eq!(
        (keepalive.probes, keepalive.time_seconds),
        (Some(3), Some(60))
    );
    let same = with_policy("{connectionPool: {http: {useClientProtocol: true}}}");
    let protocol = cluster(&same, REVIEWS).protocol;
    assert_eq!(protocol, UpstreamProtocol::Downstream);
}

#[test]
fn local_failures_count_apart_when_asked_for() {
    let mesh = with_policy("{outlierDetection: {splitExternalLocalOriginErrors: true}}");
    let outlier = cluster(&mesh, REVIEWS).outlier.expect("ejection");
    assert!(outlier.split_local_origin);
    assert_eq!(outlier.consecutive_local_failures, Some(5));
    let plain = with_policy("{outlierDetection: {}}");
    let outlier = cluster(&plain, REVIEWS).outlier.expect("ejection");
    assert_eq!(outlier.consecutive_local_failures, None);
}

#[test]
fn tcp_rules_split_connections() {
    let pods = [("v1", "10.244.0.21"), ("v2", "10.244.0.22")];
    let mut mesh = Mesh::new(&service_on(
        "prod",
        "db",
        "10.96.0.9",
        "tcp",
        3306,
        3306,
        &pods,
    ));
    mesh.apply(
        "kind: DestinationRule\nmetadata: {name: db, namespace: prod}\n\
         spec: {host: db, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}",
    );
    mesh.apply(
        "kind: VirtualService\nmetadata: {name: db, namespace: prod}\n\
         spec: {hosts: [db], tcp: [{match: [{port: 3307}], route: [{destination: {host: db}}]}, \
         {match: [{port: 3306, sourceLabels: {app: x}}], route: [\
         {destination: {host: db, subset: v1}, weight: 80}, {destination: {host: db, subset: v2}, weight: 20}]}]}",
    );
    let clusters = |app: &str| {
        let client = mesh.sidecar("prod", &[("app", app)]);
        let listener = &client.config.listeners["10.96.0.9_3306"];
        match &listener.chains[0].action {
            ChainAction::Tcp(tcp) => (tcp.clusters.iter())
                .map(|branch| format!("{} {}", branch.cluster, branch.weight))
                .collect::<Vec<_>>(),
            ChainAction::Http(_) => panic!("TCP"),
        }
    };
    let of = |subset: &str, weight: u32| {
        format!("outbound|3306|{subset}|db.prod.svc.cluster.local {weight}")
    };
    assert_eq!(clusters("y"), [of("", 100)]);
    assert_eq!(clusters("x"), [of("v1", 80), of("v2", 20)]);
}

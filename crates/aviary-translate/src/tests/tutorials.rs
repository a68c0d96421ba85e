//! Tutorials 003 and 004: the manifests as printed, and what their steps observe.

use super::support::{Mesh, bookinfo, ingress, service, service_on};

#[expect(clippy::disallowed_methods, reason = "test data lies in files")]
fn printed(name: &str) -> String {
    let path = format!(
        "{}/testdata/tutorials/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::read_to_string(path).expect("the manifest is there")
}

/// Shares within the statistical rule: four standard deviations.
#[track_caller]
fn check_share(count: u32, of: u32, expected: f64) {
    let share = f64::from(count) / f64::from(of);
    let bound = 4.0 * (expected * (1.0 - expected) / f64::from(of)).sqrt();
    assert!(
        (share - expected).abs() <= bound,
        "{share} is not {expected} ± {bound}"
    );
}

const REVIEWS: &str = "10.96.0.13:9080";

fn reviews_shares(mesh: &Mesh) -> std::collections::BTreeMap<String, u32> {
    let page = mesh.sidecar("prod", &[("app", "productpage"), ("version", "v1")]);
    page.shares(
        "virtualOutbound",
        REVIEWS,
        "GET reviews:9080 /reviews/0",
        4000,
    )
}

const V1: &str = "outbound|9080|v1|reviews.prod.svc.cluster.local";
const V2: &str = "outbound|9080|v2|reviews.prod.svc.cluster.local";

#[test]
fn tutorial_004_shifts_reviews_step_by_step() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(&printed("destination-rule-reviews"));
    mesh.apply(&printed("virtual-service-reviews"));
    assert_eq!(reviews_shares(&mesh), [(V1.to_owned(), 4000)].into());
    mesh.apply(&printed("virtual-service-reviews-90-10"));
    let shares = reviews_shares(&mesh);
    check_share(shares[V2], 4000, 0.1);
    mesh.apply(&printed("virtual-service-reviews-v2"));
    assert_eq!(reviews_shares(&mesh), [(V2.to_owned(), 4000)].into());
}

#[test]
fn tutorial_004_delays_jason_only() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(
        "kind: DestinationRule\nmetadata: {name: ratings, namespace: prod}\n\
         spec: {host: ratings, subsets: [{name: v1, labels: {version: v1}}]}",
    );
    mesh.apply(&printed("virtual-service-ratings-test-delay"));
    let reviews = mesh.sidecar("prod", &[("app", "reviews"), ("version", "v2")]);
    let call = |request: &str| reviews.call("virtualOutbound", "10.96.0.16:9080", request);
    let v1 = "outbound|9080|v1|ratings.prod.svc.cluster.local";
    assert_eq!(
        call("GET ratings:9080 /ratings/0 end-user=jason"),
        format!("{v1} after 7s")
    );
    assert_eq!(call("GET ratings:9080 /ratings/0 end-user=mary"), v1);
    assert_eq!(call("GET ratings:9080 /ratings/0"), v1);
}

fn micro_api() -> String {
    let pods = [("v1", "10.244.0.31"), ("v2", "10.244.0.32")];
    ingress()
        + &service_on(
            "default",
            "micro-api",
            "10.96.0.31",
            "http",
            19090,
            9090,
            &pods,
        )
}

#[test]
fn tutorial_003_splits_at_the_gateway_only() {
    let mut mesh = Mesh::new(&micro_api());
    mesh.apply(&printed("destination-rule-all"));
    mesh.apply(&printed("micro-gateway"));
    mesh.apply(&printed("virtual-service-all"));
    let request = "GET micro-api.default.svc.cluster.local /test/test";
    let split = |mesh: &Mesh| {
        mesh.ingress()
            .shares("0.0.0.0_8080", "10.244.0.2:8080", request, 4000)
    };
    let v1 = "outbound|19090|v1|micro-api.default.svc.cluster.local";
    let v2 = "outbound|19090|v2|micro-api.default.svc.cluster.local";
    let shares = split(&mesh);
    check_share(shares[v1], 4000, 0.7);
    check_share(shares[v2], 4000, 0.3);
    assert_eq!(mesh.ingress().endpoints(v2), ["10.244.0.32:9090"]);
    let unknown = mesh
        .ingress()
        .call("0.0.0.0_8080", "10.244.0.2:8080", "GET other /test/test");
    assert_eq!(unknown, "404 NR");
    let client = mesh.sidecar("default", &[("app", "client")]);
    let inside = client.call(
        "virtualOutbound",
        "10.96.0.31:19090",
        "GET micro-api:19090 /test/test",
    );
    assert_eq!(
        inside,
        "outbound|19090||micro-api.default.svc.cluster.local"
    );
    mesh.apply(&printed("virtual-service-all-v2"));
    assert_eq!(split(&mesh), [(v2.to_owned(), 4000)].into());
}

#[test]
fn tutorial_003_limits_are_on_every_cluster_of_the_host() {
    let mut mesh = Mesh::new(&micro_api());
    mesh.apply(&printed("destination-rule-all"));
    let gateway = mesh.ingress();
    for subset in ["", "v1", "v2"] {
        let name = format!("outbound|19090|{subset}|micro-api.default.svc.cluster.local");
        let cluster = &gateway.config.clusters[&name];
        assert_eq!(cluster.balance, aviary_mesh::cluster::Balance::RoundRobin);
        assert_eq!(cluster.limits.max_connections, Some(10));
        assert_eq!(cluster.limits.max_pending_requests, Some(1));
        assert_eq!(cluster.limits.max_requests_per_connection, Some(1));
        assert_eq!(cluster.limits.max_requests, None);
    }
}

#[test]
fn bookinfo_mesh_of_tutorial_001_serves_five_paths() {
    let mut mesh = Mesh::new(&bookinfo("default"));
    mesh.apply(&printed("bookinfo-mesh"));
    let gateway = mesh.ingress();
    let call = |path: &str| {
        gateway.call(
            "0.0.0.0_8080",
            "10.244.0.2:8080",
            &format!("GET 127.0.0.1:8080 {path}"),
        )
    };
    let page = "outbound|9080|v1|productpage.default.svc.cluster.local";
    for path in [
        "/productpage?u=normal",
        "/static/x.css",
        "/login",
        "/logout",
        "/api/v1/products/0",
    ] {
        assert_eq!(call(path), page, "{path}");
    }
    for path in ["/", "/productpages", "/loginx"] {
        assert_eq!(call(path), "404 NR", "{path}");
    }
}

#[test]
fn traffic_label_of_tutorial_001_is_refused_for_now() {
    let object: serde_json::Value =
        serde_saphyr::from_str(&printed("virtual-service-reviews-tag")).unwrap();
    let paths: Vec<String> = aviary_api::validate("VirtualService", &object)
        .into_iter()
        .map(|one| one.path)
        .collect();
    assert_eq!(
        paths,
        [
            "spec.http[0].route[0].fallback",
            "spec.http[0].route[0].destination.subset"
        ]
    );
}

#[test]
fn v2_gets_nothing_before_its_route_exists() {
    let mut mesh = Mesh::new(&service(
        "prod",
        "reviews",
        "10.96.0.13",
        &[("v1", "10.244.0.13")],
    ));
    mesh.apply(&printed("destination-rule-reviews"));
    mesh.apply(&printed("virtual-service-reviews"));
    mesh.apply(&bookinfo("prod"));
    assert_eq!(reviews_shares(&mesh), [(V1.to_owned(), 4000)].into());
    let page = mesh.sidecar("prod", &[("app", "productpage")]);
    assert_eq!(page.endpoints(V1), ["10.244.0.13:9080"]);
    assert_eq!(page.endpoints(V2), ["10.244.0.14:9080"]);
}

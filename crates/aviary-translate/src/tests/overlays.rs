//! Release overlays: which version answers.

mod affinity;
mod content;
mod copies;
mod objects;

use std::collections::BTreeMap;

use aviary_mesh::{ChainAction, cluster::Balance};

use super::support::{Mesh, Proxy, bookinfo, service_on};

const OUT: &str = "virtualOutbound";

const REVIEWS: &str = "10.96.0.13:9080";

const GET: &str = "GET reviews:9080 /reviews/0";

/// A Release of `reviews` in `prod` with this overlay.
pub(super) fn release(overlay: &str) -> String {
    release_of("reviews", overlay)
}

pub(super) fn release_of(service: &str, overlay: &str) -> String {
    format!(
        "kind: Release\nmetadata: {{name: {service}-v2, namespace: prod}}\n\
         spec: {{service: {service}, new: {{version: v2}}, strategy: {{canary: {{steps: [{{weight: 10}}]}}}}}}\n\
         status: {{overlay: {{revision: 1, salt: s, {overlay}}}}}"
    )
}

/// The shares of `v2` and `v1`.
pub(super) fn shares(v2: u32, v1: u32) -> String {
    format!("shares: [{{version: v2, parts: {v2}}}, {{version: v1, parts: {v1}}}]")
}

pub(super) fn subsets() -> &'static str {
    "kind: DestinationRule\nmetadata: {name: reviews, namespace: prod}\n\
     spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, \
     trafficPolicy: {loadBalancer: {simple: RANDOM}}}, {name: v3, labels: {version: v3}}]}"
}

pub(super) fn rules(http: &str) -> String {
    format!(
        "kind: VirtualService\nmetadata: {{name: reviews, namespace: prod}}\n\
         spec: {{hosts: [reviews], http: [{http}]}}"
    )
}

fn mesh(objects: &[&str]) -> Mesh {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    for object in objects {
        mesh.apply(object);
    }
    mesh
}

fn page(mesh: &Mesh) -> Proxy {
    mesh.sidecar("prod", &[("app", "productpage"), ("version", "v1")])
}

/// Answers without what all of them have.
fn answers(mesh: &Mesh, request: &str) -> BTreeMap<String, u32> {
    let shares = page(mesh).shares(OUT, REVIEWS, request, 4000);
    let short = shares
        .into_iter()
        .map(|(name, count)| (short(&name), count));
    short.collect()
}

fn short(answer: &str) -> String {
    answer
        .replace("outbound|9080|", "")
        .replace(".prod.svc.cluster.local", "")
}

/// The only answer.
#[track_caller]
fn answer(mesh: &Mesh, request: &str) -> String {
    let all = answers(mesh, request);
    assert_eq!(all.len(), 1, "{request}: {all:?}");
    all.into_keys().next().unwrap()
}

/// Each share within four standard deviations.
#[track_caller]
fn check(found: &BTreeMap<String, u32>, wanted: &[(&str, f64)]) {
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    let expected: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected);
    for (name, share) in wanted {
        let got = f64::from(found[*name]) / 4000.0;
        let bound = 4.0 * (share * (1.0 - share) / 4000.0).sqrt();
        assert!((got - share).abs() <= bound, "{name}: {got} is not {share}");
    }
}

const V1: &str = "version=v1|reviews";

const V2: &str = "version=v2|reviews";

#[test]
fn service_without_rules_is_split() {
    let mesh = mesh(&[&release(&shares(100_000, 900_000))]);
    check(&answers(&mesh, GET), &[(V1, 0.9), (V2, 0.1)]);
    let proxy = page(&mesh);
    let endpoints =
        |name: &str| proxy.endpoints(&format!("outbound|9080|{name}.prod.svc.cluster.local"));
    assert_eq!(endpoints(V1), ["10.244.0.13:9080"]);
    assert_eq!(endpoints(V2), ["10.244.0.14:9080"]);
    let far = mesh.sidecar("other", &[("app", "client")]);
    let shares = far.shares(OUT, REVIEWS, "GET reviews.prod:9080 /", 4000);
    assert_eq!(shares.len(), 2);
}

#[test]
fn subset_that_a_rule_names_does_not_matter_and_its_policy_stays_with_its_version() {
    let route = "{timeout: 3s, route: [{destination: {host: reviews, subset: v2}}]}";
    let mesh = mesh(&[
        subsets(),
        &rules(route),
        &release(&shares(100_000, 900_000)),
    ]);
    let own = "version=v2,subset=v2|reviews";
    let found = answers(&mesh, GET);
    let timeout = |name: &str| format!("{name} timeout=3s");
    check(&found, &[(&timeout(V1), 0.9), (&timeout(own), 0.1)]);
    let clusters = &page(&mesh).config.clusters;
    let balance =
        |name: &str| clusters[&format!("outbound|9080|{name}.prod.svc.cluster.local")].balance;
    assert_eq!(balance(own), Balance::Random);
    assert_eq!(balance(V2), Balance::LeastRequest);
    let third = mesh_with_third();
    check(&answers(&third, GET), &[(V1, 0.9), (V2, 0.1)]);
}

fn mesh_with_third() -> Mesh {
    let route = "{route: [{destination: {host: reviews, subset: v3}}]}";
    mesh(&[
        subsets(),
        &rules(route),
        &release(&shares(100_000, 900_000)),
    ])
}

#[test]
fn weight_of_the_service_is_split_in_proportion() {
    let route = "{route: [{destination: {host: reviews}, weight: 40, headers: {request: {set: {a: b}}}}, \
                 {destination: {host: ratings}, weight: 60}]}";
    let mesh = mesh(&[&rules(route), &release(&shares(250_000, 750_000))]);
    check(
        &answers(&mesh, GET),
        &[("version=v1|reviews", 0.3), (V2, 0.1), ("|ratings", 0.6)],
    );
}

#[test]
fn fractions_of_a_percent_are_exact() {
    let mesh = mesh(&[&release(&shares(500, 999_500))]);
    let table = &page(&mesh).config.routes["9080"];
    let host = table
        .virtual_hosts
        .iter()
        .find(|it| it.name.starts_with("reviews"))
        .unwrap();
    let aviary_mesh::route::RouteAction::Forward(forward) = &host.routes[0].action else {
        panic!("a forward")
    };
    let weights: Vec<u32> = forward.clusters.iter().map(|it| it.weight).collect();
    assert_eq!(weights, [1, 1999]);
}

#[test]
fn connections_are_split_with_rules_and_without() {
    let pods = [("v1", "10.244.0.21"), ("v2", "10.244.0.22")];
    let objects = service_on("prod", "db", "10.96.0.21", "tcp", 3306, 3306, &pods)
        + &service_on("prod", "odd", "10.96.0.22", "", 7000, 7001, &pods)
        + &service_on("prod", "other", "10.96.0.23", "tcp", 3306, 3306, &pods);
    let mut mesh = Mesh::new(&objects);
    let branches = |mesh: &Mesh, listener: &str| {
        let proxy = mesh.sidecar("prod", &[("app", "client")]);
        let listener = &proxy.config.listeners[listener];
        let chain = listener
            .default_chain
            .as_ref()
            .or_else(|| listener.chains.first())
            .unwrap();
        let ChainAction::Tcp(tcp) = &chain.action else {
            panic!("a chain for bytes")
        };
        let all = tcp.clusters.iter();
        all.map(|it| (it.cluster.replace(".prod.svc.cluster.local", ""), it.weight))
            .collect::<Vec<_>>()
    };
    let plain = branches(&mesh, "10.96.0.21_3306");
    assert_eq!(plain, [("outbound|3306||db".to_owned(), 100)]);
    mesh.apply(&release_of("db", &shares(100_000, 900_000)));
    mesh.apply(&release_of("odd", &shares(0, 1_000_000)));
    let db = [
        ("outbound|3306|version=v2|db".to_owned(), 1),
        ("outbound|3306|version=v1|db".to_owned(), 9),
    ];
    assert_eq!(branches(&mesh, "10.96.0.21_3306"), db);
    let odd = [("outbound|7000|version=v1|odd".to_owned(), 100)];
    assert_eq!(branches(&mesh, "10.96.0.22_7000"), odd);
    mesh.apply(
        "kind: VirtualService\nmetadata: {name: db, namespace: prod}\n\
         spec: {hosts: [db], tcp: [{route: [{destination: {host: db}, weight: 50}, {destination: {host: other}, weight: 50}]}]}",
    );
    let mixed = [
        ("outbound|3306|version=v2|db".to_owned(), 1),
        ("outbound|3306|version=v1|db".to_owned(), 9),
        ("outbound|3306||other".to_owned(), 10),
    ];
    assert_eq!(branches(&mesh, "10.96.0.21_3306"), mixed);
}

fn key() -> crate::ProxyKey {
    crate::ProxyKey {
        kind: crate::ProxyKind::Sidecar,
        namespace: "prod".to_owned(),
        labels: BTreeMap::new(),
    }
}

//! The plain objects that an overlay amounts to route in the same way.

use std::collections::BTreeMap;

use aviary_mesh::{
    MeshConfig,
    compiled::Table,
    resolve::{self, Outcome},
};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use serde_json::Value;

use super::{
    overlays::{release, release_of, rules, shares, subsets},
    support::{Mesh, Request, bookinfo, service_on},
};
use crate::{Effective, Kind, ObjectKey, ProxyKey, ProxyKind, effective, translate};

fn key(kind: ProxyKind) -> ProxyKey {
    let (namespace, labels) = match kind {
        ProxyKind::Sidecar => ("prod", vec![("app", "productpage")]),
        ProxyKind::Router => (
            "istio-system",
            vec![("app", "istio-ingressgateway"), ("istio", "ingressgateway")],
        ),
    };
    let labels = labels.into_iter();
    ProxyKey {
        kind,
        namespace: namespace.to_owned(),
        labels: labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

/// The objects of a mesh without the Release, with what it amounted to.
fn without_release(mesh: &Mesh, effective: &Effective) -> Mesh {
    let mut plain = mesh.clone();
    plain.delete(Kind::Release, "prod", "reviews-v2");
    let services = effective.virtual_services.iter().map(|it| {
        (
            Kind::VirtualService,
            "VirtualService",
            serde_json::to_value(it).unwrap(),
        )
    });
    let rules = effective.destination_rules.iter().map(|it| {
        (
            Kind::DestinationRule,
            "DestinationRule",
            serde_json::to_value(it).unwrap(),
        )
    });
    for (kind, name, object) in services.chain(rules) {
        assert_eq!(
            aviary_api::validate(name, &pruned(&object)),
            [],
            "{object:#}"
        );
        plain.snapshot.insert(kind, &object).unwrap();
    }
    plain.snapshot.settle();
    plain
}

/// Without what is empty, as a user would write it.
fn pruned(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().map(|(name, it)| (name.clone(), pruned(it)));
            let empty = |it: &Value| match it {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            kept.filter(|(_, it)| !empty(it)).collect()
        }
        Value::Array(items) => items.iter().map(pruned).collect(),
        other => other.clone(),
    }
}

/// Names of clusters that mean the same pods become one.
fn normal(name: &str) -> String {
    let mut parts: Vec<&str> = name.split('|').collect();
    if let Some(subset) = parts.get_mut(2) {
        let first = subset.split(',').next().unwrap_or_default();
        let version = first
            .trim_start_matches("version=")
            .trim_start_matches("release-")
            .trim_start_matches("copies=");
        *subset = version;
    }
    parts.join("|")
}

fn table(config: &MeshConfig, name: &str) -> Table {
    Table::new(std::sync::Arc::clone(&config.routes[name]))
}

/// What becomes of a request, and how often of so many.
fn outcomes(table: &Table, request: &str, count: u32, seed: u64) -> BTreeMap<String, u32> {
    let head = Request::new(request);
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut found = BTreeMap::new();
    for _ in 0..count {
        let text = match resolve::request(table, &head, &mut rng).outcome {
            Outcome::Forward(target) => {
                let mirrors = target
                    .mirrors
                    .iter()
                    .map(|it| format!("{} {}", normal(&it.cluster), it.percent));
                let mirrors: Vec<String> = mirrors.collect();
                format!(
                    "{} {:?} {:?} {:?} {mirrors:?} {:?}",
                    normal(&target.branch.name),
                    target.path,
                    target.timeout,
                    target.retry,
                    target.request_edits,
                )
            }
            other => format!("{other:?}"),
        };
        *found.entry(text).or_default() += 1;
    }
    found
}

const PATHS: [&str; 9] = [
    "/",
    "/api",
    "/api/new",
    "/api/new/x?q=1",
    "/api/x",
    "/exact",
    "/a",
    "/b?v=2",
    "/other",
];
const HEADERS: [&str; 5] = [
    "",
    " end-user=jason",
    " end-user=jane",
    " x-lane=gray",
    " end-user=jason x-lane=gray",
];
const METHODS: [&str; 3] = ["GET", "POST", "HEAD"];

const HTTP: [&str; 6] = [
    "{match: [{uri: {prefix: /api}}], rewrite: {uri: /inner}, timeout: 2s, route: [{destination: {host: reviews, subset: v3}}]}",
    "{match: [{uri: {exact: /exact}}, {uri: {prefix: /a}}], rewrite: {uri: /z}, route: [{destination: {host: reviews, subset: v2}, weight: 40, headers: {request: {set: {a: b}}}}, {destination: {host: ratings}, weight: 60}]}",
    "{match: [{headers: {end-user: {prefix: j}}, method: {exact: GET}}], retries: {attempts: 1}, route: [{destination: {host: reviews}}]}",
    "{match: [{uri: {exact: /other}}], redirect: {uri: /}}",
    "{match: [{queryParams: {v: {exact: '2'}}}], mirror: {host: reviews}, mirrorPercentage: {value: 50}, route: [{destination: {host: ratings}}]}",
    "{route: [{destination: {host: reviews, subset: v1}, weight: 1}, {destination: {host: reviews, subset: v2}, weight: 3}]}",
];

const BLOCKS: [&str; 5] = [
    "{headers: {end-user: {exact: jason}}}",
    "{headers: {x-lane: {prefix: g}}, method: {exact: GET}}",
    "{uri: {prefix: /api/new}}",
    "{uri: {exact: /api/x}}",
    "{queryParams: {q: {exact: '1'}}}",
];

fn overlay(rng: &mut SmallRng) -> String {
    let parts = *[0, 500, 100_000, 333_333, 1_000_000].choose(rng).unwrap();
    let mut text = shares(parts, 1_000_000 - parts);
    if rng.random_bool(0.7) {
        let blocks = rng.random_range(1..=3);
        let blocks: Vec<&str> = BLOCKS.choose_multiple(rng, blocks).copied().collect();
        text = format!(
            "{text}, matched: {{version: v2, matches: [{}]}}",
            blocks.join(", ")
        );
    }
    if parts == 0 && rng.random_bool(0.5) {
        text += ", mirror: {version: v2, parts: 250000, methods: [GET, HEAD]}";
    }
    text
}

#[test]
fn plain_objects_decide_as_the_overlay() {
    let gateway = "kind: Gateway\nmetadata: {name: gw, namespace: prod}\n\
        spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}";
    let mut compared = 0;
    for seed in 0..150 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut mesh = Mesh::new(&bookinfo("prod"));
        mesh.apply(gateway);
        if rng.random_bool(0.8) {
            mesh.apply(subsets());
            let count = rng.random_range(0..=4);
            let mut http: Vec<&str> = HTTP.choose_multiple(&mut rng, count).copied().collect();
            http.sort_by_key(|it| !it.starts_with("{match"));
            if !http.is_empty() {
                let both = "hosts: [reviews, shop.example.com], gateways: [mesh, gw]";
                let text = rules(&http.join(", ")).replace("hosts: [reviews]", both);
                mesh.apply(
                    &text
                        .replace("host: reviews", "port: {number: 9080}, host: reviews")
                        .replace("host: ratings", "port: {number: 9080}, host: ratings"),
                );
            }
        }
        mesh.apply(&release(&overlay(&mut rng)));
        let release = ObjectKey::new("prod", "reviews-v2");
        let effective = effective(&mesh.snapshot, &release).unwrap();
        let plain = without_release(&mesh, &effective);
        let is_exact = effective.inexpressible.is_empty();
        for (kind, name, host) in [
            (ProxyKind::Sidecar, "9080", "reviews:9080"),
            (ProxyKind::Router, "http.8080", "shop.example.com"),
        ] {
            let (ours, remarks) = translate(&mesh.snapshot, &key(kind));
            assert_eq!(remarks, []);
            let ours = table(&ours, name);
            let plain = table(&translate(&plain.snapshot, &key(kind)).0, name);
            for _ in 0..20 {
                let method = METHODS.choose(&mut rng).unwrap();
                let path = PATHS.choose(&mut rng).unwrap();
                let headers = HEADERS.choose(&mut rng).unwrap();
                let request = format!("{method} {host} {path}{headers}");
                let draw = rng.random();
                if !is_exact {
                    continue;
                }
                // Weights are the same numbers, so that even every single draw is the same.
                assert_eq!(
                    outcomes(&ours, &request, 20, draw),
                    outcomes(&plain, &request, 20, draw),
                    "seed {seed}: {request}\n{}",
                    serde_json::to_string(
                        &effective
                            .virtual_services
                            .iter()
                            .map(|it| pruned(&serde_json::to_value(it).unwrap()))
                            .collect::<Vec<_>>()
                    )
                    .unwrap()
                );
                compared += 1;
            }
        }
    }
    assert!(
        compared > 4_000,
        "too few meshes can be said with plain objects: {compared}"
    );
}

#[test]
fn service_without_rules_gets_its_own() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(&release(&shares(500, 999_500)));
    let found = effective(&mesh.snapshot, &ObjectKey::new("prod", "reviews-v2")).unwrap();
    assert_eq!(found.inexpressible, Vec::<String>::new());
    let [service] = found.virtual_services.as_slice() else {
        panic!("one object")
    };
    let host = "reviews.prod.svc.cluster.local";
    let spec = pruned(&serde_json::to_value(&service.spec).unwrap());
    let wanted = serde_json::json!({
        "hosts": [host],
        "http": [{"route": [
            {"destination": {"host": host, "subset": "v2"}, "weight": 1},
            {"destination": {"host": host, "subset": "v1"}, "weight": 1999},
        ]}],
    });
    assert_eq!(without_false(&spec), wanted);
    assert_eq!(found.destination_rules.len(), 1);
}

/// Without flags that are off.
fn without_false(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, it)| **it != Value::Bool(false));
            kept.map(|(name, it)| (name.clone(), without_false(it)))
                .collect()
        }
        Value::Array(items) => items.iter().map(without_false).collect(),
        other => other.clone(),
    }
}

#[test]
fn connections_are_said_too() {
    let pods = [("v1", "10.244.0.21"), ("v2", "10.244.0.22")];
    let mut mesh = Mesh::new(&service_on(
        "prod",
        "db",
        "10.96.0.21",
        "tcp",
        3306,
        3306,
        &pods,
    ));
    mesh.apply(&release_of("db", &shares(100_000, 900_000)).replace("db-v2", "reviews-v2"));
    let found = effective(&mesh.snapshot, &ObjectKey::new("prod", "reviews-v2")).unwrap();
    let plain = without_release(&mesh, &found);
    let branches = |mesh: &Mesh| {
        let config = translate(&mesh.snapshot, &key(ProxyKind::Sidecar)).0;
        let aviary_mesh::ChainAction::Tcp(tcp) =
            &config.listeners["10.96.0.21_3306"].chains[0].action
        else {
            panic!("a chain for bytes")
        };
        let all = tcp
            .clusters
            .iter()
            .map(|it| (normal(&it.cluster), it.weight));
        all.collect::<Vec<_>>()
    };
    assert_eq!(branches(&mesh), branches(&plain));
}

#[test]
fn what_plain_objects_cannot_say_is_listed() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(&rules(
        "{match: [{headers: {end-user: {regex: 'j.*'}}}], route: [{destination: {host: reviews}, weight: 1}, {destination: {host: ratings}, weight: 1}]}",
    ));
    mesh.apply(&release(&format!(
        "fallback: v1, affinity: {{header: end-user}}, mirror: {{version: v2, parts: 1000000, methods: [GET]}}, \
         matched: {{version: v2, matches: [{{headers: {{end-user: {{regex: '.*n'}}}}}}]}}, {}",
        shares(100_000, 900_000)
    )));
    let found = effective(&mesh.snapshot, &ObjectKey::new("prod", "reviews-v2")).unwrap();
    let first = |text: &String| text.split(':').next().unwrap_or_default().to_owned();
    let found: Vec<String> = found.inexpressible.iter().map(first).collect();
    assert_eq!(found, ["affinity", "fallback", "content", "mirror"]);
}

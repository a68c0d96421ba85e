//! Unknown destinations never take down routes that work.

use serde_json::json;

use super::support::{Mesh, Proxy, bookinfo};
use crate::{Kind, ObjectKey, Snapshot, analyze};

const V1: &str = "outbound|9080|v1|reviews.prod.svc.cluster.local";
const V3: &str = "outbound|9080|v3|reviews.prod.svc.cluster.local";
const ALL: &str = "outbound|9080||reviews.prod.svc.cluster.local";

fn rule(subsets: &[&str]) -> String {
    let subsets: Vec<String> = subsets
        .iter()
        .map(|name| format!("{{name: {name}, labels: {{version: {name}}}}}"))
        .collect();
    format!(
        "kind: DestinationRule\nmetadata: {{name: reviews, namespace: prod}}\n\
         spec: {{host: reviews, subsets: [{}]}}",
        subsets.join(", ")
    )
}

fn routes(subset: &str) -> String {
    format!(
        "kind: VirtualService\nmetadata: {{name: reviews, namespace: prod}}\n\
         spec: {{hosts: [reviews], http: [{{route: [{{destination: {{host: reviews, subset: {subset}}}}}]}}]}}"
    )
}

fn page(mesh: &Mesh) -> Proxy {
    mesh.sidecar("prod", &[("app", "productpage")])
}

fn call(mesh: &Mesh) -> String {
    page(mesh).call(
        "virtualOutbound",
        "10.96.0.13:9080",
        "GET reviews:9080 /reviews/0",
    )
}

fn codes(mesh: &Mesh) -> Vec<(&'static str, String)> {
    analyze(&mesh.snapshot)
        .into_iter()
        .map(|found| (found.code, found.path))
        .collect()
}

#[test]
fn routes_to_unknown_subset_wait_and_former_ones_stay() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(&rule(&["v1"]));
    mesh.apply(&routes("v1"));
    assert_eq!(codes(&mesh), []);
    mesh.apply(&routes("v3"));
    assert_eq!(call(&mesh), V1);
    let path = "spec.http[0].route[0].destination.subset".to_owned();
    assert_eq!(codes(&mesh), [("AV0102", path)]);
    mesh.apply(&rule(&["v1", "v3"]));
    assert_eq!(call(&mesh), V3);
    assert_eq!(codes(&mesh), []);
}

#[test]
fn subset_that_is_still_routed_to_outlives_its_declaration() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(&rule(&["v1", "v3"]));
    mesh.apply(&routes("v3"));
    mesh.apply(&rule(&["v1"]));
    assert_eq!(call(&mesh), V3);
    assert_eq!(page(&mesh).endpoints(V3), ["10.244.0.15:9080"]);
    mesh.delete(Kind::DestinationRule, "prod", "reviews");
    assert_eq!(call(&mesh), V3);
    mesh.apply(&rule(&["v1"]));
    mesh.apply(&routes("v1"));
    assert_eq!(call(&mesh), V1);
    assert!(!page(&mesh).config.clusters.contains_key(V3));
}

#[test]
fn first_routes_to_unknown_subset_leave_default_route() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(&routes("v1"));
    assert_eq!(call(&mesh), ALL);
    mesh.apply(&rule(&["v1"]));
    assert_eq!(call(&mesh), V1);
}

#[test]
fn unknown_destination_of_new_host_answers_503() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(
        "kind: Gateway\nmetadata: {name: gw, namespace: prod}\n\
         spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n\
         ---\nkind: VirtualService\nmetadata: {name: shop, namespace: prod}\n\
         spec: {hosts: [shop.example.com], gateways: [gw], http: [{route: [{destination: {host: shop, port: {number: 80}}}]}]}",
    );
    let answer = mesh
        .ingress()
        .call("0.0.0.0_8080", "10.244.0.2:8080", "GET shop.example.com /");
    assert_eq!(answer, "503 NC outbound|80||shop.prod.svc.cluster.local");
    assert_eq!(
        codes(&mesh),
        [(
            "AV0101",
            "spec.http[0].route[0].destination.host".to_owned()
        )]
    );
}

#[test]
fn form_held_back_survives_restart_by_the_status() {
    let mut mesh = Mesh::new(&bookinfo("prod"));
    mesh.apply(&rule(&["v1"]));
    mesh.apply(&routes("v1"));
    mesh.apply(&routes("v3"));
    let key = ObjectKey::new("prod", "reviews");
    let held = serde_json::to_value(mesh.snapshot.held_back(&key).unwrap()).unwrap();

    let mut again = Mesh::new(&bookinfo("prod"));
    again.apply(&rule(&["v1"]));
    let object = json!({
        "metadata": {"name": "reviews", "namespace": "prod"},
        "spec": {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "reviews", "subset": "v3"}}]}]},
        "status": {"lastGood": held},
    });
    assert!(
        again
            .snapshot
            .insert(Kind::VirtualService, &object)
            .unwrap()
    );
    again.snapshot.settle();
    assert_eq!(call(&again), V1);
}

#[test]
fn object_that_means_the_same_is_no_change() {
    let mut snapshot = Snapshot::default();
    let mut pod = json!({
        "metadata": {"name": "a", "namespace": "x", "labels": {"app": "a"}},
        "spec": {"containers": []}, "status": {"phase": "Pending"},
    });
    assert!(snapshot.insert(Kind::Pod, &pod).unwrap());
    pod["status"]["phase"] = "Running".into();
    assert!(!snapshot.insert(Kind::Pod, &pod).unwrap());
    pod["metadata"]["labels"]["app"] = "b".into();
    assert!(snapshot.insert(Kind::Pod, &pod).unwrap());
}

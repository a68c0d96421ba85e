//! Copies, and what stands in for a version.

use aviary_mesh::{
    balance::{Ask, Balancer, Member, Policy},
    endpoint::Health,
};
use rand::{SeedableRng, rngs::SmallRng};

use super::*;
use crate::{Kind, ObjectKey, translate_endpoints};

#[test]
fn copies_are_of_listed_methods_and_not_of_requests_that_went_there() {
    let mirror = "mirror: {version: v2, parts: 1000000, methods: [GET, HEAD]}, fallback: v1";
    let copy = "mirror=copies=v2|reviews";
    let pinned = mesh(&[&release(&format!("{mirror}, {}", shares(0, 1_000_000)))]);
    assert_eq!(answer(&pinned, GET), format!("{V1} {copy}"));
    assert_eq!(answer(&pinned, "POST reviews:9080 /"), V1);
    let copies = page(&pinned).endpoints("outbound|9080|copies=v2|reviews.prod.svc.cluster.local");
    assert_eq!(copies, ["10.244.0.14:9080"]);

    let route = "{route: [{destination: {host: reviews}, weight: 50}, {destination: {host: ratings}, weight: 50}]}";
    let split = mesh(&[
        &rules(route),
        &release(&format!("{mirror}, {}", shares(500_000, 500_000))),
    ]);
    let copied = format!("{V1} {copy}");
    check(
        &answers(&split, GET),
        &[(&copied, 0.25), (V2, 0.25), ("|ratings", 0.5)],
    );
}

#[test]
fn copies_of_the_user_go_to_the_steady_version() {
    let route = "{route: [{destination: {host: ratings}}], mirror: {host: reviews}}";
    let mesh = mesh(&[&rules(route), &release(&shares(100_000, 900_000))]);
    assert_eq!(answer(&mesh, GET), "|ratings mirror=version=v1|reviews");
}

/// Which endpoints of a cluster get requests, when these pods are healthy.
fn picked(proxy: &Proxy, cluster: &str, healthy: &[&str]) -> Vec<String> {
    let name = format!("outbound|9080|{cluster}.prod.svc.cluster.local");
    let set = &proxy.config.endpoints[&name];
    let policy = Policy::new(&proxy.config.clusters[&name], set.overprovisioning_percent);
    let members: Vec<Member> = set
        .endpoints
        .iter()
        .map(|it| {
            Member::new(
                it,
                !healthy.contains(&it.address.ip().to_string().as_str()),
                None,
            )
        })
        .collect();
    let mut balancer = Balancer::default();
    balancer.rebuild(policy, &members);
    let mut rng = SmallRng::seed_from_u64(1);
    let mut found = Vec::new();
    for _ in 0..500 {
        let pick = balancer.pick(&Ask::default(), |_| 0, &mut rng);
        found.extend(pick.map(|it| set.endpoints[it].address.ip().to_string()));
    }
    found.sort_unstable();
    found.dedup();
    found
}

#[test]
fn fallback_takes_over_only_when_no_endpoint_is_ready() {
    let pods = [("v1", "10.244.0.13"), ("v2", "10.244.0.14")];
    let mut mesh = Mesh::new(&service_on(
        "prod",
        "reviews",
        "10.96.0.13",
        "http",
        9080,
        9080,
        &pods,
    ));
    mesh.apply(
        "kind: Pod\nmetadata: {name: reviews-v2b, namespace: prod, labels: {app: reviews, version: v2}}\nspec: {containers: []}\n\
         ---\nkind: EndpointSlice\nmetadata: {name: reviews-2, namespace: prod, labels: {kubernetes.io/service-name: reviews}}\n\
         addressType: IPv4\nports: [{name: http, port: 9080, protocol: TCP}]\n\
         endpoints: [{addresses: ['10.244.0.15'], conditions: {ready: true}, targetRef: {kind: Pod, name: reviews-v2b, namespace: prod}}]",
    );
    mesh.apply(&release(&format!(
        "fallback: v1, {}",
        shares(500_000, 500_000)
    )));
    let proxy = page(&mesh);
    let [v1, a, b] = ["10.244.0.13", "10.244.0.14", "10.244.0.15"];
    assert_eq!(picked(&proxy, V2, &[v1, a, b]), [a, b]);
    assert_eq!(picked(&proxy, V2, &[v1, b]), [b]);
    assert_eq!(picked(&proxy, V2, &[v1]), [v1]);
    assert_eq!(picked(&proxy, V1, &[a, b]), Vec::<String>::new());

    let before = crate::translate(&mesh.snapshot, &key()).0;
    assert!(
        mesh.snapshot
            .remove(Kind::EndpointSlice, &ObjectKey::new("prod", "reviews-2"))
    );
    mesh.snapshot.settle();
    let after = crate::translate(&mesh.snapshot, &key()).0;
    assert_ne!(before, after);
    assert_eq!(translate_endpoints(&mesh.snapshot, &key(), &before), after);
    let health = &after.endpoints["outbound|9080|version=v2|reviews.prod.svc.cluster.local"];
    assert!(
        health
            .endpoints
            .iter()
            .all(|it| it.health == Health::Healthy)
    );
}

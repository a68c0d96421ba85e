//! Content conditions beside the user's.

use super::*;

const MATCHED: &str = "matched: {version: v2, matches: [\
    {headers: {end-user: {exact: jason}}}, {uri: {prefix: /api/new}}, {uri: {regex: '/api/(x|y)'}}]}";

#[test]
fn content_comes_before_shares_and_after_the_users_conditions() {
    let route = "{match: [{uri: {prefix: /api}}], rewrite: {uri: /inner}, route: [{destination: {host: reviews}}]}, \
                 {match: [{uri: {exact: /api2}}], redirect: {uri: /api}}, \
                 {match: [{headers: {end-user: {prefix: j}}}], route: [{destination: {host: reviews}}]}, \
                 {route: [{destination: {host: ratings}}]}";
    let overlay = format!("{MATCHED}, {}", shares(0, 1_000_000));
    let mesh = mesh(&[&rules(route), &release(&overlay)]);
    let call = |request: &str| answer(&mesh, request);
    assert_eq!(
        call("GET reviews /api/a?q"),
        format!("{V1} path=/inner/a?q")
    );
    assert_eq!(
        call("GET reviews /api/a end-user=jason"),
        format!("{V2} path=/inner/a")
    );
    assert_eq!(
        call("GET reviews /api/newest"),
        format!("{V2} path=/inner/newest")
    );
    assert_eq!(
        call("GET reviews /api/x?q=/api/z"),
        format!("{V2} path=/inner/x?q=/api/z")
    );
    assert_eq!(call("GET reviews /api/xx"), format!("{V1} path=/inner/xx"));
    assert_eq!(call("GET reviews / end-user=jason"), V2);
    assert_eq!(call("GET reviews / end-user=jane"), V1);
    assert_eq!(call("GET reviews /"), "|ratings");
    assert_eq!(call("GET reviews /b end-user=bob"), "|ratings");
}

#[test]
fn content_and_ratio_work_at_once_without_rules() {
    let overlay = format!("{MATCHED}, {}", shares(200_000, 800_000));
    let mesh = mesh(&[&release(&overlay)]);
    assert_eq!(answer(&mesh, &format!("{GET} end-user=jason")), V2);
    assert_eq!(answer(&mesh, "GET reviews /api/y"), V2);
    check(&answers(&mesh, GET), &[(V1, 0.8), (V2, 0.2)]);
}

#[test]
fn two_expressions_on_the_path_are_told() {
    let route = "{match: [{uri: {regex: '/a.*'}}], route: [{destination: {host: reviews}}]}";
    let overlay = format!("{MATCHED}, {}", shares(0, 1_000_000));
    let mesh = mesh(&[&rules(route), &release(&overlay)]);
    let (_, diagnostics) = crate::translate(&mesh.snapshot, &key());
    let found: Vec<_> = diagnostics
        .iter()
        .map(|it| (it.code, it.path.as_str()))
        .collect();
    assert_eq!(found, [("AV0205", "status.overlay.matched.matches[2]")]);
}

const GATEWAY: &str = "kind: Gateway\nmetadata: {name: gw, namespace: prod}\n\
    spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}";

#[test]
fn gateway_and_mesh_split_alike_and_rules_of_later_objects_are_not_hidden() {
    let at_gateway = |name: &str, http: &str| {
        format!(
            "kind: VirtualService\nmetadata: {{name: {name}, namespace: prod}}\n\
             spec: {{hosts: [shop.example.com], gateways: [gw], http: [{http}]}}"
        )
    };
    let overlay = format!("{MATCHED}, {}", shares(200_000, 800_000));
    let mesh = mesh(&[
        GATEWAY,
        &at_gateway(
            "a",
            "{route: [{destination: {host: reviews, port: {number: 9080}}}]}",
        ),
        &at_gateway(
            "b",
            "{match: [{uri: {prefix: /b}}], route: [{destination: {host: ratings, port: {number: 9080}}}]}",
        ),
        &release(&overlay),
    ]);
    let call = |request: &str| {
        let shares = mesh
            .ingress()
            .shares("0.0.0.0_8080", "10.244.0.2:8080", request, 4000);
        let short = shares
            .into_iter()
            .map(|(name, count)| (short(&name), count));
        short.collect::<BTreeMap<String, u32>>()
    };
    check(&call("GET shop.example.com /"), &[(V1, 0.8), (V2, 0.2)]);
    assert_eq!(
        call("GET shop.example.com / end-user=jason"),
        [(V2.to_owned(), 4000)].into()
    );
    let other = call("GET shop.example.com /b end-user=jason");
    assert_eq!(other, [("|ratings".to_owned(), 4000)].into());
    check(&answers(&mesh, GET), &[(V1, 0.8), (V2, 0.2)]);
}

//! Gateways: ports, hosts and merging.

use super::support::{Mesh, bookinfo};
use crate::analyze;

fn gateway(name: &str, port: u16, host: &str) -> String {
    format!(
        "---\nkind: Gateway\nmetadata: {{name: {name}, namespace: prod}}\n\
         spec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: {port}, name: http, protocol: HTTP}}, hosts: ['{host}']}}]}}\n"
    )
}

fn rules(name: &str, created: u32, host: &str, gateways: &str, http: &str) -> String {
    format!(
        "---\nkind: VirtualService\nmetadata: {{name: {name}, namespace: prod, creationTimestamp: '2026-01-01T00:00:0{created}Z'}}\n\
         spec: {{hosts: ['{host}'], gateways: [{gateways}], http: [{http}]}}\n"
    )
}

const TO_PAGE: &str = "{route: [{destination: {host: productpage}}]}";
const TO_DETAILS: &str =
    "{match: [{uri: {prefix: /details}}], route: [{destination: {host: details}}]}";
const PAGE: &str = "outbound|9080||productpage.prod.svc.cluster.local";
const DETAILS: &str = "outbound|9080||details.prod.svc.cluster.local";

fn check(input: &str, listener: &str, request: &str, want: &str) {
    let mesh = Mesh::new(&(bookinfo("prod") + input));
    let answer = mesh.ingress().call(listener, "10.244.0.2:1", request);
    assert_eq!(answer, want, "{request}");
}

#[test]
fn gateway_without_rules_answers_404() {
    check(
        &gateway("gw", 80, "*"),
        "0.0.0.0_8080",
        "GET a.com /",
        "404 NR",
    );
}

#[test]
fn gateway_port_no_service_has_is_bound_as_it_is() {
    let input = gateway("gw", 9999, "*") + &rules("a", 0, "*", "gw", TO_PAGE);
    check(&input, "0.0.0.0_9999", "GET a.com /", PAGE);
}

#[test]
fn gateways_of_ports_80_and_8080_share_a_table() {
    let input = gateway("old", 80, "a.com")
        + &gateway("new", 8080, "b.com")
        + &rules("a", 0, "*", "'old'", TO_PAGE)
        + &rules("b", 1, "*", "'new'", TO_DETAILS);
    check(&input, "0.0.0.0_8080", "GET a.com /x", PAGE);
    check(&input, "0.0.0.0_8080", "GET b.com:8080 /details/0", DETAILS);
    check(&input, "0.0.0.0_8080", "GET b.com:8080 /x", "404 NR");
}

#[test]
fn server_narrows_hosts_of_rules() {
    let input = gateway("gw", 80, "a.foo.com") + &rules("a", 0, "*.foo.com", "gw", TO_PAGE);
    check(&input, "0.0.0.0_8080", "GET a.foo.com /", PAGE);
    check(&input, "0.0.0.0_8080", "GET b.foo.com /", "404 NR");
}

#[test]
fn server_namespace_restricts_rules() {
    let input = gateway("gw", 80, "other/*") + &rules("a", 0, "*", "gw", TO_PAGE);
    check(&input, "0.0.0.0_8080", "GET a.com /", "404 NR");
    let input = gateway("gw", 80, "./*") + &rules("a", 0, "*", "gw", TO_PAGE);
    check(&input, "0.0.0.0_8080", "GET a.com /", PAGE);
}

#[test]
fn catch_all_of_older_rules_does_not_hide_younger_rules() {
    let input = gateway("gw", 80, "*")
        + &rules("a", 0, "a.com", "gw", TO_PAGE)
        + &rules("b", 1, "a.com", "gw", TO_DETAILS);
    check(&input, "0.0.0.0_8080", "GET a.com /details/0", DETAILS);
    check(&input, "0.0.0.0_8080", "GET a.com /x", PAGE);
}

#[test]
fn rules_of_unknown_gateway_are_remarked() {
    let mesh = Mesh::new(&(bookinfo("prod") + &rules("a", 0, "a.com", "nowhere", TO_PAGE)));
    let found = analyze(&mesh.snapshot);
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].code, found[0].path.as_str()),
        ("AV0103", "spec.gateways[0]")
    );
}

#[test]
fn redirect_rewrite_and_direct_answer_are_made() {
    let http = "{match: [{uri: {exact: /old}}], redirect: {uri: /new, redirectCode: 302}}, \
                {match: [{uri: {prefix: /api/}}], rewrite: {uri: /, authority: api.internal}, timeout: 3s, route: [{destination: {host: details}}]}, \
                {match: [{uri: {exact: /ping}}], directResponse: {status: 200, body: {string: pong}}}, \
                {mirror: {host: reviews}, route: [{destination: {host: productpage}}]}";
    let input = gateway("gw", 80, "*") + &rules("a", 0, "*", "gw", http);
    let listener = "0.0.0.0_8080";
    check(&input, listener, "GET a.com /old", "302 http://a.com/new");
    check(
        &input,
        listener,
        "GET a.com /api/x?y=1",
        &format!("{DETAILS} path=/x?y=1 host=api.internal timeout=3s"),
    );
    check(&input, listener, "GET a.com /ping", "200 pong");
    let mirrored = format!("{PAGE} mirror=outbound|9080||reviews.prod.svc.cluster.local");
    check(&input, listener, "GET a.com /", &mirrored);
}

use super::*;

const FILE: &str = r#"
static_resources:
  listeners:
  - name: in
    address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - {name: jason, match: {prefix: /, headers: [{name: end-user, string_match: {exact: jason}}]}, route: {cluster: v2}}
              - name: split
                match: {prefix: /a}
                route:
                  timeout: 3s
                  retry_policy: {retry_on: 5xx, num_retries: 2}
                  weighted_clusters: {clusters: [{name: v1, weight: 90}, {name: v2, weight: 10}]}
              - {name: gone, match: {path: /gone}, direct_response: {status: 410}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: v1
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: v1
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9001}}}}]}]
  - name: v2
    type: STATIC
    connect_timeout: 1s
    load_assignment: {cluster_name: v2}
"#;

fn explained(url: &str, headers: &[&str], live: &str) -> String {
    let headers: Vec<_> = headers.iter().map(|header| (*header).to_owned()).collect();
    let asked = Asked::new("get", url, &headers).unwrap();
    let config = aviary_proxy::Bootstrap::read(FILE).unwrap().config;
    explain(config, &asked, UNKNOWN, None, live).unwrap().text()
}

#[test]
fn explain_split_tells_every_branch() {
    let live = "v1::127.0.0.1:9001::health_flags::/failed_outlier_check\n";
    let text = explained("http://web:8080/a/b?q=1", &[], live);
    for line in [
        "GET http://web:8080/a/b?q=1\n",
        "  listener in accepts\n",
        "  route #1 `split`: taken\n",
        "forwarded\n    90 %  v1\n            127.0.0.1:9001  failed_outlier_check\n    10 %  v2\n            no endpoints\n",
        "\n  timeout 3s\n  2 more tries on 5xx",
    ] {
        assert!(text.contains(line), "{line:?} in:\n{text}");
    }
}

#[test]
fn explain_path_has_the_form_that_the_chain_gives_it() {
    let more = "stat_prefix: in\n          normalize_path: true\n          merge_slashes: true";
    let file = FILE.replace("stat_prefix: in", more);
    let config = aviary_proxy::Bootstrap::read(&file).unwrap().config;
    let asked = Asked::new("get", "http://web/x/..//gone", &[]).unwrap();
    let text = explain(config, &asked, UNKNOWN, None, "").unwrap().text();
    assert!(text.contains("the rules see GET http://web/gone"), "{text}");
    assert!(text.ends_with("answered in place with 410"), "{text}");
}

#[test]
fn explain_headers_decide() {
    let text = explained("web", &["End-User: jason"], "");
    assert!(text.contains("route #0 `jason`: taken"), "{text}");
    assert!(text.contains("100 %  v2"), "{text}");
    let text = explained("http://web/gone", &[], "");
    assert!(text.ends_with("answered in place with 410"), "{text}");
    let text = explained("http://web/elsewhere", &[], "");
    assert!(text.ends_with("answered with 404"), "{text}");
}

/// As curl does it: the URL says where the connection goes, the header what is asked for there.
#[test]
fn explain_host_header_does_not_lead_the_connection() {
    let headers = ["Host: other.example".to_owned()];
    let asked = Asked::new("get", "http://web:8080/a", &headers).unwrap();
    assert_eq!((asked.host(), asked.port()), ("web", 8080));
    assert_eq!(asked.authority(), "other.example");
}

use serde_json::{Value, json};

use super::{Finding, validate};

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).expect("test input is YAML")
}

/// Judges a specification given as YAML; `want` is `path: message` with the message's beginning.
fn check(kind: &str, spec: &str, want: &[&str]) {
    let object = json!({"metadata": {"name": "x", "namespace": "prod"}, "spec": yaml(spec)});
    let found: Vec<String> = validate(kind, &object)
        .into_iter()
        .map(|Finding { path, message }| format!("{path}: {message}"))
        .collect();
    let same = found.len() == want.len()
        && found
            .iter()
            .zip(want)
            .all(|(found, want)| found.starts_with(want));
    assert!(same, "found {found:#?}\nwant {want:#?}");
}

fn route(rest: &str) -> String {
    format!(
        "hosts: [reviews]\nhttp:\n- {}\n",
        rest.replace('\n', "\n  ")
    )
}

const TO: &str = "route: [{destination: {host: reviews}}]";

#[test]
fn virtual_service_of_tutorial_is_accepted() {
    check("VirtualService", &route(TO), &[]);
    check(
        "VirtualService",
        &route(&format!(
            "match: [{{headers: {{end-user: {{exact: jason}}}}}}]\n{TO}\nfault: {{delay: {{percentage: {{value: 100.0}}, fixedDelay: 7s}}}}"
        )),
        &[],
    );
    check(
        "VirtualService",
        "hosts: ['*']\ngateways: [gw]\nhttp: [{route: [{destination: {host: a}}]}]",
        &[],
    );
}

#[test]
fn field_not_honoured_is_refused_with_its_path() {
    check(
        "VirtualService",
        &route(&format!("{TO}\ndelegate: {{name: other}}")),
        &["spec.http[0].delegate: not honoured yet by Aviary; remove it"],
    );
    check(
        "VirtualService",
        &format!("{}exportTo: ['.']", route(TO)),
        &["spec.exportTo: not honoured yet"],
    );
    check(
        "DestinationRule",
        "host: a\ntrafficPolicy: {loadBalancer: {localityLbSetting: {enabled: true}}, tls: {mode: ISTIO_MUTUAL}}",
        &[
            "spec.trafficPolicy.loadBalancer.localityLbSetting: not",
            "spec.trafficPolicy.tls: not",
        ],
    );
    check(
        "Gateway",
        "selector: {a: b}\nservers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE}}]",
        &[
            "spec.servers[0].tls: not honoured",
            "spec.servers[0].port.protocol: `HTTPS` is not honoured",
        ],
    );
}

#[test]
fn fallback_of_traffic_labels_is_refused() {
    check(
        "VirtualService",
        &route(
            "route:\n- destination: {host: reviews, subset: $trafficLabel}\n  fallback: {case: noinstances}",
        ),
        &[
            "spec.http[0].route[0].fallback: unknown field",
            "spec.http[0].route[0].destination.subset: `$trafficLabel`",
        ],
    );
}

#[test]
fn weights_must_leave_a_way() {
    let two = |a: i64, b: i64| {
        route(&format!(
            "route: [{{destination: {{host: a}}, weight: {a}}}, {{destination: {{host: b}}, weight: {b}}}]"
        ))
    };
    check("VirtualService", &two(0, 100), &[]);
    check("VirtualService", &two(30, 30), &[]);
    check(
        "VirtualService",
        &two(0, 0),
        &["spec.http[0].route: the weights add up to 0"],
    );
    check(
        "VirtualService",
        &two(-1, 2),
        &["spec.http[0].route[0].weight: -1 is not a weight"],
    );
}

#[test]
fn virtual_service_without_hosts_or_rules_is_refused() {
    check(
        "VirtualService",
        "{}",
        &["spec.hosts: is empty", "spec.http: is empty"],
    );
    check(
        "VirtualService",
        &route("{}"),
        &["spec.http[0]: has neither"],
    );
    check(
        "VirtualService",
        &route(&format!("{TO}\nredirect: {{uri: /x}}")),
        &["spec.http[0]: has route and redirect; keep one"],
    );
}

#[test]
fn values_that_cannot_be_read_are_refused_with_their_path() {
    check(
        "VirtualService",
        &route(&format!(
            "{TO}\ntimeout: soon\nretries: {{attempts: -1, retryOn: 'sometimes,503'}}"
        )),
        &[
            "spec.http[0].timeout: `soon`",
            "spec.http[0].retries.attempts: -1",
            "spec.http[0].retries.retryOn: `sometimes`",
        ],
    );
    check(
        "VirtualService",
        &route(&format!(
            "{TO}\nmatch: [{{uri: {{regex: '(a'}}, port: 70000}}]"
        )),
        &[
            "spec.http[0].match[0].uri.regex: `(a`",
            "spec.http[0].match[0].port: 70000 is not a port",
        ],
    );
    check(
        "VirtualService",
        &route(&format!(
            "{TO}\nfault: {{abort: {{httpStatus: 99, percentage: {{value: 101}}}}}}"
        )),
        &[
            "spec.http[0].fault.abort.httpStatus: 99",
            "spec.http[0].fault.abort.percentage.value: 101",
        ],
    );
    check(
        "VirtualService",
        "hosts: ['a b']\nhttp: x",
        &["spec: the object does not have the form"],
    );
}

#[test]
fn host_star_is_for_gateways_only() {
    check(
        "VirtualService",
        "hosts: ['*']\nhttp: [{route: [{destination: {host: a}}]}]",
        &["spec.hosts[0]: the host `*` is not allowed for the gateway `mesh`"],
    );
}

#[test]
fn destination_rule_names_are_checked() {
    check(
        "DestinationRule",
        "host: reviews\nsubsets: [{name: v1}, {name: v1}, {name: ''}]",
        &[
            "spec.subsets[1].name: `v1` is here twice",
            "spec.subsets[2].name: is empty",
        ],
    );
    check("DestinationRule", "subsets: []", &["spec.host: is empty"]);
    check(
        "DestinationRule",
        "host: a\ntrafficPolicy: {loadBalancer: {simple: FASTEST}}",
        &["spec: the object does not have the form of its kind: unknown variant `FASTEST`"],
    );
}

#[test]
fn cors_policy_is_checked() {
    check(
        "VirtualService",
        &route(&format!(
            "{TO}\ncorsPolicy: {{allowOrigins: [{{}}, {{regex: '(a'}}], allowMethods: ['G T'], maxAge: 1ms}}"
        )),
        &[
            "spec.http[0].corsPolicy.allowOrigins[0]: is empty",
            "spec.http[0].corsPolicy.allowOrigins[1].regex: `(a`",
            "spec.http[0].corsPolicy.allowMethods[0]: `G T` is not a method",
            "spec.http[0].corsPolicy.maxAge: must be whole seconds",
        ],
    );
}

#[test]
fn fault_grpc_status_is_one_that_exists() {
    check(
        "VirtualService",
        &route(&format!(
            "{TO}\nfault: {{abort: {{grpcStatus: GONE, percentage: {{value: 1}}}}}}"
        )),
        &["spec.http[0].fault.abort.grpcStatus: `GONE` is not a gRPC status"],
    );
}

#[test]
fn consistent_hash_is_of_one_part() {
    let hash = |hash: &str| {
        format!("host: a\ntrafficPolicy: {{loadBalancer: {{consistentHash: {hash}}}}}")
    };
    let path = "spec.trafficPolicy.loadBalancer.consistentHash";
    check(
        "DestinationRule",
        &hash("{httpCookie: {name: a, ttl: 0s}, ringHash: {minimumRingSize: 10}}"),
        &[],
    );
    check(
        "DestinationRule",
        &hash("{httpHeaderName: a, useSourceIp: true, maglev: {tableSize: 10}}"),
        &[
            &format!("{path}: needs one of"),
            &format!("{path}.maglev.tableSize: 10 is not a prime number"),
        ],
    );
    check(
        "DestinationRule",
        "host: a\ntrafficPolicy: {loadBalancer: {simple: RANDOM, warmup: {aggression: 0.5}}}",
        &[
            "spec.trafficPolicy.loadBalancer.warmup.duration: is missing",
            "spec.trafficPolicy.loadBalancer.warmup.aggression: must be at least 1",
            "spec.trafficPolicy.loadBalancer.warmup: has no effect",
        ],
    );
}

#[test]
fn gateway_needs_servers_ports_and_hosts() {
    check(
        "Gateway",
        "selector: {istio: ingressgateway}",
        &["spec.servers: is empty"],
    );
    check(
        "Gateway",
        "selector: {a: b}\nservers: [{port: {number: 0, protocol: HTTP}, hosts: []}]",
        &[
            "spec.servers[0].port.number: 0 is not a port",
            "spec.servers[0].hosts: is empty",
        ],
    );
}

#[test]
fn definitions_know_every_honoured_field() {
    for definition in crate::crd::all() {
        let versions = definition["spec"]["versions"].as_array().unwrap();
        assert_eq!(versions.len(), 3);
        assert_eq!(
            versions
                .iter()
                .filter(|version| version["storage"] == true)
                .count(),
            1
        );
        let spec = &versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        assert_eq!(spec["type"], "object");
    }
}

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

/// Judges a `Release` of the Service `reviews` to version `v2` with more fields.
fn release(rest: &str, want: &[&str]) {
    let spec = format!("service: reviews\nnew: {{version: v2}}\n{rest}");
    check("Release", &spec, want);
}

const CANARY: &str = "strategy: {canary: {steps: [{weight: 0.05, pause: {approval: true}}, {weight: 20, pause: {duration: 5m}}]}}";

#[test]
fn release_of_each_strategy_is_accepted() {
    for strategy in [
        CANARY,
        "strategy: {canary: {matches: [{headers: {end-user: {exact: jason}}}, {uri: {prefix: /v2}}]}}",
        "strategy: {canary: {steps: [{weight: 10}], matches: [{headers: {cookie: {regex: '.*gray=1.*'}}}]}}",
        "strategy: {blueGreen: {}}",
        "strategy: {blueGreen: {pause: {approval: true}, keepOld: 10m}}",
        "strategy: {mirror: {percentage: 12.5, methods: [GET], duration: 1m}}",
    ] {
        release(strategy, &[]);
    }
    release(
        &format!(
            "{CANARY}\nstable: v1\naffinity: {{cookie: user}}\nlimits: {{ackDeadline: 5s}}\nonDelete: new\n\
             analysis: {{window: 10s, checks: [{{name: errors, metric: successRate, bound: {{min: 99}}}}]}}\n\
             control: {{attempt: 2, approvedStep: 3, paused: true, takeOver: new, restart: 1, jumpTo: 2}}"
        ),
        &[],
    );
    check(
        "Release",
        &format!(
            "service: reviews\nnew: {{version: v2, image: 'reviews:2', env: [{{name: A, value: b}}], replicas: 3}}\n{CANARY}"
        ),
        &[],
    );
}

#[test]
fn release_with_bad_names_is_refused_with_each_path() {
    check(
        "Release",
        "{}",
        &[
            "spec.service: is missing",
            "spec.new.version: is missing",
            "spec.strategy: is empty",
        ],
    );
    check(
        "Release",
        &format!(
            "service: a.b\nstable: V1\nnew: {{version: -v2, image: '', env: [{{name: 'a=b'}}, {{name: 'a=b'}}], replicas: 0}}\n{CANARY}"
        ),
        &[
            "spec.service: `a.b` is not the name of a Service",
            "spec.stable: `V1` is not a version",
            "spec.new.version: `-v2` is not a version",
            "spec.new.image: is empty",
            "spec.new.env[0].name: `a=b` is not a variable's name",
            "spec.new.env[1].name: `a=b` is not a variable's name",
            "spec.new.env[1].name: `a=b` is here twice",
            "spec.new.replicas: is 0",
        ],
    );
    release(
        &format!("stable: v2\n{CANARY}"),
        &["spec.stable: `v2` is the new version, too"],
    );
    check(
        "Release",
        &format!("service: a\nnew: {{version: v2, env: [{{name: A}}], container: c}}\n{CANARY}"),
        &[
            "spec.new.env: has an effect only with `image`",
            "spec.new.container: has an effect only with `image`",
        ],
    );
}

#[test]
fn release_with_bad_plan_is_refused_with_each_path() {
    for (strategy, want) in [
        ("{canary: {}}", vec!["spec.strategy.canary.steps: is empty"]),
        (
            "{canary: {steps: [{weight: 1}]}, blueGreen: {}}",
            vec!["spec.strategy: has canary and blueGreen; keep one"],
        ),
        (
            "{canary: {steps: [{weight: 101}, {weight: 0.00001, pause: {}}, {weight: -1}]}}",
            vec![
                "spec.strategy.canary.steps[0].weight: 101 is not a percentage",
                "spec.strategy.canary.steps[1].weight: 0.00001 is finer than",
                "spec.strategy.canary.steps[1].weight: 0.00001 is less than the step before",
                "spec.strategy.canary.steps[1].pause: is empty",
                "spec.strategy.canary.steps[2].weight: -1 is not a percentage",
                "spec.strategy.canary.steps[2].weight: -1 is less than the step before",
            ],
        ),
        (
            "{canary: {matches: [{uri: {regex: '('}}]}}",
            vec!["spec.strategy.canary.matches[0].uri.regex: `(` is not a regular expression"],
        ),
        (
            "{blueGreen: {keepOld: soon}}",
            vec!["spec.strategy.blueGreen.keepOld: `soon` is not a duration"],
        ),
        (
            "{mirror: {percentage: 0, methods: [get]}}",
            vec![
                "spec.strategy.mirror.percentage: is 0",
                "spec.strategy.mirror.methods[0]: `get` is not a method",
            ],
        ),
        (
            "{canary: {steps: [{weight: 1, header: x}]}}",
            vec!["spec.strategy.canary.steps[0].header: unknown field"],
        ),
    ] {
        release(&format!("strategy: {strategy}"), &want);
    }
}

#[test]
fn release_with_bad_verbs_limits_or_checks_is_refused_with_each_path() {
    for (field, want) in [
        ("affinity: {}", vec!["spec.affinity: is empty"]),
        (
            "affinity: {header: 'a b', cookie: c}",
            vec![
                "spec.affinity: has `header` and `cookie`",
                "spec.affinity.header: `a b` is not a header's name",
            ],
        ),
        (
            "limits: {ackDeadline: 0s, drainDeadline: x}",
            vec![
                "spec.limits.ackDeadline: `0s` is too short",
                "spec.limits.drainDeadline: `x` is not a duration",
            ],
        ),
        (
            "control: {attempt: 0, approvedStep: 4, jumpTo: 0}",
            vec![
                "spec.control.attempt: is 0",
                "spec.control.approvedStep: 4 is not a step; the plan has 1 to 3",
                "spec.control.jumpTo: 0 is not a step",
            ],
        ),
        (
            "control: {aborted: true, takeOver: new}",
            vec!["spec.control.takeOver: cannot stand beside `aborted`"],
        ),
        (
            "analysis: {checks: [{bound: {min: 2, max: 1, worseThanStable: -1}}, {name: a}, {name: a, bound: {min: 1}}]}",
            vec![
                "spec.analysis.checks[0].name: is missing",
                "spec.analysis.checks[0].bound: `min` 2 is above `max` 1",
                "spec.analysis.checks[0].bound.worseThanStable: is negative",
                "spec.analysis.checks[1].bound: is empty",
                "spec.analysis.checks[2].name: `a` is here twice",
            ],
        ),
        (
            "onDelete: both",
            vec!["spec: the object does not have the form of its kind"],
        ),
    ] {
        release(&format!("{CANARY}\n{field}"), &want);
    }
}

#[test]
fn release_is_not_served_before_it_has_a_controller() {
    assert!(!super::judges(crate::release::GROUP, "Release"));
    let served = crate::crd::all();
    assert!(
        served
            .iter()
            .all(|one| one["spec"]["names"]["kind"] != "Release")
    );
}

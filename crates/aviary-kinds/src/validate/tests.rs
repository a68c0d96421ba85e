use serde_json::json;

use super::*;
use crate::{Registry, Status};

fn findings(group: &str, plural: &str, mut new: Value, old: Option<&Value>) -> Vec<String> {
    let registry = Registry::builtin();
    let kind = registry.get(group, "v1", plural).expect("a built-in kind");
    kind.default(&mut new);
    kind.validate(&new, old)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn deployment(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "x", "image": "x:1"}]},
            },
        },
    });
    change(&mut object);
    Registry::builtin()
        .get("apps", "v1", "deployments")
        .expect("deployments")
        .default(&mut object);
    object
}

fn check_deployment(change: impl FnOnce(&mut Value), expected: &[&str]) {
    assert_eq!(
        findings("apps", "deployments", deployment(change), None),
        expected
    );
}

#[test]
fn deployment_without_faults_has_no_findings() {
    check_deployment(|_| {}, &[]);
}

#[test]
fn deployment_negative_replicas_are_refused_in_the_real_words() {
    let registry = Registry::builtin();
    let kind = registry
        .get("apps", "v1", "deployments")
        .expect("deployments");
    let causes = kind.validate(&deployment(|d| d["spec"]["replicas"] = json!(-1)), None);
    assert_eq!(
        Status::invalid(kind, "x", causes).message,
        "Deployment.apps \"x\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
}

#[test]
fn deployment_faults_are_found() {
    check_deployment(
        |d| d["spec"]["template"]["metadata"]["labels"] = json!({"app": "y"}),
        &[
            "spec.template.metadata.labels: Invalid value: {\"app\":\"y\"}: `selector` does not match template `labels`",
        ],
    );
    check_deployment(
        |d| d["spec"]["template"]["spec"]["containers"] = json!([]),
        &["spec.template.spec.containers: Required value"],
    );
    check_deployment(
        |d| d["spec"]["template"]["spec"]["containers"][0] = json!({}),
        &[
            "spec.template.spec.containers[0].name: Required value",
            "spec.template.spec.containers[0].image: Required value",
        ],
    );
    check_deployment(
        |d| d["spec"]["template"]["spec"]["restartPolicy"] = json!("Never"),
        &[
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ],
    );
    check_deployment(
        |d| {
            d["spec"]["template"]["spec"]["containers"][0]["ports"] =
                json!([{"containerPort": 70000}]);
        },
        &[
            "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ],
    );
    check_deployment(
        |d| {
            d["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
                json!([{"name": "v", "mountPath": "/v"}]);
        },
        &["spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"v\""],
    );
    check_deployment(
        |d| d["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": 0, "maxUnavailable": 0}),
        &[
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ],
    );
}

#[test]
fn deployment_selector_change_is_refused() {
    let old = deployment(|_| {});
    let new = deployment(|d| {
        d["spec"]["selector"] = json!({"matchLabels": {"app": "y"}});
        d["spec"]["template"]["metadata"]["labels"] = json!({"app": "y"});
    });
    assert_eq!(
        findings("apps", "deployments", new, Some(&old)),
        ["spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"y\"}}: field is immutable"]
    );
}

#[test]
fn names_are_checked_by_kind() {
    let named = |name: &str| json!({"metadata": {"name": name, "namespace": "default"}});
    assert!(findings("", "configmaps", named("a.b-c"), None).is_empty());
    let found = findings("", "configmaps", named("A_b"), None);
    assert!(
        found[0]
            .starts_with("metadata.name: Invalid value: \"A_b\": a lowercase RFC 1123 subdomain")
    );
    let mut service = named("1a");
    service["spec"] = json!({"ports": [{"port": 80}]});
    let found = findings("", "services", service, None);
    assert!(
        found[0].starts_with("metadata.name: Invalid value: \"1a\": a DNS-1035 label"),
        "{found:?}"
    );
    let found = findings("", "namespaces", json!({"metadata": {"name": "a.b"}}), None);
    assert!(
        found[0].starts_with("metadata.name: Invalid value: \"a.b\": a lowercase RFC 1123 label")
    );
}

#[test]
fn labels_are_checked() {
    let object =
        json!({"metadata": {"name": "a", "namespace": "default", "labels": {"-x": "a b"}}});
    let found = findings("", "configmaps", object, None);
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("metadata.labels: Invalid value: \"-x\": name part must consist"));
    assert!(found[1].starts_with("metadata.labels: Invalid value: \"a b\": a valid label must be"));
}

#[test]
fn service_ports_are_checked() {
    let service =
        |spec: Value| json!({"metadata": {"name": "s", "namespace": "default"}, "spec": spec});
    assert_eq!(
        findings("", "services", service(json!({})), None),
        ["spec.ports: Required value"]
    );
    assert!(findings("", "services", service(json!({"clusterIP": "None"})), None).is_empty());
    let ports = json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]});
    assert_eq!(
        findings("", "services", service(ports), None),
        ["spec.ports[1]: Duplicate value: {\"port\":80,\"protocol\":\"TCP\"}"]
    );
    let ports = json!({"ports": [{"port": 80}, {"port": 81, "nodePort": 30000, "name": "b"}]});
    assert_eq!(
        findings("", "services", service(ports), None),
        [
            "spec.ports[0].name: Required value",
            "spec.ports[1].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"
        ]
    );
}

#[test]
fn service_address_may_not_change() {
    let service = |ip: &str| {
        json!({"metadata": {"name": "s", "namespace": "default"},
               "spec": {"clusterIP": ip, "ports": [{"port": 80}]}})
    };
    assert_eq!(
        findings(
            "",
            "services",
            service("10.96.0.8"),
            Some(&service("10.96.0.7"))
        ),
        ["spec.clusterIPs[0]: Invalid value: [\"10.96.0.8\"]: may not change once set"]
    );
}

#[test]
fn endpoint_slice_loopback_address_is_refused() {
    let slice = |address: &str| {
        json!({"metadata": {"name": "e", "namespace": "default"}, "addressType": "IPv4",
               "endpoints": [{"addresses": [address]}], "ports": [{"port": 80}]})
    };
    let found = findings(
        "discovery.k8s.io",
        "endpointslices",
        slice("127.0.0.1"),
        None,
    );
    assert_eq!(
        found,
        [
            "endpoints[0].addresses[0]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)"
        ]
    );
    for address in ["10.244.0.1", "100.64.0.1", "198.18.0.1", "240.0.0.1"] {
        assert!(findings("discovery.k8s.io", "endpointslices", slice(address), None).is_empty());
    }
    for address in ["169.254.1.1", "0.0.0.0", "224.0.0.1", "x", "::1"] {
        assert!(!findings("discovery.k8s.io", "endpointslices", slice(address), None).is_empty());
    }
}

#[test]
fn pod_specification_is_fixed_but_for_images() {
    let registry = Registry::builtin();
    let kind = registry.get("", "v1", "pods").expect("pods");
    let pod = |image: &str, command: &str, node: Value| {
        let mut object = json!({
            "metadata": {"name": "p", "namespace": "default"},
            "spec": {"containers": [{"name": "a", "image": image, "command": [command]}], "nodeName": node},
        });
        kind.default(&mut object);
        object
    };
    let old = pod("a:1", "x", Value::Null);
    let refused = |new: &Value, old: &Value| !kind.validate(new, Some(old)).is_empty();
    assert!(!refused(&pod("a:2", "x", Value::Null), &old));
    assert!(refused(&pod("a:1", "y", Value::Null), &old));
    let bound = pod("a:1", "x", json!("n1"));
    assert!(!refused(&bound, &old));
    assert!(refused(&pod("a:1", "x", json!("n2")), &bound));
}

#[test]
fn secret_type_needs_its_keys() {
    let secret =
        json!({"metadata": {"name": "s", "namespace": "default"}, "type": "kubernetes.io/tls"});
    assert_eq!(
        findings("", "secrets", secret, None),
        [
            "data[tls.crt]: Required value",
            "data[tls.key]: Required value"
        ]
    );
}

#[test]
fn sidecar_may_have_probes_and_plain_init_container_may_not() {
    let pod = |policy: Value| {
        let mut init =
            json!({"name": "i", "image": "i:1", "startupProbe": {"tcpSocket": {"port": 1}}});
        if policy.is_string() {
            init["restartPolicy"] = policy;
        }
        json!({"metadata": {"name": "p", "namespace": "default"},
               "spec": {"initContainers": [init], "containers": [{"name": "a", "image": "a:1"}]}})
    };
    assert!(findings("", "pods", pod(json!("Always")), None).is_empty());
    assert_eq!(
        findings("", "pods", pod(Value::Null), None),
        [
            "spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers without restartPolicy=Always"
        ]
    );
}

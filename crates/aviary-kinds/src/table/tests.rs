use serde_json::json;

use super::*;
use crate::{Registry, kind::PrinterColumn};

fn now() -> Timestamp {
    "2026-11-21T08:30:40Z".parse().expect("a time")
}

fn check(group: &str, plural: &str, object: &Value, cells: &Value) {
    let registry = Registry::builtin();
    let kind = registry.get(group, "v1", plural).expect("a built-in kind");
    let row = row(kind, object, now(), IncludeObject::None);
    assert_eq!(&row["cells"], cells);
    let heads = columns(kind);
    assert_eq!(
        heads.as_array().map(Vec::len),
        cells.as_array().map(Vec::len),
        "{plural}"
    );
}

fn pod(spec: &Value, status: &Value) -> Value {
    json!({
        "metadata": {"name": "p", "creationTimestamp": "2026-11-21T08:30:33Z"},
        "spec": spec,
        "status": status,
    })
}

fn check_pod(spec: &Value, status: &Value, ready: &str, word: &str, restarts: &str) {
    let cells = json!([
        "p", ready, word, restarts, "7s", "<none>", "<none>", "<none>", "<none>"
    ]);
    check("", "pods", &pod(spec, status), &cells);
}

#[test]
fn deployment_row_is_the_recorded_one() {
    let object = json!({
        "metadata": {"name": "micro-api", "creationTimestamp": "2026-11-21T08:30:32Z"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "micro-api"}},
            "template": {"spec": {"containers": [{"name": "micro-api", "image": "r/micro-api:1.0"}]}},
        },
        "status": {"readyReplicas": 3, "updatedReplicas": 3, "availableReplicas": 3},
    });
    let cells = json!([
        "micro-api",
        "3/3",
        3,
        3,
        "8s",
        "micro-api",
        "r/micro-api:1.0",
        "app=micro-api"
    ]);
    check("apps", "deployments", &object, &cells);
}

#[test]
fn running_pod_row_is_the_recorded_one() {
    let object = pod(
        &json!({"containers": [{"name": "a"}], "nodeName": "node-a"}),
        &json!({
            "phase": "Running",
            "podIPs": [{"ip": "10.244.0.3"}],
            "containerStatuses": [{"ready": true, "restartCount": 0, "state": {"running": {}}}],
        }),
    );
    let cells = json!([
        "p",
        "1/1",
        "Running",
        "0",
        "7s",
        "10.244.0.3",
        "node-a",
        "<none>",
        "<none>"
    ]);
    check("", "pods", &object, &cells);
}

#[test]
fn pod_with_started_sidecar_counts_it_as_ready() {
    let spec = json!({
        "containers": [{"name": "a"}],
        "initContainers": [{"name": "istio-proxy", "restartPolicy": "Always"}],
    });
    let sidecar = json!({"name": "istio-proxy", "ready": true, "started": true, "restartCount": 0,
        "state": {"running": {}}});
    let app = json!({"ready": true, "restartCount": 0, "state": {"running": {}}});
    let status = json!({"phase": "Running", "initContainerStatuses": [sidecar],
        "containerStatuses": [app]});
    check_pod(&spec, &status, "2/2", "Running", "0");
    let starting = json!({"phase": "Pending", "initContainerStatuses": [
        {"name": "istio-proxy", "ready": false, "started": false, "state": {"running": {}}}]});
    check_pod(&spec, &starting, "0/2", "Init:0/1", "0");
}

#[test]
fn crashing_pod_shows_reason_and_time_of_last_restart() {
    let spec = json!({"containers": [{"name": "a"}]});
    let status = json!({"phase": "Running", "containerStatuses": [{
        "ready": false,
        "restartCount": 2,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"finishedAt": "2026-11-21T08:30:35Z", "exitCode": 1}},
    }]});
    check_pod(&spec, &status, "0/1", "CrashLoopBackOff", "2 (5s ago)");
}

#[test]
fn pod_words_follow_the_containers() {
    let spec = json!({"containers": [{"name": "a"}]});
    for (state, word) in [
        (
            json!({"waiting": {"reason": "ContainerCreating"}}),
            "ContainerCreating",
        ),
        (
            json!({"waiting": {"reason": "ErrImagePull"}}),
            "ErrImagePull",
        ),
        (
            json!({"terminated": {"exitCode": 0, "reason": "Completed"}}),
            "Completed",
        ),
        (json!({"terminated": {"exitCode": 3}}), "ExitCode:3"),
        (
            json!({"terminated": {"exitCode": 137, "signal": 9}}),
            "Signal:9",
        ),
    ] {
        let status = json!({"phase": "Pending", "containerStatuses": [{"state": state}]});
        check_pod(&spec, &status, "0/1", word, "0");
    }
    let mut deleted = pod(&spec, &json!({"phase": "Running"}));
    deleted["metadata"]["deletionTimestamp"] = json!("2026-11-21T08:30:40Z");
    let cells = json!([
        "p",
        "0/1",
        "Terminating",
        "0",
        "7s",
        "<none>",
        "<none>",
        "<none>",
        "<none>"
    ]);
    check("", "pods", &deleted, &cells);
}

#[test]
fn service_rows_follow_the_type() {
    let service = |spec: Value, status: Value| {
        json!({
            "metadata": {"name": "s", "creationTimestamp": "2026-11-21T08:30:32Z"},
            "spec": spec, "status": status,
        })
    };
    let port = json!([{"port": 80, "nodePort": 30080, "protocol": "TCP"}]);
    let object = service(
        json!({"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ports": port}),
        json!({"loadBalancer": {}}),
    );
    let cells = json!([
        "s",
        "LoadBalancer",
        "10.96.0.9",
        "<pending>",
        "80:30080/TCP",
        "8s",
        "<none>"
    ]);
    check("", "services", &object, &cells);
    let object = service(
        json!({"type": "LoadBalancer", "clusterIP": "10.96.0.9", "ports": port}),
        json!({"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}),
    );
    let cells = json!([
        "s",
        "LoadBalancer",
        "10.96.0.9",
        "127.0.0.1",
        "80:30080/TCP",
        "8s",
        "<none>"
    ]);
    check("", "services", &object, &cells);
}

#[test]
fn endpoints_beyond_three_are_counted() {
    let endpoints: Vec<Value> = (1..=5)
        .map(|n| json!({"addresses": [format!("10.244.0.{n}")]}))
        .collect();
    let slice = json!({
        "metadata": {"name": "e"}, "addressType": "IPv4",
        "ports": [{"port": 9090}], "endpoints": endpoints,
    });
    let text = "10.244.0.1,10.244.0.2,10.244.0.3 + 2 more...";
    check(
        "discovery.k8s.io",
        "endpointslices",
        &slice,
        &json!(["e", "IPv4", "9090", text, "<unknown>"]),
    );
}

#[test]
fn event_rows_read_both_forms() {
    let core = json!({
        "metadata": {"name": "e"}, "type": "Normal", "reason": "Killing", "message": "bye\n",
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec.containers{a}"},
        "source": {"component": "kubelet", "host": "aviary"},
        "firstTimestamp": "2026-11-21T08:30:30Z", "lastTimestamp": "2026-11-21T08:30:35Z", "count": 2,
    });
    let cells = json!([
        "5s",
        "Normal",
        "Killing",
        "pod/p",
        "spec.containers{a}",
        "kubelet, aviary",
        "bye",
        "10s",
        2,
        "e"
    ]);
    check("", "events", &core, &cells);
    let new = json!({
        "metadata": {"name": "e"}, "type": "Normal", "reason": "Killing", "note": "bye",
        "regarding": {"kind": "Pod", "name": "p"}, "reportingController": "deployment-controller",
        "eventTime": "2026-11-21T08:30:30.000000Z",
    });
    let cells = json!([
        "10s",
        "Normal",
        "Killing",
        "pod/p",
        "",
        "deployment-controller",
        "bye",
        "10s",
        1,
        "e"
    ]);
    check("events.k8s.io", "events", &new, &cells);
}

#[test]
fn custom_cells_follow_the_column_type() {
    let column = |name: &str, kind: &str, path: &str| PrinterColumn {
        name: name.into(),
        kind: kind.into(),
        format: None,
        description: None,
        priority: 0,
        json_path: path.into(),
    };
    let columns = [
        column("Gateways", "string", ".spec.gateways"),
        column("Age", "date", ".metadata.creationTimestamp"),
        column("N", "integer", ".spec.n"),
        column("Missing", "string", ".spec.none"),
    ];
    let object = json!({
        "metadata": {"name": "v", "creationTimestamp": "2026-11-21T08:30:32Z"},
        "spec": {"gateways": ["micro-gateway"], "n": 3},
    });
    assert_eq!(
        custom::cells(&columns, &object, now()),
        [
            json!("v"),
            json!("[\"micro-gateway\"]"),
            json!("8s"),
            json!(3),
            Value::Null
        ]
    );
}

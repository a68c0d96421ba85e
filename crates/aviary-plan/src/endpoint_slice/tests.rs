use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};

use super::{View, plan};
use crate::endpoints;
use crate::plan::{Action, Plan};

fn now() -> Timestamp {
    "2026-11-21T08:30:33.5Z".parse().expect("a time")
}

fn service(spec: &Value) -> Service {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "micro-api", "namespace": "default", "uid": "svc",
            "labels": {"team": "a"}},
        "spec": {"clusterIP": "10.96.1.1", "selector": {"app": "micro-api"},
            "ports": [{"name": "http", "port": 19090, "targetPort": 9090, "protocol": "TCP"}]},
    });
    crate::sim::merge(&mut object["spec"], spec);
    serde_json::from_value(object).expect("a Service")
}

fn pod(name: &str, address: &str, changes: &Value) -> Arc<Pod> {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": name,
            "creationTimestamp": "2026-11-21T08:00:00Z", "labels": {"app": "micro-api"}},
        "spec": {"containers": [{"name": "c", "ports": [{"name": "web", "containerPort": 8080}]}],
            "nodeName": "node-a"},
        "status": {"phase": "Running", "podIP": address,
            "conditions": [{"type": "Ready", "status": "True"}]},
    });
    crate::sim::merge(&mut object, changes);
    Arc::new(serde_json::from_value(object).expect("a pod"))
}

fn plan_for(service: &Service, pods: &[Arc<Pod>], slices: &[Value]) -> Plan {
    let slices = slices
        .iter()
        .map(|slice| Arc::new(serde_json::from_value::<EndpointSlice>(slice.clone()).expect("one")))
        .collect();
    plan(
        &View {
            service,
            pods: pods.to_vec(),
            slices,
            nodes: Vec::new(),
        },
        now(),
    )
}

/// The object of the only action, named as a server would.
fn stored(plan: &Plan) -> Value {
    let mut object = match plan.actions.as_slice() {
        [Action::Create { object, .. } | Action::Update { object, .. }] => object.clone(),
        other => panic!("one write, not {other:?}"),
    };
    object["metadata"]["name"] = json!("micro-api-x");
    object
}

#[test]
fn slice_of_a_service_lists_its_ready_pods() {
    let pods = [
        pod("a", "10.244.0.2", &json!({})),
        pod("b", "10.244.0.3", &json!({})),
    ];
    let slice = stored(&plan_for(&service(&json!({})), &pods, &[]));
    assert_eq!(slice["metadata"]["generateName"], "micro-api-");
    assert_eq!(
        slice["metadata"]["labels"],
        json!({"team": "a", "kubernetes.io/service-name": "micro-api",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"})
    );
    assert_eq!(
        slice["metadata"]["annotations"],
        json!({"endpoints.kubernetes.io/last-change-trigger-time": "2026-11-21T08:30:33Z"})
    );
    assert_eq!(
        slice["ports"],
        json!([{"name": "http", "port": 9090, "protocol": "TCP"}])
    );
    assert_eq!(
        slice["endpoints"][0],
        json!({"addresses": ["10.244.0.2"],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": "node-a",
            "targetRef": {"kind": "Pod", "name": "a", "namespace": "default", "uid": "a"}})
    );
    assert_eq!(slice["endpoints"][1]["addresses"], json!(["10.244.0.3"]));
}

#[test]
fn slice_planned_again_is_left_alone() {
    let pods = [pod("a", "10.244.0.2", &json!({}))];
    let service = service(&json!({}));
    let slice = stored(&plan_for(&service, &pods, &[]));
    assert_eq!(plan_for(&service, &pods, &[slice]), Plan::default());
}

#[test]
fn terminating_pod_serves_but_is_not_ready() {
    let service = service(&json!({}));
    let slice = stored(&plan_for(
        &service,
        &[pod("a", "10.244.0.2", &json!({}))],
        &[],
    ));
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-11-21T08:30:00Z"}});
    let pods = [pod("a", "10.244.0.2", &leaving)];
    let changed = stored(&plan_for(&service, &pods, &[slice]));
    assert_eq!(
        changed["endpoints"][0]["conditions"],
        json!({"ready": false, "serving": true, "terminating": true})
    );
}

#[test]
fn service_without_pods_has_an_empty_slice() {
    let slice = stored(&plan_for(&service(&json!({})), &[], &[]));
    assert_eq!(slice["endpoints"], json!([]));
    assert_eq!(slice["ports"], json!([]));
}

#[test]
fn named_target_port_is_resolved_on_each_pod() {
    let service = service(&json!({"ports": [{"port": 80, "targetPort": "web"}]}));
    let other = json!({"spec": {"containers": [
        {"name": "c", "ports": [{"name": "web", "containerPort": 8081}]}]}});
    let pods = [
        pod("a", "10.244.0.2", &json!({})),
        pod("b", "10.244.0.3", &other),
    ];
    let plan = plan_for(&service, &pods, &[]);
    let ports: Vec<&Value> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Create { object, .. } => &object["ports"][0]["port"],
            other => panic!("a creation, not {other:?}"),
        })
        .collect();
    assert_eq!(ports, [&json!(8080), &json!(8081)]);
}

#[test]
fn service_without_selector_or_with_external_name_is_left_alone() {
    for spec in [json!({"selector": null}), json!({"type": "ExternalName"})] {
        assert_eq!(plan_for(&service(&spec), &[], &[]), Plan::default());
    }
}

#[test]
fn more_than_a_hundred_pods_take_a_second_slice() {
    let pods: Vec<Arc<Pod>> = (0..150)
        .map(|i| pod(&format!("p{i:03}"), &format!("10.244.1.{i}"), &json!({})))
        .collect();
    let plan = plan_for(&service(&json!({})), &pods, &[]);
    let sizes: Vec<usize> = plan
        .actions
        .iter()
        .map(|action| match action {
            Action::Create { object, .. } => object["endpoints"].as_array().map_or(0, Vec::len),
            other => panic!("a creation, not {other:?}"),
        })
        .collect();
    assert_eq!(sizes, [100, 50]);
}

#[test]
fn endpoints_separate_ready_from_waiting_addresses() {
    let waiting = json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}});
    let pods = vec![
        pod("b", "10.244.0.3", &json!({})),
        pod("a", "10.244.0.2", &waiting),
    ];
    let service = service(&json!({}));
    let view = endpoints::View {
        service: &service,
        pods,
        endpoints: None,
    };
    let object = stored(&endpoints::plan(&view, now()));
    assert_eq!(object["subsets"][0]["addresses"][0]["ip"], "10.244.0.3");
    assert_eq!(
        object["subsets"][0]["notReadyAddresses"][0]["ip"],
        "10.244.0.2"
    );
    assert_eq!(
        object["subsets"][0]["ports"],
        json!([{"name": "http", "port": 9090, "protocol": "TCP"}])
    );
    let kept = Arc::new(serde_json::from_value(object).expect("Endpoints"));
    let again = endpoints::View {
        endpoints: Some(kept),
        ..view
    };
    assert_eq!(endpoints::plan(&again, now()), Plan::default());
}

//! The mesh's own objects: its namespace and the ingress gateway.

use serde_json::{Value, json};

use crate::ROOT_NAMESPACE;

/// Name of the ingress gateway's Deployment, Service and `ServiceAccount`.
pub const INGRESS_GATEWAY: &str = "istio-ingressgateway";

/// All objects in the order in which they can be created. `version` is the proxy image's tag.
pub fn objects(version: &str) -> Vec<Value> {
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ROOT_NAMESPACE}}),
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata("istio-ingressgateway-service-account"),
        }),
        service(),
        deployment(version),
    ]
}

fn labels() -> Value {
    json!({"app": INGRESS_GATEWAY, "istio": "ingressgateway"})
}

fn metadata(name: &str) -> Value {
    json!({"name": name, "namespace": ROOT_NAMESPACE, "labels": labels()})
}

/// Source: Istio's gateway chart: the ports and their order.
fn service() -> Value {
    let port = |name: &str, port: u16, target: u16| json!({"name": name, "port": port, "targetPort": target, "protocol": "TCP"});
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(INGRESS_GATEWAY),
        "spec": {
            "type": "LoadBalancer",
            "selector": labels(),
            "ports": [
                port("status-port", 15021, 15021),
                port("http2", 80, 8080),
                port("https", 443, 8443),
                port("tcp", 31400, 31400),
                port("tls", 15443, 15443),
            ],
        },
    })
}

fn deployment(version: &str) -> Value {
    let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}});
    let port = |port: u16| json!({"containerPort": port, "protocol": "TCP"});
    let container = json!({
        "name": crate::inject::PROXY_CONTAINER,
        "image": format!("aviary/proxy:{version}"),
        "imagePullPolicy": "IfNotPresent",
        "args": ["proxy", "router"],
        "ports": [
            port(15021), port(8080), port(8443), port(31400), port(15443),
            {"containerPort": 15090, "protocol": "TCP", "name": "http-envoy-prom"},
        ],
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("INSTANCE_IP", "status.podIP"),
            field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
        ],
        "readinessProbe": {
            "httpGet": {"path": "/healthz/ready", "port": 15021, "scheme": "HTTP"},
            "initialDelaySeconds": 0, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 30,
        },
    });
    let mut pod_labels = labels();
    pod_labels["sidecar.istio.io/inject"] = "false".into();
    pod_labels["service.istio.io/canonical-name"] = INGRESS_GATEWAY.into();
    pod_labels["service.istio.io/canonical-revision"] = "latest".into();
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(INGRESS_GATEWAY),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels()},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "100%", "maxUnavailable": "25%"}},
            "template": {
                "metadata": {"labels": pod_labels},
                "spec": {
                    "serviceAccountName": "istio-ingressgateway-service-account",
                    "containers": [container],
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{
        apps::v1::Deployment,
        core::v1::{Namespace, Service, ServiceAccount},
    };

    use super::*;

    #[test]
    fn objects_have_the_form_of_their_kinds() {
        let all = objects("0.1.0");
        serde_json::from_value::<Namespace>(all[0].clone()).unwrap();
        serde_json::from_value::<ServiceAccount>(all[1].clone()).unwrap();
        let service: Service = serde_json::from_value(all[2].clone()).unwrap();
        let ports: Vec<i32> = service
            .spec
            .unwrap()
            .ports
            .unwrap()
            .iter()
            .map(|port| port.port)
            .collect();
        assert_eq!(ports, [15021, 80, 443, 31400, 15443]);
        serde_json::from_value::<Deployment>(all[3].clone()).unwrap();
    }
}

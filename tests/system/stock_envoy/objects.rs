//! Bookinfo with rules of every kind.

use aviary_translate::{Kind, Snapshot};
use serde_json::{Value, json};

/// What the control plane would know.
pub(crate) fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    let services = [
        ("productpage", 11, &["v1"][..]),
        ("details", 12, &["v1"]),
        ("reviews", 13, &["v1", "v2", "v3"]),
        ("ratings", 17, &["v1", "v2"]),
    ];
    for (name, number, versions) in services {
        add_service(&mut snapshot, name, number, versions);
    }
    for object in aviary_api::platform::objects("0") {
        if object["kind"] == "Service" {
            insert(&mut snapshot, Kind::Service, &object);
        }
    }
    for object in rules() {
        let kind = match object["kind"].as_str() {
            Some("VirtualService") => Kind::VirtualService,
            Some("DestinationRule") => Kind::DestinationRule,
            _ => Kind::Gateway,
        };
        insert(&mut snapshot, kind, &object);
    }
    snapshot.settle();
    snapshot
}

fn insert(snapshot: &mut Snapshot, kind: Kind, object: &Value) {
    snapshot
        .insert(kind, object)
        .expect("an object that can be read");
}

fn add_service(snapshot: &mut Snapshot, name: &str, number: u8, versions: &[&str]) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "clusterIP": format!("10.96.0.{number}"),
            "selector": {"app": name},
            "ports": [{"name": "http", "port": 9080, "targetPort": 9080, "protocol": "TCP"}],
        },
    });
    insert(snapshot, Kind::Service, &service);
    let mut endpoints = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let pod = format!("{name}-{version}");
        let address = format!("10.244.{number}.{}", index + 1);
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": pod, "namespace": "default", "labels": {"app": name, "version": version},
            },
            "spec": {"containers": [{"name": name, "ports": [{"containerPort": 9080}]}]},
            "status": {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"},
        });
        insert(snapshot, Kind::Pod, &object);
        endpoints.push(json!({
            "addresses": [address],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "targetRef": {"kind": "Pod", "name": pod, "namespace": "default"},
        }));
    }
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-1"), "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 9080, "protocol": "TCP"}],
        "endpoints": endpoints,
    });
    insert(snapshot, Kind::EndpointSlice, &slice);
}

fn rule(kind: &str, name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": "networking.istio.io/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
    });
    object["spec"] = spec;
    object
}

fn to(host: &str, subset: &str) -> Value {
    json!([{"destination": {"host": host, "subset": subset}}])
}

fn rules() -> Vec<Value> {
    let subsets = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| json!({"name": name, "labels": {"version": name}}))
            .collect()
    };
    let policy = json!({
        "loadBalancer": {"simple": "ROUND_ROBIN"},
        "connectionPool": {
            "tcp": {"maxConnections": 10},
            "http": {"http1MaxPendingRequests": 10, "maxRequestsPerConnection": 100},
        },
        "outlierDetection": {
            "consecutive5xxErrors": 7, "interval": "5s", "baseEjectionTime": "15s",
        },
    });
    let entrance = json!({
        "selector": {"istio": "ingressgateway"},
        "servers": [{
            "port": {"number": 80, "name": "http", "protocol": "HTTP"},
            "hosts": ["shop.example.com", "reviews", "ratings"],
        }],
    });
    let page = json!({
        "hosts": ["shop.example.com"], "gateways": ["entrance"],
        "http": [{
            "match": [{"uri": {"exact": "/productpage"}}],
            "route": [{"destination": {"host": "productpage", "port": {"number": 9080}}}],
        }],
    });
    let reviews = json!({
        "hosts": ["reviews"], "gateways": ["mesh", "entrance"],
        "http": [
            {"match": [{"headers": {"end-user": {"exact": "jason"}}}], "route": to("reviews", "v2")},
            {"route": [
                {"destination": {"host": "reviews", "subset": "v1"}, "weight": 90},
                {"destination": {"host": "reviews", "subset": "v3"}, "weight": 10},
            ], "timeout": "10s", "retries": {"attempts": 3, "perTryTimeout": "2s"}},
        ],
    });
    vec![
        rule("Gateway", "entrance", entrance),
        rule("VirtualService", "page", page),
        rule("VirtualService", "reviews", reviews),
        rule("VirtualService", "ratings", ratings()),
        rule(
            "DestinationRule",
            "reviews",
            json!({"host": "reviews", "trafficPolicy": policy, "subsets": subsets(&["v1", "v2", "v3"])}),
        ),
        rule(
            "DestinationRule",
            "ratings",
            json!({"host": "ratings", "subsets": subsets(&["v1", "v2", "v9"])}),
        ),
    ]
}

/// One rule for each kind of condition and action.
fn ratings() -> Value {
    let abort = json!({"abort": {"httpStatus": 555, "percentage": {"value": 100}}});
    json!({
        "hosts": ["ratings"], "gateways": ["mesh", "entrance"],
        "http": [
            {"match": [{"headers": {"end-user": {"exact": "jason"}}}], "fault": abort,
             "route": to("ratings", "v1")},
            {"match": [{"method": {"exact": "POST"}}], "route": to("ratings", "v2")},
            {"match": [{"uri": {"prefix": "/old/"}}], "rewrite": {"uri": "/new/"},
             "headers": {"request": {"set": {"x-a": "1"}, "remove": ["x-b"]}},
             "route": to("ratings", "v2")},
            {"match": [{"uri": {"prefix": "/moved"}}],
             "redirect": {"uri": "/there", "authority": "elsewhere.example.com"}},
            {"match": [{"uri": {"exact": "/exact"}}], "route": to("ratings", "v9")},
            {"match": [{"uri": {"regex": "/number/[0-9]+"}}], "route": to("ratings", "v2"),
             "mirror": {"host": "details"}},
            {"match": [{"headers": {"cookie": {"regex": "^(.*?; ?)?(user=jason)(;.*)?$"}}}],
             "route": to("ratings", "v2")},
            {"match": [{"queryParams": {"version": {"exact": "2"}}}], "route": to("ratings", "v2")},
            {"route": to("ratings", "v1")},
        ],
    })
}

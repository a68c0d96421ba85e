use serde_json::json;

use crate::Registry;

fn check(group: &str, plural: &str, given: &serde_json::Value, expected: &serde_json::Value) {
    let registry = Registry::builtin();
    let kind = registry.get(group, "v1", plural).expect("a built-in kind");
    let mut object = given.clone();
    kind.default(&mut object);
    assert_eq!(&object, expected);
    kind.default(&mut object);
    assert_eq!(&object, expected, "defaulting twice changes nothing");
}

#[test]
fn deployment_defaults_are_the_recorded_ones() {
    let given = json!({"spec": {
        "minReadySeconds": 5,
        "replicas": 3,
        "selector": {"matchLabels": {"app": "micro-api"}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}, "type": "RollingUpdate"},
        "template": {
            "metadata": {"labels": {"app": "micro-api"}},
            "spec": {
                "containers": [{
                    "image": "r/micro-api:1.0-SNAPSHOT",
                    "imagePullPolicy": "Always",
                    "name": "micro-api",
                    "ports": [{"containerPort": 19090, "name": "http", "protocol": "TCP"}],
                    "tty": true,
                }],
                "imagePullSecrets": [{"name": "regcred"}],
            },
        },
    }});
    let expected = json!({"spec": {
        "minReadySeconds": 5,
        "progressDeadlineSeconds": 600,
        "replicas": 3,
        "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": "micro-api"}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}, "type": "RollingUpdate"},
        "template": {
            "metadata": {"labels": {"app": "micro-api"}},
            "spec": {
                "containers": [{
                    "image": "r/micro-api:1.0-SNAPSHOT",
                    "imagePullPolicy": "Always",
                    "name": "micro-api",
                    "ports": [{"containerPort": 19090, "name": "http", "protocol": "TCP"}],
                    "resources": {},
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                    "tty": true,
                }],
                "dnsPolicy": "ClusterFirst",
                "imagePullSecrets": [{"name": "regcred"}],
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "securityContext": {},
                "terminationGracePeriodSeconds": 30,
            },
        },
    }});
    check("apps", "deployments", &given, &expected);
}

#[test]
fn deployment_strategy_recreate_has_no_rolling_update() {
    let registry = Registry::builtin();
    let kind = registry
        .get("apps", "v1", "deployments")
        .expect("deployments");
    let mut object = json!({"spec": {"strategy": {"type": "Recreate"}}});
    kind.default(&mut object);
    assert_eq!(object["spec"]["strategy"], json!({"type": "Recreate"}));
    let mut object = json!({"spec": {}});
    kind.default(&mut object);
    assert_eq!(
        object["spec"]["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    );
}

#[test]
fn service_defaults_are_the_recorded_ones() {
    let given = json!({"spec": {
        "clusterIP": "10.96.136.221",
        "ports": [{"name": "http", "port": 19090}],
        "selector": {"app": "micro-api"},
    }});
    let expected = json!({
        "spec": {
            "clusterIP": "10.96.136.221",
            "clusterIPs": ["10.96.136.221"],
            "internalTrafficPolicy": "Cluster",
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "http", "port": 19090, "protocol": "TCP", "targetPort": 19090}],
            "selector": {"app": "micro-api"},
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    });
    check("", "services", &given, &expected);
}

#[test]
fn secret_string_data_becomes_data() {
    let given = json!({"stringData": {"a": "b"}, "data": {"c": "ZA=="}});
    let expected = json!({"type": "Opaque", "data": {"a": "Yg==", "c": "ZA=="}});
    check("", "secrets", &given, &expected);
}

#[test]
fn namespace_gets_its_name_label_and_phase() {
    let given = json!({"metadata": {"name": "shop"}});
    let expected = json!({
        "metadata": {"name": "shop", "labels": {"kubernetes.io/metadata.name": "shop"}},
        "spec": {},
        "status": {"phase": "Active"},
    });
    check("", "namespaces", &given, &expected);
}

#[test]
fn pod_defaults_cover_pull_policy_probes_volumes_and_quantities() {
    let registry = Registry::builtin();
    let kind = registry.get("", "v1", "pods").expect("pods");
    let mut object = json!({"spec": {
        "serviceAccountName": "web",
        "containers": [
            {"name": "a", "image": "r.io:5000/x", "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}},
             "readinessProbe": {"httpGet": {"port": 80}}},
            {"name": "b", "image": "x:1", "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "p"}}}]},
            {"name": "c", "image": "x@sha256:00"},
        ],
        "volumes": [{"name": "v"}, {"name": "w", "configMap": {"name": "m"}}],
    }});
    kind.default(&mut object);
    let spec = &object["spec"];
    let policies: Vec<_> = spec["containers"]
        .as_array()
        .expect("containers")
        .iter()
        .map(|c| &c["imagePullPolicy"])
        .collect();
    assert_eq!(policies, ["Always", "IfNotPresent", "IfNotPresent"]);
    assert_eq!(
        spec["containers"][0]["resources"],
        json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}})
    );
    assert_eq!(
        spec["containers"][0]["readinessProbe"],
        json!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}, "timeoutSeconds": 1,
               "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3})
    );
    assert_eq!(
        spec["containers"][1]["env"][0]["valueFrom"]["fieldRef"]["apiVersion"],
        "v1"
    );
    assert_eq!(
        spec["volumes"],
        json!([{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "m", "defaultMode": 420}}])
    );
    assert_eq!(spec["serviceAccount"], "web");
    assert_eq!(spec["enableServiceLinks"], true);
}

//! The bodies in `testdata` were written by kubectl 1.36.4 (`kubectl create ...`).

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Error, decode, is_protobuf};

#[track_caller]
fn check(body: &[u8], expected: &Value) {
    assert!(is_protobuf(body));
    assert_eq!(&decode(body).expect("decodes"), expected);
}

#[test]
fn decode_namespace_gives_name_and_empty_parts() {
    check(
        include_bytes!("testdata/namespace.bin"),
        &json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"},
            "spec": {}, "status": {},
        }),
    );
}

#[test]
fn decode_config_maps_keep_text_and_bytes() {
    check(
        include_bytes!("testdata/configmap.bin"),
        &json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "settings"},
            "data": {"color": "blue", "size": "10"},
        }),
    );
    check(
        include_bytes!("testdata/configmap-binary.bin"),
        &json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "blob"},
            "binaryData": {"blob.bin": "/wAB"},
        }),
    );
}

#[test]
fn decode_secret_and_service_account() {
    check(
        include_bytes!("testdata/secret.bin"),
        &json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "token"},
            "data": {"key": "czNjcmV0"},
        }),
    );
    check(
        include_bytes!("testdata/serviceaccount.bin"),
        &json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "robot"},
        }),
    );
}

#[test]
fn decode_services_with_ports_and_external_name() {
    check(
        include_bytes!("testdata/service.bin"),
        &json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {
                "ports": [
                    {"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080},
                ],
                "selector": {"app": "web"},
                "type": "ClusterIP",
            },
            "status": {"loadBalancer": {}},
        }),
    );
    check(
        include_bytes!("testdata/service-external-name.bin"),
        &json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "ext", "labels": {"app": "ext"}},
            "spec": {
                "selector": {"app": "ext"}, "type": "ExternalName", "externalName": "example.com",
            },
            "status": {"loadBalancer": {}},
        }),
    );
}

#[test]
fn decode_deployments_with_template() {
    check(
        include_bytes!("testdata/deployment.bin"),
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{
                        "name": "nginx", "image": "nginx:1.27",
                        "ports": [{"containerPort": 80}], "resources": {},
                    }]},
                },
                "strategy": {},
            },
            "status": {},
        }),
    );
    let object = decode(include_bytes!("testdata/deployment-command.bin")).expect("decodes");
    assert_eq!(
        object["spec"]["template"]["spec"]["containers"][0]["command"],
        json!(["sh", "-c", "sleep 1"])
    );
}

#[test]
fn decode_kind_outside_the_table_is_named() {
    let error = decode(include_bytes!("testdata/token-request.bin")).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "authentication.k8s.io/v1 TokenRequest is not accepted in protobuf; send it as JSON or YAML"
    );
}

#[test]
fn decode_unknown_field_number_is_refused() {
    // A namespace whose metadata (field 1) has a field 99 with the number 1.
    let metadata = [0x98, 0x06, 0x01];
    let raw = [&[0x0a, 3][..], &metadata].concat();
    let type_meta = b"\x0a\x02v1\x12\x09Namespace";
    let mut body = b"k8s\0\x0a\x0f".to_vec();
    body.extend(type_meta);
    body.extend([0x12, u8::try_from(raw.len()).expect("short")]);
    body.extend(raw);
    let error = decode(&body).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "protobuf field number 99 of metadata is not read by this server; send the object as \
         JSON or YAML"
    );
}

#[test]
fn decode_every_cut_of_a_body_is_an_error_or_an_object() {
    let body = include_bytes!("testdata/deployment.bin");
    for length in 0..body.len() {
        match decode(body.get(..length).expect("in range")) {
            Ok(object) => assert!(object.is_object()),
            Err(Error::Malformed(text)) => assert!(!text.is_empty()),
            Err(Error::UnknownKind { .. }) => {}
        }
    }
}

proptest! {
    #[test]
    fn decode_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = decode(&[b"k8s\0".as_slice(), &bytes].concat());
    }
}

//! The `CustomResourceDefinition`s of the mesh's kinds.

use serde_json::{Value, json};

use crate::{NETWORKING_GROUP, schema};

/// Served versions; the first is stored. The tutorials use `v1alpha3`.
pub const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha3"];

/// All definitions, as `apiextensions.k8s.io/v1` objects in a stable order.
pub fn all() -> Vec<Value> {
    vec![virtual_service(), destination_rule(), gateway()]
}

/// Names and columns of one kind.
struct Names {
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static str,
    /// Name, type, JSON path, description.
    columns: &'static [[&'static str; 4]],
}

const AGE: [&str; 4] = [
    "Age",
    "date",
    ".metadata.creationTimestamp",
    "Time since the object was created.",
];

fn virtual_service() -> Value {
    let names = Names {
        kind: "VirtualService",
        plural: "virtualservices",
        singular: "virtualservice",
        short: "vs",
        columns: &[
            [
                "Gateways",
                "string",
                ".spec.gateways",
                "Gateways that use the rules.",
            ],
            [
                "Hosts",
                "string",
                ".spec.hosts",
                "Hosts that the rules are for.",
            ],
            AGE,
        ],
    };
    definition(&names, &schema::virtual_service::spec())
}

fn destination_rule() -> Value {
    let names = Names {
        kind: "DestinationRule",
        plural: "destinationrules",
        singular: "destinationrule",
        short: "dr",
        columns: &[
            [
                "Host",
                "string",
                ".spec.host",
                "Service that the rule is for.",
            ],
            AGE,
        ],
    };
    definition(&names, &schema::destination_rule::spec())
}

fn gateway() -> Value {
    let names = Names {
        kind: "Gateway",
        plural: "gateways",
        singular: "gateway",
        short: "gw",
        columns: &[AGE],
    };
    definition(&names, &schema::gateway::spec())
}

fn definition(names: &Names, spec: &schema::Field) -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": spec.schema(),
            "status": {
                "type": "object",
                "description": "What the mesh made of it.",
                "x-kubernetes-preserve-unknown-fields": true,
            },
        },
    });
    let columns: Vec<Value> = names
        .columns
        .iter()
        .map(|[name, kind, path, description]| {
            json!({"name": name, "type": kind, "jsonPath": path, "description": description})
        })
        .collect();
    let versions: Vec<Value> = VERSIONS
        .iter()
        .map(|version| {
            json!({
                "name": version,
                "served": true,
                "storage": *version == VERSIONS[0],
                "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns,
            })
        })
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("{}.{NETWORKING_GROUP}", names.plural),
            "labels": {"app.kubernetes.io/part-of": "aviary"},
        },
        "spec": {
            "group": NETWORKING_GROUP,
            "names": {
                "kind": names.kind,
                "listKind": format!("{}List", names.kind),
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": [names.short],
                "categories": ["istio-io", "networking-istio-io"],
            },
            "scope": "Namespaced",
            "conversion": {"strategy": "None"},
            "versions": versions,
        },
    })
}

//! The `CustomResourceDefinition`s of the mesh's kinds.

use serde_json::{Value, json};

use crate::{NETWORKING_GROUP, release, schema};

/// Served versions; the first is stored. The tutorials use `v1alpha3`.
pub const VERSIONS: [&str; 3] = ["v1", "v1beta1", "v1alpha3"];

/// All definitions that are served, as `apiextensions.k8s.io/v1` objects in a stable order.
pub fn all() -> Vec<Value> {
    vec![virtual_service(), destination_rule(), gateway()]
}

const ISTIO_CATEGORIES: [&str; 2] = ["istio-io", "networking-istio-io"];

/// Names and columns of one kind.
struct Names {
    kind: &'static str,
    plural: &'static str,
    singular: &'static str,
    short: &'static str,
    group: &'static str,
    /// Served versions; the first is stored.
    versions: &'static [&'static str],
    categories: &'static [&'static str],
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
        group: NETWORKING_GROUP,
        versions: &VERSIONS,
        categories: &ISTIO_CATEGORIES,
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
        group: NETWORKING_GROUP,
        versions: &VERSIONS,
        categories: &ISTIO_CATEGORIES,
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
        group: NETWORKING_GROUP,
        versions: &VERSIONS,
        categories: &ISTIO_CATEGORIES,
        columns: &[AGE],
    };
    definition(&names, &schema::gateway::spec())
}

/// The definition of `Release`. It is not among [`all`]: without a controller an object of this
/// kind would be accepted and have no effect.
pub fn release() -> Value {
    let names = Names {
        kind: "Release",
        plural: "releases",
        singular: "release",
        short: "rel",
        group: release::GROUP,
        versions: &[release::VERSION],
        categories: &["aviary"],
        columns: &[
            [
                "Service",
                "string",
                ".spec.service",
                "Service that is guarded.",
            ],
            [
                "Stable",
                "string",
                ".status.stable.version",
                "Version that served before.",
            ],
            ["New", "string", ".spec.new.version", "Version under trial."],
            ["Phase", "string", ".status.phase", "Where it stands."],
            [
                "Step",
                "string",
                ".status.progress.step.summary",
                "Step under way, and how many there are.",
            ],
            [
                "Weights",
                "string",
                ".status.weights.summary",
                "Percent of the new version: wanted / acknowledged / observed.",
            ],
            ["Waits", "string", ".status.waits[0]", "Why nothing moves."],
            AGE,
        ],
    };
    let mut definition = definition(&names, &schema::release::spec());
    let status = schema::release::status().schema();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"] = status;
    definition
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
    let versions: Vec<Value> = names
        .versions
        .iter()
        .map(|version| {
            json!({
                "name": version,
                "served": true,
                "storage": *version == names.versions[0],
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
            "name": format!("{}.{}", names.plural, names.group),
            "labels": {"app.kubernetes.io/part-of": "aviary"},
        },
        "spec": {
            "group": names.group,
            "names": {
                "kind": names.kind,
                "listKind": format!("{}List", names.kind),
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": [names.short],
                "categories": names.categories,
            },
            "scope": "Namespaced",
            "conversion": {"strategy": "None"},
            "versions": versions,
        },
    })
}

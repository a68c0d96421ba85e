//! The table of built-in kinds.

use std::sync::Arc;

use k8s_openapi::{
    api::{apps, coordination, core, discovery, events},
    apiextensions_apiserver::pkg::apis::apiextensions,
};

use crate::{
    kind::{Kind, Rules, ScalePaths, Scope, Subresource},
    schema::{Schema, builtin::Builder},
};

const ALL_VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// One line of the table.
struct Row {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    scope: Scope,
    subresources: &'static [&'static str],
}

const fn row(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
) -> Row {
    Row {
        group,
        kind,
        plural,
        short,
        scope: Scope::Namespaced,
        subresources: &[],
    }
}

impl Row {
    const fn cluster(mut self) -> Self {
        self.scope = Scope::Cluster;
        self
    }

    const fn with(mut self, subresources: &'static [&'static str]) -> Self {
        self.subresources = subresources;
        self
    }

    fn build(self, schema: Arc<Schema>) -> Kind {
        let subresources = self
            .subresources
            .iter()
            .map(|name| subresource(name, self.group, self.kind));
        let scalable = self.subresources.contains(&"scale");
        Kind {
            group: self.group.into(),
            version: "v1".into(),
            kind: self.kind.into(),
            list_kind: format!("{}List", self.kind).into(),
            plural: self.plural.into(),
            singular: self.kind.to_lowercase().into(),
            short_names: self.short.iter().map(|s| Arc::from(*s)).collect(),
            categories: categories(self.kind),
            scope: self.scope,
            subresources: subresources.collect(),
            verbs: verbs(self.kind),
            scale: scalable.then(scale_paths),
            schema,
            deprecation: (self.kind == "Endpoints").then(|| {
                "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".into()
            }),
            stored_group: if self.kind == "Event" {
                "".into()
            } else {
                self.group.into()
            },
            strategic_patch: true,
            delete_returns_object: matches!(
                self.kind,
                "Pod" | "Service" | "ServiceAccount" | "Namespace"
            ),
            rules: Rules::BuiltIn,
        }
    }
}

fn categories(kind: &str) -> Vec<Arc<str>> {
    match kind {
        "Pod" | "Service" | "Deployment" | "ReplicaSet" => vec!["all".into()],
        "CustomResourceDefinition" => vec!["api-extensions".into()],
        _ => Vec::new(),
    }
}

/// Namespaces have no `deletecollection`.
fn verbs(kind: &str) -> Vec<Arc<str>> {
    let served = |verb: &&str| kind != "Namespace" || *verb != "deletecollection";
    ALL_VERBS
        .into_iter()
        .filter(served)
        .map(Arc::from)
        .collect()
}

fn scale_paths() -> ScalePaths {
    ScalePaths {
        spec_replicas: ".spec.replicas".into(),
        status_replicas: ".status.replicas".into(),
        selector: Some(".spec.selector".into()),
    }
}

fn subresource(name: &'static str, group: &'static str, kind: &'static str) -> Subresource {
    let (group, version, kind, verbs): (_, _, _, &[&str]) = match name {
        "scale" => ("autoscaling", "v1", "Scale", &["get", "patch", "update"]),
        "binding" => ("", "v1", "Binding", &["create"]),
        "eviction" => ("policy", "v1", "Eviction", &["create"]),
        "token" => ("authentication.k8s.io", "v1", "TokenRequest", &["create"]),
        "log" => (group, "v1", kind, &["get"]),
        "finalize" => (group, "v1", kind, &["update"]),
        _ => (group, "v1", kind, &["get", "patch", "update"]),
    };
    Subresource {
        name: name.into(),
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        verbs: verbs.iter().map(|verb| Arc::from(*verb)).collect(),
    }
}

pub(super) fn kinds() -> Vec<Kind> {
    let mut types = Builder::new();
    vec![
        row("", "ConfigMap", "configmaps", &["cm"]).build(types.schema::<core::v1::ConfigMap>()),
        row("", "Endpoints", "endpoints", &["ep"]).build(types.schema::<core::v1::Endpoints>()),
        row("", "Event", "events", &["ev"]).build(types.schema::<core::v1::Event>()),
        row("", "Namespace", "namespaces", &["ns"])
            .cluster()
            .with(&["finalize", "status"])
            .build(types.schema::<core::v1::Namespace>()),
        row("", "Node", "nodes", &["no"])
            .cluster()
            .with(&["status"])
            .build(types.schema::<core::v1::Node>()),
        row("", "Pod", "pods", &["po"])
            .with(&["binding", "eviction", "log", "status"])
            .build(types.schema::<core::v1::Pod>()),
        row("", "Secret", "secrets", &[]).build(types.schema::<core::v1::Secret>()),
        row("", "ServiceAccount", "serviceaccounts", &["sa"])
            .build(types.schema::<core::v1::ServiceAccount>()),
        row("", "Service", "services", &["svc"])
            .with(&["status"])
            .build(types.schema::<core::v1::Service>()),
        row(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            &["crd", "crds"],
        )
        .cluster()
        .with(&["status"])
        .build(types.schema::<apiextensions::v1::CustomResourceDefinition>()),
        row("apps", "Deployment", "deployments", &["deploy"])
            .with(&["scale", "status"])
            .build(types.schema::<apps::v1::Deployment>()),
        row("apps", "ReplicaSet", "replicasets", &["rs"])
            .with(&["scale", "status"])
            .build(types.schema::<apps::v1::ReplicaSet>()),
        row("coordination.k8s.io", "Lease", "leases", &[])
            .build(types.schema::<coordination::v1::Lease>()),
        row("discovery.k8s.io", "EndpointSlice", "endpointslices", &[])
            .build(types.schema::<discovery::v1::EndpointSlice>()),
        row("events.k8s.io", "Event", "events", &["ev"]).build(types.schema::<events::v1::Event>()),
    ]
}

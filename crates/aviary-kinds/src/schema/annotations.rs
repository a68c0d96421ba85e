//! Annotations of built-in fields that the typed API crate does not publish.
//!
//! Source: Kubernetes API types (`patchStrategy`, `patchMergeKey`, `+listType`, `+listMapKey`,
//! `+structType`, `+mapType` markers), v1.36.

use std::sync::Arc;

use super::{ListType, PatchStrategy, Schema};

/// How a list field is merged.
enum Mark {
    /// Lists of objects: strategic merge key, then the keys of server-side apply.
    Keyed(&'static str, &'static [&'static str]),
    /// As `Keyed`, with `$retainKeys`.
    KeyedRetain(&'static str, &'static [&'static str]),
    /// Keys of server-side apply, replaced by a strategic patch.
    Listed(&'static [&'static str]),
    /// Scalars merged by both.
    Scalars,
    /// A set for server-side apply, replaced by a strategic patch.
    Set,
    /// Object whose keys a strategic patch may drop with `$retainKeys`.
    Retain,
    /// Owned as a whole.
    AtomicMap,
}

use Mark::{AtomicMap, Keyed, KeyedRetain, Listed, Retain, Scalars, Set};

/// `(type, field, mark)`; the type is the last part of the OpenAPI name.
const MARKS: &[(&str, &str, Mark)] = &[
    ("ObjectMeta", "finalizers", Scalars),
    ("ObjectMeta", "ownerReferences", Keyed("uid", &["uid"])),
    ("PodSpec", "containers", Keyed("name", &["name"])),
    ("PodSpec", "initContainers", Keyed("name", &["name"])),
    ("PodSpec", "ephemeralContainers", Keyed("name", &["name"])),
    ("PodSpec", "imagePullSecrets", Keyed("name", &["name"])),
    ("PodSpec", "schedulingGates", Keyed("name", &["name"])),
    ("PodSpec", "volumes", KeyedRetain("name", &["name"])),
    ("PodSpec", "resourceClaims", KeyedRetain("name", &["name"])),
    ("PodSpec", "hostAliases", Keyed("ip", &["ip"])),
    (
        "PodSpec",
        "topologySpreadConstraints",
        Keyed("topologyKey", &["topologyKey", "whenUnsatisfiable"]),
    ),
    ("PodSpec", "nodeSelector", AtomicMap),
    ("Container", "env", Keyed("name", &["name"])),
    (
        "Container",
        "ports",
        Keyed("containerPort", &["containerPort", "protocol"]),
    ),
    (
        "Container",
        "volumeMounts",
        Keyed("mountPath", &["mountPath"]),
    ),
    (
        "Container",
        "volumeDevices",
        Keyed("devicePath", &["devicePath"]),
    ),
    ("EphemeralContainer", "env", Keyed("name", &["name"])),
    (
        "EphemeralContainer",
        "ports",
        Keyed("containerPort", &["containerPort", "protocol"]),
    ),
    (
        "EphemeralContainer",
        "volumeMounts",
        Keyed("mountPath", &["mountPath"]),
    ),
    (
        "EphemeralContainer",
        "volumeDevices",
        Keyed("devicePath", &["devicePath"]),
    ),
    (
        "ContainerStatus",
        "volumeMounts",
        Keyed("mountPath", &["mountPath"]),
    ),
    (
        "ContainerStatus",
        "allocatedResourcesStatus",
        Keyed("name", &["name"]),
    ),
    ("ResourceRequirements", "claims", Listed(&["name"])),
    ("ResourceStatus", "resources", Listed(&["resourceID"])),
    ("ContainerRestartRuleOnExitCodes", "values", Set),
    ("PodStatus", "conditions", Keyed("type", &["type"])),
    ("PodStatus", "podIPs", Keyed("ip", &["ip"])),
    ("PodStatus", "hostIPs", Keyed("ip", &["ip"])),
    (
        "PodStatus",
        "resourceClaimStatuses",
        KeyedRetain("name", &["name"]),
    ),
    ("NamespaceStatus", "conditions", Keyed("type", &["type"])),
    ("NodeStatus", "conditions", Keyed("type", &["type"])),
    ("NodeStatus", "addresses", Keyed("type", &["type"])),
    ("NodeSpec", "podCIDRs", Scalars),
    ("ServiceSpec", "ports", Keyed("port", &["port", "protocol"])),
    ("ServiceSpec", "selector", AtomicMap),
    ("ServiceStatus", "conditions", Keyed("type", &["type"])),
    ("ServiceAccount", "secrets", Keyed("name", &["name"])),
    ("DeploymentSpec", "strategy", Retain),
    ("DeploymentStatus", "conditions", Keyed("type", &["type"])),
    ("ReplicaSetStatus", "conditions", Keyed("type", &["type"])),
    ("Endpoint", "addresses", Set),
    (
        "CustomResourceDefinitionStatus",
        "conditions",
        Listed(&["type"]),
    ),
    ("CustomResourceDefinitionStatus", "storedVersions", Set),
];

/// Structs that are owned as a whole.
const ATOMIC: &[&str] = &[
    "LabelSelector",
    "OwnerReference",
    "ObjectReference",
    "LocalObjectReference",
    "TypedLocalObjectReference",
    "SecretReference",
    "SecretKeySelector",
    "ConfigMapKeySelector",
    "FileKeySelector",
    "ObjectFieldSelector",
    "ResourceFieldSelector",
    "NodeSelector",
    "NodeSelectorTerm",
    "EndpointPort",
    "EndpointAddress",
    "TopologySelectorTerm",
    "ScopeSelector",
    "ScopedResourceSelectorRequirement",
];

pub(super) fn is_atomic(type_name: &str) -> bool {
    type_name
        .rsplit('.')
        .next()
        .is_some_and(|last| ATOMIC.contains(&last))
}

/// Marks field `field` of type `owner`.
pub(super) fn annotate(schema: &mut Schema, owner: &str, field: &str) {
    let last = owner.rsplit('.').next().unwrap_or(owner);
    let Some((_, _, mark)) = MARKS.iter().find(|(t, f, _)| *t == last && *f == field) else {
        return;
    };
    let merge = |key: Option<&str>, retain_keys: bool| PatchStrategy {
        merge: true,
        merge_key: key.map(Arc::from),
        retain_keys,
        replace: false,
    };
    let map = |keys: &[&str]| ListType::Map(keys.iter().map(|key| Arc::from(*key)).collect());
    match mark {
        Keyed(key, keys) => {
            schema.patch = merge(Some(key), false);
            schema.list = map(keys);
        }
        KeyedRetain(key, keys) => {
            schema.patch = merge(Some(key), true);
            schema.list = map(keys);
        }
        Listed(keys) => schema.list = map(keys),
        Scalars => {
            schema.patch = merge(None, false);
            schema.list = ListType::Set;
        }
        Set => schema.list = ListType::Set,
        Retain => schema.patch.retain_keys = true,
        AtomicMap => schema.atomic_map = true,
    }
}

//! The kinds of objects that planners read and write, as coordinates in the API.

use std::borrow::Cow;

#[expect(clippy::struct_field_names, reason = "the API's own names")]
/// A kind of object: what a request path needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// API version within the group, such as `v1`.
    pub version: Cow<'static, str>,
    /// Name of the kind, such as `ReplicaSet`.
    pub kind: Cow<'static, str>,
    /// Lower-case plural, the name in request paths, such as `replicasets`.
    pub plural: Cow<'static, str>,
    /// Whether objects of this kind live in a namespace.
    pub namespaced: bool,
}

const fn builtin(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
) -> Kind {
    Kind {
        group: Cow::Borrowed(group),
        version: Cow::Borrowed("v1"),
        kind: Cow::Borrowed(kind),
        plural: Cow::Borrowed(plural),
        namespaced,
    }
}

/// `apps/v1 Deployment`.
pub const DEPLOYMENT: Kind = builtin("apps", "Deployment", "deployments", true);
/// `apps/v1 ReplicaSet`.
pub const REPLICA_SET: Kind = builtin("apps", "ReplicaSet", "replicasets", true);
/// `v1 Pod`.
pub const POD: Kind = builtin("", "Pod", "pods", true);
/// `v1 Service`.
pub const SERVICE: Kind = builtin("", "Service", "services", true);
/// `v1 Endpoints`.
pub const ENDPOINTS: Kind = builtin("", "Endpoints", "endpoints", true);
/// `discovery.k8s.io/v1 EndpointSlice`.
pub const ENDPOINT_SLICE: Kind =
    builtin("discovery.k8s.io", "EndpointSlice", "endpointslices", true);
/// `v1 Node`.
pub const NODE: Kind = builtin("", "Node", "nodes", false);
/// `coordination.k8s.io/v1 Lease`.
pub const LEASE: Kind = builtin("coordination.k8s.io", "Lease", "leases", true);
/// `v1 Namespace`.
pub const NAMESPACE: Kind = builtin("", "Namespace", "namespaces", false);
/// `v1 Event`.
pub const EVENT: Kind = builtin("", "Event", "events", true);
/// `v1 ConfigMap`.
pub const CONFIG_MAP: Kind = builtin("", "ConfigMap", "configmaps", true);
/// `v1 Secret`.
pub const SECRET: Kind = builtin("", "Secret", "secrets", true);
/// `v1 ServiceAccount`.
pub const SERVICE_ACCOUNT: Kind = builtin("", "ServiceAccount", "serviceaccounts", true);
/// `apiextensions.k8s.io/v1 CustomResourceDefinition`.
pub const CUSTOM_RESOURCE_DEFINITION: Kind = builtin(
    "apiextensions.k8s.io",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    false,
);
/// `aviary.dev/v1alpha1 Release`.
pub const RELEASE: Kind = Kind {
    group: Cow::Borrowed(aviary_api::release::GROUP),
    version: Cow::Borrowed(aviary_api::release::VERSION),
    kind: Cow::Borrowed("Release"),
    plural: Cow::Borrowed("releases"),
    namespaced: true,
};

/// Every built-in kind that the planners must see, whatever discovery says.
pub const BUILT_IN: [Kind; 14] = [
    DEPLOYMENT,
    REPLICA_SET,
    POD,
    SERVICE,
    ENDPOINTS,
    ENDPOINT_SLICE,
    NODE,
    LEASE,
    NAMESPACE,
    EVENT,
    CONFIG_MAP,
    SECRET,
    SERVICE_ACCOUNT,
    CUSTOM_RESOURCE_DEFINITION,
];

impl Kind {
    /// `group/version`, or only the version in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_string()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// Request path of the collection in `namespace`, or of the object when `name` is given.
    ///
    /// `namespace` is ignored for kinds without namespaces; empty means all namespaces.
    pub fn path(&self, namespace: &str, name: Option<&str>) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        if let Some(name) = name {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// Whether group and kind are the same; versions of one kind hold the same objects.
    pub fn same_kind(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }
}

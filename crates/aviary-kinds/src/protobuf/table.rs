//! Field numbers, names and types of the messages that are read.
//!
//! Source: `generated.proto` of k8s.io/api (core/v1, apps/v1) and k8s.io/apimachinery (meta/v1,
//! runtime, intstr, resource), v1.36.

/// The fields of a message.
pub(super) type Message = [Field];

/// One field.
pub(super) struct Field {
    pub(super) number: u64,
    /// Name in JSON.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// The field is optional for the sender, so that a zero was meant.
    pub(super) keeps_zero: bool,
}

/// The type of a field's value.
pub(super) enum Shape {
    Text,
    Bytes,
    Integer,
    Boolean,
    Message(&'static Message),
    Time,
    Quantity,
    IntOrString,
    List(&'static Self),
    /// From text to this.
    Map(&'static Self),
}

use Shape::{
    Boolean, Bytes, IntOrString, Integer, List, Map, Message as Nested, Quantity, Text, Time,
};

/// A field that is absent when zero.
const fn field(number: u64, name: &'static str, shape: Shape) -> Field {
    Field {
        number,
        name,
        shape,
        keeps_zero: false,
    }
}

/// A field that is absent only when not sent.
const fn optional(number: u64, name: &'static str, shape: Shape) -> Field {
    Field {
        number,
        name,
        shape,
        keeps_zero: true,
    }
}

/// The message of a kind.
pub(super) fn root(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        ("v1", "Namespace") => &NAMESPACE,
        ("v1", "ConfigMap") => &CONFIG_MAP,
        ("v1", "Secret") => &SECRET,
        ("v1", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("v1", "Service") => &SERVICE,
        ("apps/v1", "Deployment") => &DEPLOYMENT,
        (_, "DeleteOptions") => &DELETE_OPTIONS,
        _ => return None,
    })
}

pub(super) const UNKNOWN: [Field; 4] = [
    field(
        1,
        "typeMeta",
        Nested(&[field(1, "apiVersion", Text), field(2, "kind", Text)]),
    ),
    field(2, "raw", Bytes),
    field(3, "contentEncoding", Text),
    field(4, "contentType", Text),
];
pub(super) const TIME: [Field; 2] = [field(1, "seconds", Integer), field(2, "nanos", Integer)];
pub(super) const QUANTITY: [Field; 1] = [field(1, "string", Text)];
pub(super) const INT_OR_STRING: [Field; 3] = [
    field(1, "type", Integer),
    optional(2, "intVal", Integer),
    optional(3, "strVal", Text),
];

const OBJECT_META: [Field; 14] = [
    field(1, "name", Text),
    field(2, "generateName", Text),
    field(3, "namespace", Text),
    field(4, "selfLink", Text),
    field(5, "uid", Text),
    field(6, "resourceVersion", Text),
    field(7, "generation", Integer),
    field(8, "creationTimestamp", Time),
    field(9, "deletionTimestamp", Time),
    optional(10, "deletionGracePeriodSeconds", Integer),
    field(11, "labels", Map(&Text)),
    field(12, "annotations", Map(&Text)),
    field(
        13,
        "ownerReferences",
        List(&Nested(&[
            field(1, "kind", Text),
            field(3, "name", Text),
            field(4, "uid", Text),
            field(5, "apiVersion", Text),
            optional(6, "controller", Boolean),
            optional(7, "blockOwnerDeletion", Boolean),
        ])),
    ),
    field(14, "finalizers", List(&Text)),
];

const METADATA: Field = field(1, "metadata", Nested(&OBJECT_META));

const DELETE_OPTIONS: [Field; 5] = [
    optional(1, "gracePeriodSeconds", Integer),
    field(
        2,
        "preconditions",
        Nested(&[
            optional(1, "uid", Text),
            optional(2, "resourceVersion", Text),
        ]),
    ),
    optional(3, "orphanDependents", Boolean),
    optional(4, "propagationPolicy", Text),
    field(5, "dryRun", List(&Text)),
];

const NAMESPACE: [Field; 3] = [
    METADATA,
    field(2, "spec", Nested(&[field(1, "finalizers", List(&Text))])),
    field(3, "status", Nested(&[field(1, "phase", Text)])),
];

const CONFIG_MAP: [Field; 4] = [
    METADATA,
    field(2, "data", Map(&Text)),
    field(3, "binaryData", Map(&Bytes)),
    optional(4, "immutable", Boolean),
];

const SECRET: [Field; 5] = [
    METADATA,
    field(2, "data", Map(&Bytes)),
    field(3, "type", Text),
    field(4, "stringData", Map(&Text)),
    optional(5, "immutable", Boolean),
];

const LOCAL_REFERENCE: [Field; 1] = [field(1, "name", Text)];

const SERVICE_ACCOUNT: [Field; 4] = [
    METADATA,
    field(
        2,
        "secrets",
        List(&Nested(&[
            field(1, "kind", Text),
            field(2, "namespace", Text),
            field(3, "name", Text),
            field(4, "uid", Text),
            field(5, "apiVersion", Text),
            field(6, "resourceVersion", Text),
            field(7, "fieldPath", Text),
        ])),
    ),
    field(3, "imagePullSecrets", List(&Nested(&LOCAL_REFERENCE))),
    optional(4, "automountServiceAccountToken", Boolean),
];

const SERVICE_PORT: [Field; 6] = [
    field(1, "name", Text),
    field(2, "protocol", Text),
    field(3, "port", Integer),
    field(4, "targetPort", IntOrString),
    field(5, "nodePort", Integer),
    optional(6, "appProtocol", Text),
];

const SERVICE_SPEC: [Field; 19] = [
    field(1, "ports", List(&Nested(&SERVICE_PORT))),
    field(2, "selector", Map(&Text)),
    field(3, "clusterIP", Text),
    field(4, "type", Text),
    field(5, "externalIPs", List(&Text)),
    field(7, "sessionAffinity", Text),
    field(8, "loadBalancerIP", Text),
    field(9, "loadBalancerSourceRanges", List(&Text)),
    field(10, "externalName", Text),
    field(11, "externalTrafficPolicy", Text),
    field(12, "healthCheckNodePort", Integer),
    field(13, "publishNotReadyAddresses", Boolean),
    optional(17, "ipFamilyPolicy", Text),
    field(18, "clusterIPs", List(&Text)),
    field(19, "ipFamilies", List(&Text)),
    optional(20, "allocateLoadBalancerNodePorts", Boolean),
    optional(21, "loadBalancerClass", Text),
    optional(22, "internalTrafficPolicy", Text),
    optional(23, "trafficDistribution", Text),
];

const SERVICE: [Field; 3] = [
    METADATA,
    field(2, "spec", Nested(&SERVICE_SPEC)),
    // An empty status: kubectl has nothing to say in it.
    field(
        3,
        "status",
        Nested(&[field(1, "loadBalancer", Nested(&[]))]),
    ),
];

const CONTAINER_PORT: [Field; 5] = [
    field(1, "name", Text),
    field(2, "hostPort", Integer),
    field(3, "containerPort", Integer),
    field(4, "protocol", Text),
    field(5, "hostIP", Text),
];

const CONTAINER: [Field; 14] = [
    field(1, "name", Text),
    field(2, "image", Text),
    field(3, "command", List(&Text)),
    field(4, "args", List(&Text)),
    field(5, "workingDir", Text),
    field(6, "ports", List(&Nested(&CONTAINER_PORT))),
    field(
        7,
        "env",
        List(&Nested(&[field(1, "name", Text), field(2, "value", Text)])),
    ),
    field(
        8,
        "resources",
        Nested(&[
            field(1, "limits", Map(&Quantity)),
            field(2, "requests", Map(&Quantity)),
        ]),
    ),
    field(13, "terminationMessagePath", Text),
    field(14, "imagePullPolicy", Text),
    field(16, "stdin", Boolean),
    field(17, "stdinOnce", Boolean),
    field(18, "tty", Boolean),
    field(20, "terminationMessagePolicy", Text),
];

const POD_SPEC: [Field; 19] = [
    field(2, "containers", List(&Nested(&CONTAINER))),
    field(3, "restartPolicy", Text),
    optional(4, "terminationGracePeriodSeconds", Integer),
    optional(5, "activeDeadlineSeconds", Integer),
    field(6, "dnsPolicy", Text),
    field(7, "nodeSelector", Map(&Text)),
    field(8, "serviceAccountName", Text),
    field(9, "serviceAccount", Text),
    field(10, "nodeName", Text),
    field(11, "hostNetwork", Boolean),
    field(12, "hostPID", Boolean),
    field(13, "hostIPC", Boolean),
    field(15, "imagePullSecrets", List(&Nested(&LOCAL_REFERENCE))),
    field(16, "hostname", Text),
    field(17, "subdomain", Text),
    field(19, "schedulerName", Text),
    field(20, "initContainers", List(&Nested(&CONTAINER))),
    optional(21, "automountServiceAccountToken", Boolean),
    field(24, "priorityClassName", Text),
];

const LABEL_SELECTOR: [Field; 2] = [
    field(1, "matchLabels", Map(&Text)),
    field(
        2,
        "matchExpressions",
        List(&Nested(&[
            field(1, "key", Text),
            field(2, "operator", Text),
            field(3, "values", List(&Text)),
        ])),
    ),
];

const DEPLOYMENT_SPEC: [Field; 8] = [
    optional(1, "replicas", Integer),
    field(2, "selector", Nested(&LABEL_SELECTOR)),
    field(
        3,
        "template",
        Nested(&[METADATA, field(2, "spec", Nested(&POD_SPEC))]),
    ),
    field(
        4,
        "strategy",
        Nested(&[
            field(1, "type", Text),
            field(
                2,
                "rollingUpdate",
                Nested(&[
                    field(1, "maxUnavailable", IntOrString),
                    field(2, "maxSurge", IntOrString),
                ]),
            ),
        ]),
    ),
    field(5, "minReadySeconds", Integer),
    optional(6, "revisionHistoryLimit", Integer),
    field(7, "paused", Boolean),
    optional(9, "progressDeadlineSeconds", Integer),
];

/// Counters of a status that has not begun.
const DEPLOYMENT_STATUS: [Field; 6] = [
    field(1, "observedGeneration", Integer),
    field(2, "replicas", Integer),
    field(3, "updatedReplicas", Integer),
    field(4, "availableReplicas", Integer),
    field(5, "unavailableReplicas", Integer),
    field(7, "readyReplicas", Integer),
];

const DEPLOYMENT: [Field; 3] = [
    METADATA,
    field(2, "spec", Nested(&DEPLOYMENT_SPEC)),
    field(3, "status", Nested(&DEPLOYMENT_STATUS)),
];

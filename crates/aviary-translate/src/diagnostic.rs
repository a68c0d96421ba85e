//! What the translator has to say about objects.

use crate::ObjectKey;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The object works; something about it surprises.
    Warning,
    /// Part of the object is not in force.
    Error,
}

/// A remark on an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Stable code, e.g. `AV0102`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Kind of the object.
    pub kind: &'static str,
    /// The object.
    pub object: ObjectKey,
    /// Field, e.g. `spec.http[0].route[0].destination`; empty for the whole object.
    pub path: String,
    /// What is the matter and what to do.
    pub message: String,
}

/// A destination's host is not known.
pub const UNKNOWN_HOST: &str = "AV0101";
/// A destination's subset is not known.
pub const UNKNOWN_SUBSET: &str = "AV0102";
/// A gateway that a `VirtualService` names is not known.
pub const UNKNOWN_GATEWAY: &str = "AV0103";
/// Another, older `VirtualService` has the same host in the mesh.
pub const DUPLICATE_HOST: &str = "AV0109";
/// A Release guards a Service that is not known.
pub const UNGUARDED_SERVICE: &str = "AV0201";
/// Another, older Release guards the same Service.
pub const SECOND_RELEASE: &str = "AV0202";
/// The shares of a Release's versions are not everything, so they are not applied.
pub const NOT_WHOLE: &str = "AV0203";
/// A version that requests may go to has no pods.
pub const VERSION_WITHOUT_PODS: &str = "AV0204";
/// A content condition of a Release cannot be joined with the condition of a rule.
pub const UNCLEAR_MATCH: &str = "AV0205";
/// Callers choose the pods of a guarded Service themselves.
pub const FIXED_POD: &str = "AV0206";
/// A rule could not be turned into a route.
pub const BAD_RULE: &str = "AV0110";

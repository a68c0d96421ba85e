//! `Release`: a new version of a Service under trial, and what is wanted of it.
//!
//! The specification is desired state, verbs included: applying it twice changes nothing. The
//! planner in `aviary-plan` decides what follows from it; the status says how far that has come.

mod strategy;
mod analysis;
mod control;
mod overlay;
mod status;
#[cfg(test)]
mod tests;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::Value;

pub use analysis::{Analysis, Bound, Check, CheckAction, Metric};
pub use control::{Control, Role};
pub use overlay::{Matched, Mirrored, Overlay, Share};
pub use status::{
    Claim, Condition, Drain, Entry, HoldReason, Phase, Progress, ProxyCount, ReleaseStatus, Seen,
    StepStatus, Verdict, VerdictStatus, VersionStatus, Weights,
};
pub use strategy::{
    BlueGreen, Canary, CanaryStep, MIRRORED_METHODS, Mirror, Pause, Stage, Strategy,
};

/// API group of Aviary's own kinds.
pub const GROUP: &str = "aviary.dev";
/// The only version of `Release` so far.
pub const VERSION: &str = "v1alpha1";
/// Keeps a `Release` until its traffic is back with one version and the other is drained.
pub const FINALIZER: &str = "aviary.dev/release";
/// Label of a pod template that is the identity of a version.
pub const VERSION_LABEL: &str = "version";

/// All traffic, in parts per million: the unit of every weight below the specification.
pub const WHOLE: u32 = 1_000_000;

/// A share of traffic in percent as parts per million, rounded; out of range is cut off.
///
/// ```
/// # use aviary_api::release::parts;
/// assert_eq!(parts(0.05), 500);
/// ```
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0 to 1,000,000"
)]
pub fn parts(percent: f64) -> u32 {
    (percent.clamp(0.0, 100.0) * f64::from(WHOLE / 100)).round() as u32
}

/// A `Release` object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Release {
    /// Kubernetes metadata.
    pub metadata: ObjectMeta,
    /// What the user wants.
    pub spec: ReleaseSpec,
    /// How far it has come; `None` before the controller saw it.
    pub status: Option<ReleaseStatus>,
}

impl Release {
    /// Reads an object as the API server gives it.
    ///
    /// # Errors
    /// When a field has the wrong type, or the specification is missing.
    pub fn from_value(value: &Value) -> Result<Self, crate::object::Error> {
        if value.get("spec").is_none_or(Value::is_null) {
            return Err(serde_json::Error::missing_field("spec").into());
        }
        Ok(Self::deserialize(value)?)
    }

    /// Name; empty when the metadata has none.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Namespace; empty when the metadata has none.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Whether it was asked to go.
    pub fn is_leaving(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }
}

/// What is released, how, and every verb.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReleaseSpec {
    /// Name of a Service of the same namespace, which no other active `Release` may guard.
    pub service: String,
    /// `version` label of the stable version; absent is the one version of the Service, other than
    /// the new one, that has pods.
    pub stable: Option<String>,
    /// The version under trial.
    pub new: NewVersion,
    /// How traffic moves.
    pub strategy: Strategy,
    /// Keeps a user with a version; absent draws anew for each request.
    pub affinity: Option<Affinity>,
    /// What is measured before a step is left; absent measures nothing.
    pub analysis: Option<Analysis>,
    /// How long things may take.
    pub limits: Limits,
    /// The verbs, as desired state.
    pub control: Control,
    /// Which version has all traffic before a `Release` that is deleted midway is gone.
    pub on_delete: Role,
}

/// The version under trial: an existing Deployment, or one derived from the stable version's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NewVersion {
    /// Value of its `version` label, which is its identity. A changed version supersedes the one
    /// under trial; a version is never given another meaning.
    pub version: String,
    /// Image of the derived Deployment; absent means that the Deployment exists.
    pub image: Option<String>,
    /// Container that gets image and environment; absent is the first of the pod.
    pub container: Option<String>,
    /// Environment that is set in the derived Deployment, beside the stable version's.
    pub env: Vec<EnvVar>,
    /// Pods of the new version; absent is as many as the stable version has.
    pub replicas: Option<u32>,
}

impl NewVersion {
    /// Whether a Deployment is to be derived.
    pub fn is_derived(&self) -> bool {
        self.image.is_some()
    }
}

/// An environment variable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What identifies a user; exactly one field is set. A request without it is drawn at random.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// A request header.
    pub header: Option<String>,
    /// A cookie, which the client must have; none is made.
    pub cookie: Option<String>,
}

#[expect(
    clippy::struct_field_names,
    reason = "names as users write them: what is limited, and how"
)]
/// How long things may take, as durations such as `30s`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// After this a proxy that has not acknowledged is named and the release holds; it goes on
    /// waiting. 10 s when absent.
    pub ack_deadline: Option<String>,
    /// After this open streams of a version without traffic no longer keep its pods; the number cut
    /// is recorded. 5 min when absent.
    pub drain_deadline: Option<String>,
    /// After this a new version that is not ready is withdrawn. 10 min when absent.
    pub ready_deadline: Option<String>,
}

//! The frame that all of Istio's objects share.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// An object with its metadata and specification; the status is not read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Object<S> {
    /// Kubernetes metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What the user wants.
    pub spec: S,
}

impl<S> Object<S> {
    /// Name; empty when the metadata has none.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Namespace; empty when the metadata has none.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Sorts older objects first, then by namespace and name: Istio's order of precedence.
    pub fn age_order(&self) -> (Option<i128>, &str, &str) {
        let created = self.metadata.creation_timestamp.as_ref();
        (
            created.map(|time| time.0.as_nanosecond()),
            self.namespace(),
            self.name(),
        )
    }
}

/// An object that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the object does not have the form of its kind: {0}")]
pub struct Error(#[from] serde_json::Error);

impl<S: DeserializeOwned> Object<S> {
    /// Reads an object as the API server gives it, in any served version.
    ///
    /// # Errors
    /// When a field has the wrong type.
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        Ok(Self::deserialize(value)?)
    }
}

//! Admission: hooks that may change or refuse an object before it is stored.

use std::sync::Arc;

use serde_json::Value;

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The object does not exist yet.
    Create,
    /// The object exists and is replaced or patched.
    Update,
    /// The object is about to be removed. Only `validate` is called, with the stored object.
    Delete,
}

/// A read of one object of the latest state: `(resource, namespace, name)`, where resource is
/// `<group>/<plural>` (`/namespaces` for the core group) and namespace is empty for cluster scope.
pub type Get<'a> = dyn Fn(&str, &str, &str) -> Option<Arc<Value>> + Send + Sync + 'a;

/// What a hook knows of the request that it judges.
pub struct AdmissionRequest<'a> {
    /// Create, update or delete.
    pub operation: Operation,
    /// API group, empty for the core group.
    pub group: &'a str,
    /// API version, for example `v1`.
    pub version: &'a str,
    /// Kind in CamelCase, for example `Pod`.
    pub kind: &'a str,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Name; empty while a generated name is not yet chosen.
    pub name: &'a str,
    /// `status`, `scale` and so on, or `None` for the object itself.
    pub subresource: Option<&'a str>,
    /// Name of the user who asks.
    pub user: &'a str,
    /// Whether the result will be thrown away (`dryRun=All`).
    pub dry_run: bool,
    /// Cheap reads, for example of the namespace's labels.
    pub get: &'a Get<'a>,
}

/// One reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DenialCause {
    /// Machine-readable reason, for example `FieldValueInvalid`.
    pub reason: String,
    /// What is wrong, for people.
    pub message: String,
    /// Path of the field, for example `spec.http[0].route`.
    pub field: String,
}

/// A refusal: answered as 422 Invalid with these causes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denial {
    /// At least one cause.
    pub causes: Vec<DenialCause>,
}

/// A hook. Hooks run in the order of the configuration: all `mutate`, then the kind's own
/// defaulting and validation, then all `validate`.
pub trait Admission: Send + Sync {
    /// Changes the object in place.
    fn mutate(&self, request: &AdmissionRequest<'_>, object: &mut Value) {
        let _ = (request, object);
    }

    /// Judges the final object; the strings of `Ok` are warnings to the user.
    ///
    /// # Errors
    /// A [`Denial`] refuses the request with 422.
    fn validate(
        &self,
        request: &AdmissionRequest<'_>,
        object: &Value,
        old: Option<&Value>,
    ) -> Result<Vec<String>, Denial> {
        let _ = (request, object, old);
        Ok(Vec::new())
    }
}

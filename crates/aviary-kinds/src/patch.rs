//! The three patch formats that change a part of an object.
//!
//! [`merge`] and [`json`] know nothing of the kind; [`strategic`] walks the kind's [`Schema`] to
//! know which lists are merged by key. Server-side apply is in [`crate::fields`].

mod directive;
mod order;
mod strategic;
#[cfg(test)]
mod tests;

use json_patch::PatchOperation;
use serde::Deserialize;
use serde_json::Value;

use crate::{schema::Schema, status::Status};

/// Why a patch could not be applied. The object is as it was before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The document is not a patch of its format: 400.
    #[error("{0}")]
    Malformed(String),
    /// An operation of a JSON patch does not fit the object: 422.
    #[error("the server rejected our request due to an error in our request")]
    Rejected,
    /// A strategic patch contradicts the schema or itself: 500, as the real server answers.
    #[error("{0}")]
    Mismatch(String),
}

impl Error {
    /// The answer to send to the client.
    pub fn status(&self) -> Status {
        match self {
            Self::Malformed(message) => Status::bad_request(message.clone()),
            Self::Rejected => Status::unprocessable(self.to_string()),
            Self::Mismatch(message) => Status::internal_text(message.clone()),
        }
    }
}

/// Applies a JSON merge patch: objects merge, `null` removes, all else replaces.
///
/// Source: RFC 7396.
pub fn merge(target: &mut Value, patch: &Value) {
    json_patch::merge(target, patch);
}

/// Applies a JSON patch: a list of operations, all or nothing.
///
/// Source: RFC 6902.
///
/// # Errors
/// [`Error::Malformed`] when the document is not a list of operations, [`Error::Rejected`] when
/// one of them (a `test` included) fails on this object.
pub fn json(target: &mut Value, patch: &Value) -> Result<(), Error> {
    if !patch.is_array() {
        let text = "error decoding patch: a JSON patch is a list of operations";
        return Err(Error::Malformed(text.to_owned()));
    }
    let operations = Vec::<PatchOperation>::deserialize(patch)
        .map_err(|error| Error::Malformed(format!("error decoding patch: {error}")))?;
    json_patch::patch(target, &operations).map_err(|_| Error::Rejected)
}

/// Applies a strategic merge patch: as a merge patch, but lists with a merge key are merged item
/// by item and the directives `$patch`, `$retainKeys`, `$setElementOrder/x` and
/// `$deleteFromPrimitiveList/x` are obeyed.
///
/// Source: Kubernetes "Update API Objects in Place Using kubectl patch" and the recorded answers
/// of a real server.
///
/// # Errors
/// [`Error::Malformed`] for a patch that is not an object or an unknown directive;
/// [`Error::Mismatch`] when an item lacks its merge key or has the wrong type.
pub fn strategic(target: &mut Value, patch: &Value, schema: &Schema) -> Result<(), Error> {
    strategic::apply(target, patch, schema)
}

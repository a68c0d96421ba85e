//! Who owns which field: `metadata.managedFields` and server-side apply.

mod set;
mod walk;
mod merge;
mod entry;
mod zero;
mod own;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    Kind,
    status::{Cause, Status},
};

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// Kind (in the version) that the request names.
    pub kind: &'a Kind,
    /// `fieldManager` of the request, else the User-Agent before its first `/`.
    pub manager: &'a str,
    /// `status` or `scale` when the request goes there.
    pub subresource: Option<&'a str>,
    /// Time of the write; shown in whole seconds.
    pub now: Timestamp,
}

/// Why an apply was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Other managers own fields that this apply would change: 409, or repeat with `force`.
    #[error("{message}")]
    Conflict {
        /// The whole text.
        message: String,
        /// One cause for each field.
        causes: Vec<Cause>,
    },
    /// The configuration cannot be applied as it is: 400.
    #[error("{0}")]
    Malformed(String),
    /// The configuration does not fit the schema: 500, as the real server answers.
    #[error("{0}")]
    Mismatch(String),
}

impl Error {
    /// The answer to send to the client.
    pub fn status(&self) -> Status {
        match self {
            Self::Conflict { message, causes } => {
                Status::apply_conflict(message.clone(), causes.clone())
            }
            Self::Malformed(message) => Status::bad_request(message.clone()),
            Self::Mismatch(message) => Status::internal_text(message.clone()),
        }
    }
}

/// Sets `new.metadata.managedFields` for a create (`old` is `None`), an update or a patch other
/// than apply.
///
/// To be called last, on the object as it will be stored. A write that changes nothing leaves the
/// entries and their times as they were in `old`.
pub fn managed(write: &Write<'_>, old: Option<&Value>, new: &mut Value) {
    own::update(write, old, new);
}

/// Merges an applied configuration into the live object (`None`: creates it) and gives the whole
/// new object, with `managedFields` set; the caller then defaults and validates it as any update.
/// When the answer equals `live` there is nothing to store.
///
/// # Errors
/// [`Error::Conflict`] unless `force`; [`Error::Malformed`] when the configuration carries
/// `managedFields`; [`Error::Mismatch`] for duplicate or missing list keys.
pub fn apply(
    write: &Write<'_>,
    live: Option<&Value>,
    config: &Value,
    force: bool,
) -> Result<Value, Error> {
    own::apply(write, live, config, force)
}

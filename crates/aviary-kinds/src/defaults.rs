//! What the server fills in for absent fields.

use serde_json::Value;

use crate::kind::Kind;

pub(crate) fn default(kind: &Kind, object: &mut Value) {
    kind.schema.fill_defaults(object);
}

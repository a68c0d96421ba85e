//! What is wrong with an object.

use serde_json::Value;

use crate::{
    kind::{Kind, Rules},
    status::Cause,
};

pub(crate) fn validate(kind: &Kind, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    match &kind.rules {
        Rules::BuiltIn => Vec::new(),
        Rules::Custom { rules, .. } => rules.validate(new, old),
    }
}

//! Which dependents a controller may call its own: adoption and release.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use serde_json::json;

use crate::kind::Kind;
use crate::object::{self, controller_of, to_value};
use crate::plan::{Action, Target};
use crate::selector;

/// The outcome of claiming dependents.
#[derive(Debug, Default)]
pub struct Claims {
    /// Per candidate, whether it is owned.
    pub owned: Vec<bool>,
    /// Adoptions and releases to write before anything else.
    pub actions: Vec<Action>,
}

/// Sorts `candidates` (objects of `kind` in the controller's namespace) into own and foreign ones.
///
/// An orphan that the selector matches is adopted, an own one that it no longer matches released.
/// A controller under deletion neither adopts nor releases.
pub fn claim_all<'a>(
    controller: &Target,
    deleting: bool,
    reference: &OwnerReference,
    wanted: &LabelSelector,
    kind: &Kind,
    candidates: impl Iterator<Item = &'a ObjectMeta>,
) -> Claims {
    let mut claims = Claims::default();
    for meta in candidates {
        let matched = selector::matches(wanted, meta.labels.as_ref());
        let owner = controller_of(meta);
        let own = owner.is_some_and(|owner| owner.uid == controller.uid);
        claims.owned.push(own && matched);
        if deleting || meta.deletion_timestamp.is_some() {
            continue;
        }
        if own && !matched {
            claims.actions.push(set_owners(kind, meta, |owners| {
                owners.retain(|owner| owner.uid != controller.uid);
            }));
        } else if owner.is_none() && matched {
            claims.actions.push(set_owners(kind, meta, |owners| {
                owners.push(reference.clone());
            }));
        }
    }
    claims
}

/// A patch of the owner references of one object, guarded by uid and resource version.
pub(crate) fn set_owners(
    kind: &Kind,
    meta: &ObjectMeta,
    change: impl FnOnce(&mut Vec<OwnerReference>),
) -> Action {
    let mut owners = meta.owner_references.clone().unwrap_or_default();
    change(&mut owners);
    Action::Patch {
        target: object::target(kind, meta),
        patch: json!({"metadata": {
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
            "ownerReferences": to_value(&owners),
        }}),
    }
}

//! Garbage collection: what becomes of objects whose owners go.
//!
//! Source: the documented behaviour of Kubernetes' garbage collector.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use crate::cache::{Entry, Graph};
use crate::object::to_value;
use crate::plan::{Action, Plan, Propagation, Target};

#[cfg(test)]
mod tests;

const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

/// What is known of an owner.
enum Owner {
    /// It lives.
    Solid,
    /// It is being deleted and waits for its dependents.
    Waiting,
    /// It is not among the known objects; to be asked for live before acting on that.
    Absent(Target),
    /// Objects of its kind are not watched.
    Unknown,
}

/// What to write for one object: delete it when its owners are gone, or let go of it or of its
/// dependents when it is itself being deleted.
pub fn plan(entry: &Entry, graph: &Graph) -> Plan {
    let mut plan = Plan::default();
    if entry.deleting {
        if entry.has_finalizer(ORPHAN) {
            orphan_dependents(entry, graph, &mut plan);
        } else if entry.has_finalizer(FOREGROUND) {
            await_dependents(entry, graph, &mut plan);
        }
        return plan;
    }
    if !entry.owners.is_empty() {
        judge_owners(entry, graph, &mut plan);
    }
    plan
}

fn orphan_dependents(entry: &Entry, graph: &Graph, plan: &mut Plan) {
    for dependent in graph.dependents(&entry.uid) {
        plan.actions
            .push(without_owners(&dependent, |owner| owner.uid == entry.uid));
    }
    plan.actions.push(without_finalizer(entry, ORPHAN));
}

fn await_dependents(entry: &Entry, graph: &Graph, plan: &mut Plan) {
    let blocking: Vec<Arc<Entry>> = graph
        .dependents(&entry.uid)
        .into_iter()
        .filter(|dependent| {
            let mut owners = dependent
                .owners
                .iter()
                .filter(|owner| owner.uid == entry.uid);
            owners.any(|owner| owner.block_owner_deletion == Some(true))
        })
        .collect();
    if blocking.is_empty() {
        plan.actions.push(without_finalizer(entry, FOREGROUND));
    } else {
        plan.wait(format!("{} dependents to go", blocking.len()));
    }
}

fn judge_owners(entry: &Entry, graph: &Graph, plan: &mut Plan) {
    let mut absent = Vec::new();
    let mut gone_or_going = Vec::new();
    let mut waiting = false;
    let mut solid = false;
    for owner in &entry.owners {
        match state_of(entry, owner, graph) {
            Owner::Solid => solid = true,
            Owner::Waiting => {
                waiting = true;
                gone_or_going.push(owner.uid.clone());
            }
            Owner::Absent(target) => {
                absent.push(target);
                gone_or_going.push(owner.uid.clone());
            }
            Owner::Unknown => {
                plan.wait(format!("objects of kind {} to be known", owner.kind));
                return;
            }
        }
    }
    if gone_or_going.is_empty() {
        return;
    }
    if solid {
        plan.actions.push(without_owners(entry, |owner| {
            gone_or_going.contains(&owner.uid)
        }));
        return;
    }
    let blocks = !graph.dependents(&entry.uid).is_empty();
    let propagation = if entry.has_finalizer(ORPHAN) {
        Propagation::Orphan
    } else if entry.has_finalizer(FOREGROUND) || (waiting && blocks) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    plan.actions.push(Action::Delete {
        target: entry.target(),
        propagation: Some(propagation),
        unless_any: absent,
        event: None,
    });
}

fn state_of(entry: &Entry, owner: &OwnerReference, graph: &Graph) -> Owner {
    if let Some(found) = graph.by_uid(&owner.uid) {
        return if found.deleting && found.has_finalizer(FOREGROUND) {
            Owner::Waiting
        } else {
            Owner::Solid
        };
    }
    let Some(kind) = graph.kind(&owner.api_version, &owner.kind) else {
        return Owner::Unknown;
    };
    let namespace = if kind.namespaced {
        entry.namespace.clone()
    } else {
        String::new()
    };
    Owner::Absent(Target {
        kind: kind.clone(),
        namespace,
        name: owner.name.clone(),
        uid: owner.uid.clone(),
    })
}

fn without_owners(entry: &Entry, drop: impl Fn(&OwnerReference) -> bool) -> Action {
    let kept: Vec<&OwnerReference> = entry.owners.iter().filter(|owner| !drop(owner)).collect();
    guarded_patch(entry, "ownerReferences", to_value(&kept))
}

fn without_finalizer(entry: &Entry, finalizer: &str) -> Action {
    let kept: Vec<&String> = entry
        .finalizers
        .iter()
        .filter(|found| *found != finalizer)
        .collect();
    guarded_patch(entry, "finalizers", to_value(&kept))
}

/// A patch of one member of the metadata that fails if the object changed meanwhile.
fn guarded_patch(entry: &Entry, member: &str, value: serde_json::Value) -> Action {
    let mut metadata = json!({
        "uid": entry.uid,
        "resourceVersion": entry.version.to_string(),
    });
    metadata[member] = value;
    Action::Patch {
        target: entry.target(),
        patch: json!({ "metadata": metadata }),
    }
}

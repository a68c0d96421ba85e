//! Namespaces under deletion: emptying, then letting go.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Namespace;

use crate::cache::Entry;
use crate::kind;
use crate::object::{self, to_value};
use crate::plan::{Action, Plan};

#[cfg(test)]
mod tests;

const FINALIZER: &str = "kubernetes";

/// What the planner looks at.
#[derive(Debug)]
pub struct View<'a> {
    /// The namespace.
    pub namespace: &'a Namespace,
    /// Everything in it.
    pub contents: Vec<Arc<Entry>>,
}

/// Deletes what is in a namespace under deletion; once it is empty, removes the finalizer.
pub fn plan(view: &View<'_>) -> Plan {
    let mut plan = Plan::default();
    let finalizers = view
        .namespace
        .spec
        .as_ref()
        .and_then(|spec| spec.finalizers.as_ref());
    let held = finalizers.is_some_and(|list| list.iter().any(|found| found == FINALIZER));
    if object::name(&view.namespace.metadata).is_empty()
        || view.namespace.metadata.deletion_timestamp.is_none()
        || !held
    {
        return plan;
    }
    // Events can still arrive from agents that stop the pods; the last sweep takes them.
    let (events, objects): (Vec<_>, Vec<_>) = view
        .contents
        .iter()
        .partition(|entry| entry.kind == kind::EVENT);
    let going = objects.iter().filter(|entry| entry.deleting).count();
    // Owners before dependents: a controller must not replace what is deleted under it.
    let mut doomed: Vec<_> = objects.iter().filter(|entry| !entry.deleting).collect();
    doomed.sort_by_key(|entry| !entry.owners.is_empty());
    plan.actions
        .extend(doomed.into_iter().map(|entry| deletion(entry)));
    if going > 0 {
        plan.wait(format!("{going} objects in the namespace to go"));
    }
    if objects.is_empty() {
        plan.actions
            .extend(events.into_iter().map(|entry| deletion(entry)));
        let mut namespace = view.namespace.clone();
        if let Some(list) = namespace
            .spec
            .as_mut()
            .and_then(|spec| spec.finalizers.as_mut())
        {
            list.retain(|found| found != FINALIZER);
        }
        plan.actions.push(Action::Finalize {
            object: to_value(&namespace),
        });
    }
    plan
}

fn deletion(entry: &Entry) -> Action {
    Action::Delete {
        target: entry.target(),
        propagation: None,
        unless_any: Vec::new(),
        event: None,
    }
}

//! Revisions: which ReplicaSet has the Deployment's template, and how revisions are numbered.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Rollout, condition, replicas};
use crate::hash::{POD_TEMPLATE_HASH, same_template, template_hash};
use crate::kind::REPLICA_SET;
use crate::object::{self, annotation, to_value};
use crate::plan::Action;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// Annotations of a Deployment that its `ReplicaSets` do not inherit.
const NOT_INHERITED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    replicas::DESIRED_REPLICAS,
    replicas::MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];
/// Most characters that the history of one ReplicaSet's revisions may take.
const HISTORY_LIMIT: usize = 2000;

/// The oldest set with the Deployment's template.
pub(super) fn find_current(spec: &DeploymentSpec, sets: &[ReplicaSet]) -> Option<usize> {
    sets.iter().position(|set| has_template_of(spec, set))
}

fn has_template_of(spec: &DeploymentSpec, set: &ReplicaSet) -> bool {
    let template = set.spec.as_ref().and_then(|spec| spec.template.as_ref());
    template.is_some_and(|template| same_template(template, &spec.template))
}

/// Revision number of a set; 0 if it has none.
pub(super) fn number(set: &ReplicaSet) -> i64 {
    annotation(&set.metadata, REVISION)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

impl Rollout<'_> {
    /// Brings the current set's annotations and the Deployment's revision up to date, and with
    /// `create` makes the current set if there is none.
    pub(super) fn sync_revision(&mut self, create: bool) {
        let newest = self
            .old_sets()
            .iter()
            .map(|index| number(&self.sets[*index]))
            .max();
        let next = newest.unwrap_or(0) + 1;
        if let Some(index) = self.current {
            self.refresh_current(index, next);
        } else if create {
            self.create_current(next);
        }
    }

    fn refresh_current(&mut self, index: usize, next: i64) {
        let inherited = self.inherited_annotations();
        let min_ready = self.spec.min_ready_seconds;
        let set = &mut self.sets[index];
        let mut changed = annotate(set, &inherited, next);
        if let Some(spec) = &mut set.spec
            && spec.min_ready_seconds.unwrap_or(0) != min_ready.unwrap_or(0)
        {
            spec.min_ready_seconds = min_ready;
            changed = true;
        }
        let revision = annotation(&set.metadata, REVISION)
            .unwrap_or_default()
            .to_owned();
        let name = object::name(&set.metadata).to_owned();
        if changed {
            self.write_set(index);
        }
        self.set_revision(&revision);
        if self.has_deadline() && condition::find(&self.deployment, "Progressing").is_none() {
            let message = format!("Found new replica set \"{name}\"");
            self.set_progress("True", "FoundNewReplicaSet", message);
        }
    }

    fn create_current(&mut self, next: i64) {
        let collisions = self
            .deployment
            .status
            .as_ref()
            .and_then(|status| status.collision_count);
        let hash = template_hash(&self.spec.template, collisions);
        let name = format!("{}-{hash}", object::name(&self.deployment.metadata));
        if self
            .view
            .replica_sets
            .iter()
            .any(|set| object::name(&set.metadata) == name)
        {
            // The name is taken by a foreign set or another template: count a collision,
            // and the next plan finds another name.
            let status = self.deployment.status.get_or_insert_default();
            status.collision_count = Some(collisions.unwrap_or(0) + 1);
            return;
        }
        let mut set = self.new_set(name.clone(), &hash);
        let others: i32 = self.sets.iter().map(replicas::wanted).sum();
        let size = self.size_of_current(0, others);
        if let Some(spec) = &mut set.spec {
            spec.replicas = Some(size);
        }
        annotate(&mut set, &self.inherited_annotations(), next);
        let desired = self.desired();
        replicas::annotate_sizes(&mut set, desired, desired + replicas::max_surge(self.spec));
        self.plan.actions.push(Action::Create {
            kind: REPLICA_SET,
            object: to_value(&set),
            event: None,
        });
        self.sets.push(set);
        self.current = Some(self.sets.len() - 1);
        if size > 0 {
            self.event(format!("Scaled up replica set {name} from 0 to {size}"));
        }
        self.set_revision(&next.to_string());
        if self.has_deadline() {
            let message = format!("Created new replica set \"{name}\"");
            self.set_progress("True", "NewReplicaSetCreated", message);
        }
    }

    fn new_set(&self, name: String, hash: &str) -> ReplicaSet {
        let mut template = self.spec.template.clone();
        let metadata = template.metadata.get_or_insert_default();
        let labels = metadata.labels.get_or_insert_default();
        labels.insert(POD_TEMPLATE_HASH.to_owned(), hash.to_owned());
        let labels = labels.clone();
        let mut selector = self.spec.selector.clone();
        let matched = selector.match_labels.get_or_insert_default();
        matched.insert(POD_TEMPLATE_HASH.to_owned(), hash.to_owned());
        let owner = &self.deployment.metadata;
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: owner.namespace.clone(),
                labels: Some(labels),
                owner_references: Some(vec![object::controller_reference::<Deployment>(owner)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                min_ready_seconds: self.spec.min_ready_seconds,
                selector,
                template: Some(template),
                ..ReplicaSetSpec::default()
            }),
            status: None,
        }
    }

    fn inherited_annotations(&self) -> BTreeMap<String, String> {
        let mut annotations = self
            .deployment
            .metadata
            .annotations
            .clone()
            .unwrap_or_default();
        annotations.retain(|key, _| !NOT_INHERITED.contains(&key.as_str()));
        annotations
    }

    fn set_revision(&mut self, revision: &str) {
        let annotations = self.deployment.metadata.annotations.get_or_insert_default();
        annotations.insert(REVISION.to_owned(), revision.to_owned());
    }
}

/// Writes inherited annotations and, if it is higher, the revision; true if anything changed.
fn annotate(set: &mut ReplicaSet, inherited: &BTreeMap<String, String>, revision: i64) -> bool {
    let old = annotation(&set.metadata, REVISION).map(ToOwned::to_owned);
    let old_number = number(set);
    let annotations = set.metadata.annotations.get_or_insert_default();
    let mut changed = false;
    for (key, value) in inherited {
        if annotations.get(key) != Some(value) {
            annotations.insert(key.clone(), value.clone());
            changed = true;
        }
    }
    if old_number >= revision {
        return changed;
    }
    annotations.insert(REVISION.to_owned(), revision.to_string());
    if let Some(old) = old {
        let history = annotations.remove(REVISION_HISTORY).unwrap_or_default();
        annotations.insert(REVISION_HISTORY.to_owned(), extend_history(&history, &old));
    }
    true
}

/// Appends a revision to a comma-separated history, dropping the oldest beyond the limit.
fn extend_history(history: &str, revision: &str) -> String {
    let mut entries: Vec<&str> = history
        .split(',')
        .filter(|entry| !entry.is_empty())
        .collect();
    entries.push(revision);
    while entries.join(",").len() > HISTORY_LIMIT {
        entries.remove(0);
    }
    entries.join(",")
}

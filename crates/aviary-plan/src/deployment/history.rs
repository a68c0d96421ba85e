//! Deleting `ReplicaSets` that are too old to roll back to.

use super::{Rollout, replicas, revision};
use crate::kind::REPLICA_SET;
use crate::object;
use crate::plan::Action;

impl Rollout<'_> {
    /// Deletes empty old sets beyond `revisionHistoryLimit`, lowest revision first.
    pub(super) fn clean_up_history(&mut self) {
        let Some(limit) = self
            .spec
            .revision_history_limit
            .filter(|limit| *limit != i32::MAX)
        else {
            return;
        };
        let mut old = self.old_sets();
        old.retain(|index| self.sets[*index].metadata.deletion_timestamp.is_none());
        old.sort_by_key(|index| revision::number(&self.sets[*index]));
        let surplus = old
            .len()
            .saturating_sub(usize::try_from(limit).unwrap_or(0));
        for index in old.into_iter().take(surplus) {
            let set = &self.sets[index];
            let observed = set
                .status
                .as_ref()
                .and_then(|status| status.observed_generation);
            let settled = set.metadata.generation.unwrap_or(0) <= observed.unwrap_or(0);
            if replicas::wanted(set) == 0 && replicas::actual(set) == 0 && settled {
                self.plan.actions.push(Action::Delete {
                    target: object::target(&REPLICA_SET, &set.metadata),
                    propagation: None,
                    unless_any: Vec::new(),
                    event: None,
                });
            }
        }
    }
}

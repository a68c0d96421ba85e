//! Scaling outside of a rollout step: a new size, or a paused Deployment.

use std::cmp::Reverse;

use super::{Rollout, replicas};
use crate::object;

impl Rollout<'_> {
    /// Whether the Deployment's size changed since an active set was last resized.
    pub(super) fn is_scaling_event(&self) -> bool {
        let active = self.sets.iter().filter(|set| replicas::wanted(set) > 0);
        let mut annotated = active.filter_map(replicas::annotated_desired);
        annotated.any(|desired| desired != self.desired())
    }

    /// Brings the sets to the Deployment's size without moving pods between revisions.
    pub(super) fn sync_scale(&mut self) {
        self.sync_revision(false);
        self.scale();
        if self.spec.paused == Some(true) {
            self.plan.wait("the Deployment to be resumed");
            self.clean_up_history();
        }
        self.finish_status();
    }

    fn scale(&mut self) {
        let desired = self.desired();
        if let Some(index) = self.only_active_or_latest() {
            if replicas::wanted(&self.sets[index]) != desired {
                self.resize(index, desired);
            }
            return;
        }
        if self.is_saturated() {
            for index in self.active_old_sets() {
                self.resize(index, 0);
            }
            return;
        }
        if !self.is_recreate() {
            self.scale_in_proportion();
        }
    }

    /// The one active set; with none active the current or else the youngest one; `None` if there
    /// is no set at all or more than one active.
    fn only_active_or_latest(&self) -> Option<usize> {
        let mut active =
            (0..self.sets.len()).filter(|index| replicas::wanted(&self.sets[*index]) > 0);
        match (active.next(), active.next()) {
            (None, _) => self.current.or_else(|| self.old_sets().last().copied()),
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Whether the current set alone has all desired pods, available.
    fn is_saturated(&self) -> bool {
        let desired = self.desired();
        self.current.is_some_and(|index| {
            let set = &self.sets[index];
            replicas::wanted(set) == desired
                && replicas::annotated_desired(set) == Some(desired)
                && replicas::available(set) == desired
        })
    }

    /// Spreads the change of size over the active sets by their share, the rest to the largest.
    fn scale_in_proportion(&mut self) {
        let mut active: Vec<usize> = (0..self.sets.len())
            .filter(|index| replicas::wanted(&self.sets[*index]) > 0)
            .collect();
        let all: i32 = active
            .iter()
            .map(|index| replicas::wanted(&self.sets[*index]))
            .sum();
        let desired = self.desired();
        let allowed = if desired == 0 {
            0
        } else {
            desired + replicas::max_surge(self.spec)
        };
        let to_add = allowed - all;
        // `sets` is ordered by age, so an index is a rank of age. Ties in size go to the newer set
        // when growing and to the older one when shrinking.
        if to_add > 0 {
            active.sort_by_key(|index| {
                (
                    Reverse(replicas::wanted(&self.sets[*index])),
                    Reverse(*index),
                )
            });
        } else {
            active.sort_by_key(|index| (Reverse(replicas::wanted(&self.sets[*index])), *index));
        }
        let reported = self
            .view
            .deployment
            .status
            .as_ref()
            .and_then(|status| status.replicas);
        let mut added = 0;
        let mut sizes = Vec::with_capacity(active.len());
        for &index in &active {
            let set = &self.sets[index];
            let share = replicas::proportion(set, self.spec, reported.unwrap_or(0), to_add, added);
            added += share;
            sizes.push(replicas::wanted(set) + share);
        }
        if let Some(first) = sizes.first_mut() {
            *first = (*first + to_add - added).max(0);
        }
        for (index, size) in active.into_iter().zip(sizes) {
            debug_assert!(!object::name(&self.sets[index].metadata).is_empty());
            self.resize_or_annotate(index, size);
        }
    }
}

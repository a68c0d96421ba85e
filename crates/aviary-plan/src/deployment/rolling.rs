//! Rolling updates.

use super::{Rollout, replicas};
use crate::object;

impl Rollout<'_> {
    /// One step of a rolling update: the new set grows as far as the surge allows, or else the old
    /// ones shrink as far as availability allows.
    pub(super) fn roll(&mut self) {
        self.sync_revision(true);
        let moved = self.grow_current() || self.shrink_old();
        if !moved && self.is_complete() {
            self.clean_up_history();
        }
        self.finish_rollout_status();
    }

    /// Size the current set may have now, `others` being the wanted pods of all sets together.
    pub(super) fn size_of_current(&self, size: i32, all: i32) -> i32 {
        let desired = self.desired();
        if self.is_recreate() {
            return desired;
        }
        let most = desired + replicas::max_surge(self.spec);
        if all >= most {
            size
        } else {
            size + (most - all).min(desired - size)
        }
    }

    fn grow_current(&mut self) -> bool {
        let Some(index) = self.current else {
            return false;
        };
        let size = replicas::wanted(&self.sets[index]);
        let desired = self.desired();
        if size == desired {
            return false;
        }
        if size > desired {
            return self.resize(index, desired);
        }
        let all = self.sets.iter().map(replicas::wanted).sum();
        let next = self.size_of_current(size, all);
        self.resize(index, next)
    }

    fn shrink_old(&mut self) -> bool {
        let old = self.active_old_sets();
        let Some(current) = self.current else {
            return false;
        };
        if old.is_empty() {
            return false;
        }
        let all: i32 = self.sets.iter().map(replicas::wanted).sum();
        let least = self.desired() - replicas::max_unavailable(self.spec);
        let set = &self.sets[current];
        let coming = replicas::wanted(set) - replicas::lasting(set);
        let most = all - least - coming;
        if most <= 0 {
            self.plan.wait(format!(
                "{coming} pods of {} to become available",
                object::name(&set.metadata)
            ));
            return false;
        }
        let removed = self.drop_unhealthy(&old, most);
        self.drop_available(&old, least) || removed
    }

    /// Takes pods that are not available from the old sets first: they serve nobody.
    fn drop_unhealthy(&mut self, old: &[usize], most: i32) -> bool {
        let mut dropped = 0;
        for &index in old {
            if dropped >= most {
                break;
            }
            let set = &self.sets[index];
            let size = replicas::wanted(set);
            let unhealthy = size - replicas::lasting(set);
            if size == 0 || unhealthy <= 0 {
                continue;
            }
            let count = unhealthy.min(most - dropped);
            if self.resize(index, size - count) {
                dropped += count;
            }
        }
        dropped > 0
    }

    /// Takes available pods from the old sets, oldest set first, down to `least` in all.
    fn drop_available(&mut self, old: &[usize], least: i32) -> bool {
        let available: i32 = self.sets.iter().map(replicas::lasting).sum();
        let most = available - least;
        let mut dropped = 0;
        for &index in old {
            if dropped >= most {
                break;
            }
            let size = replicas::wanted(&self.sets[index]);
            let count = size.min(most - dropped);
            if count > 0 && self.resize(index, size - count) {
                dropped += count;
            }
        }
        dropped > 0
    }
}

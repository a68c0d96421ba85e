//! The strategy that stops all old pods before it starts new ones.

use super::{Rollout, replicas};
use crate::object::is_controlled_by;
use crate::{object, pod};

impl Rollout<'_> {
    /// One step: old sets to zero; once no old pod runs, the new set in full size.
    pub(super) fn recreate(&mut self) {
        self.sync_revision(false);
        let mut stopped = false;
        for index in self.active_old_sets() {
            stopped |= self.resize(index, 0);
        }
        if stopped || self.old_pods_run() {
            self.plan.wait("the old pods to stop");
            self.finish_rollout_status();
            return;
        }
        if self.current.is_none() {
            self.sync_revision(true);
        }
        if let Some(index) = self.current {
            self.resize(index, self.desired());
        }
        if self.is_complete() {
            self.clean_up_history();
        }
        self.finish_rollout_status();
    }

    fn old_pods_run(&self) -> bool {
        let old = self.old_sets();
        old.iter()
            .any(|index| replicas::actual(&self.sets[*index]) > 0)
            || old.iter().any(|index| {
                let uid = object::uid(&self.sets[*index].metadata);
                self.view
                    .pods
                    .iter()
                    .any(|pod| is_controlled_by(&pod.metadata, uid) && !pod::is_finished(pod))
            })
    }
}

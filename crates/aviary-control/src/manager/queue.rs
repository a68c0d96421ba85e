//! The work queue: each key at most once in it, never worked on twice at a time.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use aviary_plan::Key;
use tokio::time::Instant;

const FIRST_RETRY: Duration = Duration::from_millis(5);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// So often work that only met a stale cache is tried again without waiting longer each time.
const STALE_RETRIES: u32 = 8;

/// Keys to work on, now or later.
#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: VecDeque<Key>,
    queued: HashSet<Key>,
    running: HashSet<Key>,
    /// Keys that came up while they were worked on.
    again: HashSet<Key>,
    timers: BTreeSet<(Instant, Key)>,
    times: HashMap<Key, Instant>,
    attempts: HashMap<Key, u32>,
}

impl Queue {
    /// Adds a key, unless it waits already.
    pub(super) fn add(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.again.insert(key);
        } else if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// The next key to work on; to be given back by [`Self::done`] or [`Self::failed`].
    pub(super) fn take(&mut self, now: Instant) -> Option<Key> {
        while let Some((at, key)) = self.timers.first().cloned() {
            if at > now {
                break;
            }
            self.cancel_timer(&key);
            self.add(key);
        }
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    /// The work is done; `wake` replaces any earlier wish to be woken.
    pub(super) fn done(&mut self, key: &Key, wake: Option<Instant>) {
        self.attempts.remove(key);
        self.finish(key, wake);
    }

    /// The work failed and is to be tried again, later each time.
    ///
    /// `stale` says that the cache was behind, as when another controller wrote the object first:
    /// the first such failures do not slow the key down, and a change that came up meanwhile is
    /// taken at once. A rollout that waits longer each time would fall behind its user's next step.
    pub(super) fn failed(&mut self, key: &Key, now: Instant, stale: bool) {
        let attempts = self.attempts.entry(key.clone()).or_default();
        let patient = stale && *attempts < STALE_RETRIES;
        let doublings = if stale {
            attempts.saturating_sub(STALE_RETRIES)
        } else {
            *attempts
        };
        let pause = FIRST_RETRY
            .saturating_mul(1 << doublings.min(16))
            .min(LAST_RETRY);
        *attempts += 1;
        if !patient {
            // What came up meanwhile waits too, or a failing key would never pause.
            self.again.remove(key);
        }
        self.finish(key, Some(now + pause));
    }

    /// When the next key gets ready by time.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    fn finish(&mut self, key: &Key, wake: Option<Instant>) {
        self.running.remove(key);
        self.cancel_timer(key);
        if let Some(at) = wake {
            self.times.insert(key.clone(), at);
            self.timers.insert((at, key.clone()));
        }
        if self.again.remove(key) {
            self.add(key.clone());
        }
    }

    fn cancel_timer(&mut self, key: &Key) {
        if let Some(at) = self.times.remove(key) {
            self.timers.remove(&(at, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use aviary_plan::{Controller, kind};

    use super::*;

    fn key(name: &str) -> Key {
        Key {
            controller: Controller::Deployment,
            kind: kind::DEPLOYMENT,
            namespace: "default".to_owned(),
            name: name.to_owned(),
        }
    }

    #[tokio::test]
    async fn queue_key_added_while_running_comes_again_after_it_is_done() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.take(now), Some(key("a")));
        queue.add(key("a"));
        assert_eq!(queue.take(now), None);
        queue.done(&key("a"), None);
        assert_eq!(queue.take(now), Some(key("a")));
        queue.done(&key("a"), None);
        assert_eq!(queue.take(now), None);
    }

    #[tokio::test]
    async fn queue_failed_key_waits_longer_each_time() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.add(key("a"));
        let mut pauses = Vec::new();
        for _ in 0..3 {
            let at = queue.next_timer().unwrap_or(now);
            let taken = queue.take(at).expect("a key");
            queue.failed(&taken, at, false);
            pauses.push(queue.next_timer().expect("a timer") - at);
        }
        assert_eq!(pauses, [5, 10, 20].map(Duration::from_millis));
    }

    #[tokio::test]
    async fn queue_key_that_met_a_stale_cache_takes_a_newer_change_at_once() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.add(key("a"));
        for _ in 0..STALE_RETRIES {
            let taken = queue.take(now).expect("a key");
            queue.add(key("a"));
            queue.failed(&taken, now, true);
        }
        let taken = queue.take(now).expect("a key");
        queue.add(key("a"));
        queue.failed(&taken, now, true);
        assert_eq!(queue.take(now), None);
    }

    #[tokio::test]
    async fn queue_done_replaces_an_earlier_timer() {
        let now = Instant::now();
        let mut queue = Queue::default();
        queue.add(key("a"));
        let taken = queue.take(now).expect("a key");
        queue.done(&taken, Some(now + Duration::from_secs(5)));
        queue.add(key("a"));
        let taken = queue.take(now).expect("a key");
        queue.done(&taken, None);
        assert_eq!(queue.next_timer(), None);
    }
}

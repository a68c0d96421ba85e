//! From a worker to the control side: many records at a time, so that neither is woken for each.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc};

use super::Line;
use crate::otlp::Traced;

/// Records that go over at once.
pub(crate) const BATCH: usize = 64;

/// Batches that may wait; over it they are dropped and counted.
const QUEUE: usize = 64;

/// The worker's end of a queue; the workers share it.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    sender: mpsc::Sender<Vec<T>>,
    dropped: Arc<AtomicU64>,
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            dropped: Arc::clone(&self.dropped),
        }
    }
}

impl<T> Queue<T> {
    /// Both ends.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Vec<T>>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let queue = Self {
            sender,
            dropped: Arc::default(),
        };
        (queue, receiver)
    }

    /// Counts what was dropped because nobody took it in time.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    fn send(&self, batch: Vec<T>) {
        let count = batch.len() as u64;
        if count > 0 && self.sender.try_send(batch).is_err() {
            self.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }
}

/// Where the workers' records go.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    /// To the logs.
    pub(crate) lines: Queue<Line>,
    /// To the collectors.
    pub(crate) spans: Queue<Traced>,
}

/// Records of one worker that have not left it yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    queues: Queues,
    lines: RefCell<Vec<Line>>,
    spans: RefCell<Vec<Traced>>,
    begun: Notify,
}

impl Outbox {
    pub(crate) fn new(queues: Queues) -> Self {
        Self {
            queues,
            lines: RefCell::default(),
            spans: RefCell::default(),
            begun: Notify::new(),
        }
    }

    /// Takes a record for the logs.
    pub(super) fn line(&self, line: Line) {
        self.push(&self.lines, line, &self.queues.lines);
    }

    /// Takes a record for a collector.
    pub(super) fn span(&self, span: Traced) {
        self.push(&self.spans, span, &self.queues.spans);
    }

    fn push<T>(&self, waiting: &RefCell<Vec<T>>, record: T, queue: &Queue<T>) {
        let mut waiting = waiting.borrow_mut();
        if waiting.is_empty() {
            waiting.reserve(BATCH);
            self.begun.notify_one();
        }
        waiting.push(record);
        if waiting.len() >= BATCH {
            queue.send(std::mem::take(&mut waiting));
        }
    }

    /// Returns once something waits, perhaps again for what has left meanwhile.
    pub(crate) async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Sends what waits.
    pub(crate) fn flush(&self) {
        self.queues.lines.send(self.lines.take());
        self.queues.spans.send(self.spans.take());
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_to_a_full_queue_is_dropped_and_counted() {
        let (queue, mut receiver) = Queue::new();
        let waiting = RefCell::new(Vec::new());
        let (lines, _lines) = Queue::new();
        let (spans, _spans) = Queue::new();
        let outbox = Outbox::new(Queues { lines, spans });
        for number in 0..=(QUEUE + 2) * BATCH {
            outbox.push(&waiting, number, &queue);
        }
        assert_eq!(queue.dropped().load(Ordering::Relaxed), 2 * BATCH as u64);
        assert_eq!(receiver.try_recv().unwrap().len(), BATCH);
        assert_eq!(waiting.borrow().len(), 1);
    }
}

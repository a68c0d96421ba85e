//! From a worker to the control side: many records at a time, so that neither is woken for each.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::Line;
use crate::otlp::Traced;

/// Records that go over at once.
pub(crate) const BATCH: usize = 128;

/// Batches that may wait; over it they are dropped and counted.
const QUEUE: usize = 32;

/// Written batches whose memory waits for a worker; what is beyond goes back to the system.
const SPARES: usize = 4;

/// Lines, each of which keeps its place in memory: they go from exchange to writer and back.
pub(crate) type Lines = Vec<Box<Line>>;

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

/// Lines that were written, on their way back to the workers: what one thread allocates and another
/// one gives free costs more than to write it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spares(Arc<Mutex<Vec<Lines>>>);

impl Spares {
    /// Keeps the memory of a batch.
    pub(crate) fn give(&self, lines: Lines) {
        let mut all = self.0.lock();
        if all.len() < SPARES {
            all.push(lines);
        }
    }

    /// A batch to use again; empty when there is none.
    fn take(&self) -> Lines {
        self.0.lock().pop().unwrap_or_default()
    }
}

/// Where the workers' records go.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    /// To the logs.
    pub(crate) lines: Queue<Box<Line>>,
    /// Back from the logs.
    pub(crate) spares: Spares,
    /// To the collectors.
    pub(crate) spans: Queue<Traced>,
}

/// Records of one worker that have not left it yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    queues: Queues,
    lines: RefCell<Lines>,
    /// Lines that nothing is noted in.
    blank: RefCell<Lines>,
    spans: RefCell<Vec<Traced>>,
    begun: Notify,
}

impl Outbox {
    pub(crate) fn new(queues: Queues) -> Self {
        Self {
            queues,
            lines: RefCell::default(),
            blank: RefCell::default(),
            spans: RefCell::default(),
            begun: Notify::new(),
        }
    }

    /// A line for something that began then.
    pub(super) fn blank(&self, start: SystemTime) -> Box<Line> {
        let mut blank = self.blank.borrow_mut();
        if blank.is_empty() {
            *blank = self.queues.spares.take();
        }
        match blank.pop() {
            Some(mut line) => {
                line.entry.renew(start);
                line
            }
            None => Box::new(Line::new(start)),
        }
    }

    /// Takes back a line that nobody wants.
    pub(super) fn keep(&self, line: Box<Line>) {
        let mut blank = self.blank.borrow_mut();
        if blank.len() < BATCH {
            blank.push(line);
        }
    }

    /// Takes a record for the logs.
    pub(super) fn line(&self, line: Box<Line>) {
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
        let outbox = Outbox::new(Queues {
            lines,
            spares: Spares::default(),
            spans,
        });
        for number in 0..=(QUEUE + 2) * BATCH {
            outbox.push(&waiting, number, &queue);
        }
        assert_eq!(queue.dropped().load(Ordering::Relaxed), 2 * BATCH as u64);
        assert_eq!(receiver.try_recv().unwrap().len(), BATCH);
        assert_eq!(waiting.borrow().len(), 1);
    }

    #[test]
    fn blank_takes_the_memory_of_written_lines() {
        let (lines, mut written) = Queue::new();
        let (spans, _spans) = Queue::new();
        let spares = Spares::default();
        let outbox = Outbox::new(Queues {
            lines,
            spares: spares.clone(),
            spans,
        });
        let first = outbox.blank(SystemTime::UNIX_EPOCH);
        let address = std::ptr::from_ref(&*first);
        outbox.line(first);
        outbox.flush();
        let other = outbox.blank(SystemTime::UNIX_EPOCH);
        assert!(!std::ptr::eq(&raw const *other, address));
        spares.give(written.try_recv().unwrap());
        let again = outbox.blank(SystemTime::UNIX_EPOCH);
        assert!(std::ptr::eq(&raw const *again, address));
        for _ in 0..=SPARES {
            spares.give(Vec::new());
        }
        assert_eq!(spares.0.lock().len(), SPARES);
    }
}

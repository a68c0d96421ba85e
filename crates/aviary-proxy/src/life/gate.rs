//! What the workers ask before they take on more.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::pressure::Level;

/// Connections take at most this share of the descriptors, in percent.
const CONNECTION_SHARE: u64 = 80;

/// The limits of the process. Workers read one byte per request; connections are counted when they
/// open and close.
#[derive(Debug)]
pub(crate) struct Gate {
    level: AtomicU8,
    open: AtomicUsize,
    most: usize,
    refused_connections: AtomicU64,
    refused_requests: AtomicU64,
    calmer: Notify,
}

/// A connection that counts as long as this lives.
#[derive(Debug)]
pub(crate) struct Ticket(Arc<Gate>);

impl Gate {
    /// A gate for a process that may open so many descriptors.
    pub(crate) fn new(descriptors: u64) -> Arc<Self> {
        let most = descriptors.saturating_mul(CONNECTION_SHARE) / 100;
        Arc::new(Self {
            level: AtomicU8::new(Level::Calm.number()),
            open: AtomicUsize::new(0),
            most: usize::try_from(most).unwrap_or(usize::MAX),
            refused_connections: AtomicU64::new(0),
            refused_requests: AtomicU64::new(0),
            calmer: Notify::new(),
        })
    }

    /// What is given up now.
    #[inline]
    pub(crate) fn level(&self) -> Level {
        Level::from_number(self.level.load(Ordering::Relaxed))
    }

    /// Changes what is given up.
    pub(crate) fn set_level(&self, level: Level) {
        let before = self.level.swap(level.number(), Ordering::Relaxed);
        if level.number() < before {
            self.calmer.notify_waiters();
        }
    }

    /// Waits until connections are accepted again.
    pub(crate) async fn accepts(&self) {
        loop {
            let calmer = self.calmer.notified();
            if self.level() < Level::StopAccepting {
                return;
            }
            calmer.await;
        }
    }

    /// Lets a client's connection in; `None` when it must be closed at once, so that descriptors
    /// are left for its neighbours.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Ticket> {
        let ticket = self.count();
        if self.open.load(Ordering::Relaxed) > self.most {
            self.refused_connections.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(ticket)
    }

    /// Counts a connection of the proxy's own, which is never refused.
    pub(crate) fn count(self: &Arc<Self>) -> Ticket {
        self.open.fetch_add(1, Ordering::Relaxed);
        Ticket(Arc::clone(self))
    }

    /// Whether a new request must be refused; counted when so.
    #[inline]
    pub(crate) fn refuses_request(&self) -> bool {
        let refuses = self.level() >= Level::RefuseRequests;
        if refuses {
            self.refused_requests.fetch_add(1, Ordering::Relaxed);
        }
        refuses
    }

    /// In the text form of `/stats`.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in [
            ("level", u64::from(self.level().number())),
            ("connections", self.open.load(Ordering::Relaxed) as u64),
            ("connections_limit", self.most as u64),
            (
                "connections_refused",
                self.refused_connections.load(Ordering::Relaxed),
            ),
            (
                "requests_refused",
                self.refused_requests.load(Ordering::Relaxed),
            ),
        ] {
            let _ = writeln!(text, "overload.{name}: {value}");
        }
        text
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admit_over_the_share_of_descriptors_is_refused() {
        let gate = Gate::new(10);
        let mut tickets = (0..8).map(|_| gate.admit().unwrap()).collect::<Vec<_>>();
        assert!(gate.admit().is_none());
        drop(tickets.pop());
        let own = gate.count();
        assert!(gate.admit().is_none());
        drop(own);
        assert!(gate.admit().is_some());
        let text = gate.text();
        assert!(text.contains("overload.connections: 7\n"), "{text}");
        assert!(text.contains("overload.connections_refused: 2\n"), "{text}");
    }

    #[test]
    fn refuses_request_from_its_level_on() {
        let gate = Gate::new(10);
        gate.set_level(Level::CloseIdle);
        assert!(!gate.refuses_request());
        gate.set_level(Level::RefuseRequests);
        assert!(gate.refuses_request());
        assert!(gate.text().contains("overload.requests_refused: 1\n"));
    }

    #[tokio::test]
    async fn accepts_returns_when_memory_is_there_again() {
        let gate = Gate::new(10);
        gate.accepts().await;
        gate.set_level(Level::StopAccepting);
        let waiting = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.accepts().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        gate.set_level(Level::RefuseRequests);
        waiting.await.unwrap();
    }
}

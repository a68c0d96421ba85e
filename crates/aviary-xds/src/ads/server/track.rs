//! What a client holds of one type.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Nack;
use crate::snapshot::Entry;
use crate::{Kind, Snapshot};

/// What goes into one message.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) resources: Vec<(String, Entry)>,
    pub(super) removed: Vec<String>,
}

/// A message that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) nonce: String,
    version: u64,
    batch: Batch,
}

/// A resource that the client holds.
#[derive(Debug, Clone)]
pub(super) struct Held {
    version: Arc<str>,
    /// Absent when it was there before the stream began.
    pub(super) entry: Option<Entry>,
}

#[derive(Debug, Default)]
pub(super) struct Track {
    /// The client asked for this type.
    pub(super) requested: bool,
    /// It was sent something, be it nothing.
    answered: bool,
    pub(super) wildcard: bool,
    pub(super) names: BTreeSet<String>,
    pub(super) held: BTreeMap<String, Held>,
    /// Versions that the client refused: not sent again before they change.
    rejected: BTreeMap<String, Arc<str>>,
    /// Asked for and to be answered whatever the client holds.
    pub(super) asked: BTreeSet<String>,
    pub(super) in_flight: Option<InFlight>,
    /// Nonce of the last message, acknowledged or not.
    pub(super) last_nonce: String,
    pub(super) nack: Option<Nack>,
}

impl Track {
    /// What the client should get now; `None` when nothing.
    pub(super) fn additions(&self, kind: Kind, snapshot: &Snapshot) -> Option<Batch> {
        let mut batch = Batch::default();
        let entries = snapshot.entries(kind);
        if self.wildcard {
            for (name, entry) in entries {
                self.add(&mut batch, name, entry);
            }
        } else {
            for name in &self.names {
                match entries.get(name) {
                    Some(entry) => self.add(&mut batch, name, entry),
                    // What the client holds stays until nothing leads there any more.
                    None if self.held.contains_key(name)
                        && !self.asked.contains(name)
                        && !snapshot.referenced(kind).contains(name) => {}
                    None if kind == Kind::Endpoints => {
                        self.add(&mut batch, name, &Entry::empty_endpoints(name));
                    }
                    None if self.asked.contains(name) => batch.removed.push(name.clone()),
                    None => {}
                }
            }
        }
        let first = self.wildcard && !self.answered;
        let empty = batch.resources.is_empty() && batch.removed.is_empty();
        (first || !empty).then_some(batch)
    }

    fn add(&self, batch: &mut Batch, name: &str, entry: &Entry) {
        let held = self
            .held
            .get(name)
            .is_some_and(|held| held.version == entry.version);
        let refused = self.rejected.get(name) == Some(&entry.version);
        if (!held || self.asked.contains(name)) && !refused {
            batch.resources.push((name.to_owned(), entry.clone()));
        }
    }

    /// What the client holds and should not.
    pub(super) fn removals(&self, kind: Kind, snapshot: &Snapshot) -> Batch {
        let gone = |name: &&String| !snapshot.entries(kind).contains_key(*name);
        let removed = if self.wildcard {
            self.held.keys().filter(gone).cloned().collect()
        } else {
            Vec::new()
        };
        Batch {
            resources: Vec::new(),
            removed,
        }
    }

    pub(super) fn has_removals(&self, snapshot: &Snapshot, kind: Kind) -> bool {
        self.wildcard
            && self
                .held
                .keys()
                .any(|name| !snapshot.entries(kind).contains_key(name))
    }

    /// Nothing is under way and nothing is to be added.
    pub(super) fn is_settled(&self, kind: Kind, snapshot: &Snapshot) -> bool {
        self.in_flight.is_none() && (!self.requested || self.additions(kind, snapshot).is_none())
    }

    pub(super) fn holds_all(&self, names: &BTreeSet<String>) -> bool {
        names
            .iter()
            .all(|name| self.held.contains_key(name) || self.rejected.contains_key(name))
    }

    pub(super) fn has_rejected(&self) -> bool {
        !self.rejected.is_empty()
    }

    /// Something was refused of which the client has no earlier form.
    pub(super) fn lacks_rejected(&self) -> bool {
        self.rejected
            .keys()
            .any(|name| !self.held.contains_key(name))
    }

    pub(super) fn sent(&mut self, batch: Batch, nonce: String, version: u64) {
        self.answered = true;
        for (name, _) in &batch.resources {
            self.asked.remove(name);
            self.rejected.remove(name);
        }
        for name in &batch.removed {
            self.asked.remove(name);
        }
        self.last_nonce.clone_from(&nonce);
        self.in_flight = Some(InFlight {
            nonce,
            version,
            batch,
        });
    }

    /// Takes the answer to the message with `nonce`; an old one is ignored.
    pub(super) fn answered(&mut self, nonce: &str, refusal: Option<&str>) {
        let Some(message) = self.in_flight.take_if(|message| message.nonce == nonce) else {
            return;
        };
        for name in &message.batch.removed {
            self.held.remove(name);
            self.rejected.remove(name);
        }
        let Some(reason) = refusal else {
            self.nack = None;
            for (name, entry) in message.batch.resources {
                if self.wildcard || self.names.contains(&name) {
                    let held = Held {
                        version: Arc::clone(&entry.version),
                        entry: Some(entry),
                    };
                    self.held.insert(name, held);
                }
            }
            return;
        };
        self.nack = Some(Nack {
            version: message.version,
            message: reason.to_owned(),
            resources: message
                .batch
                .resources
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
        });
        for (name, entry) in message.batch.resources {
            // A part of it may have been used: which version is held is not known any more.
            if let Some(held) = self.held.get_mut(&name) {
                held.version = Arc::from("");
            }
            self.rejected.insert(name, entry.version);
        }
    }

    /// Asks for names; those in `held` are there in that version already.
    pub(super) fn subscribe(&mut self, names: impl IntoIterator<Item = String>) {
        for name in names {
            if name == "*" {
                self.wildcard = true;
            } else {
                self.asked.insert(name.clone());
                self.names.insert(name);
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, name: &str) {
        if name == "*" {
            self.wildcard = false;
            return;
        }
        self.names.remove(name);
        self.asked.remove(name);
        self.rejected.remove(name);
        if !self.wildcard {
            self.held.remove(name);
        }
    }

    /// Notes what the client had before the stream began.
    pub(super) fn had(&mut self, name: String, version: &str) {
        self.asked.remove(&name);
        self.held.insert(
            name,
            Held {
                version: Arc::from(version),
                entry: None,
            },
        );
    }

    /// Forgets refusals once one of the refused resources changed or went: a client may have
    /// refused the others only because they came in the same message.
    pub(super) fn forget_refusals(&mut self, kind: Kind, snapshot: &Snapshot) {
        let entries = snapshot.entries(kind);
        let unchanged = self
            .rejected
            .iter()
            .all(|(name, version)| entries.get(name).is_some_and(|it| it.version == *version));
        if !unchanged {
            self.rejected.clear();
            self.nack = None;
        }
    }
}

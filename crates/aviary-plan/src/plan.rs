//! What a planner hands back: actions in order, reasons for waiting, and when to look again.

use jiff::Timestamp;
use serde_json::Value;

use crate::kind::Kind;

/// The outcome of planning one object.
///
/// Actions are to be carried out in order, stopping at the first that fails.
/// Planning again on the resulting objects gives no actions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Writes to make, in order.
    pub actions: Vec<Action>,
    /// Why the object is not at rest although nothing is to be written now.
    pub waits: Vec<Wait>,
    /// When to plan again even if no object changes; `None` means only on changes.
    pub wake_at: Option<Timestamp>,
}

impl Plan {
    /// Moves the wake-up to `at` if that is earlier than what is already asked for.
    pub fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |old| old.min(at)));
    }

    /// Adds a reason for waiting.
    pub fn wait(&mut self, message: impl Into<String>) {
        self.waits.push(Wait {
            message: message.into(),
        });
    }
}

/// A reason why nothing moves, in words for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What is awaited, such as `1 of 3 pods to become available`.
    pub message: String,
}

/// One write to the API server.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create an object; `metadata.generateName` may stand in for a name.
    Create {
        /// Kind of the object.
        kind: Kind,
        /// The whole object.
        object: Value,
        /// Recorded once the object exists; `{name}` in its message becomes the object's name.
        event: Option<EventDraft>,
    },
    /// Replace an object; its `resourceVersion` guards against lost updates.
    Update {
        /// Kind of the object.
        kind: Kind,
        /// The whole object.
        object: Value,
    },
    /// Replace the status of an object; its `resourceVersion` guards against lost updates.
    UpdateStatus {
        /// Kind of the object.
        kind: Kind,
        /// The whole object.
        object: Value,
    },
    /// Apply a merge patch to an object.
    Patch {
        /// The object.
        target: Target,
        /// JSON merge patch (RFC 7396).
        patch: Value,
    },
    /// Delete an object, with its uid as precondition.
    Delete {
        /// The object.
        target: Target,
        /// What becomes of its dependents; `None` leaves the choice to the server.
        propagation: Option<Propagation>,
        /// Delete only if none of these objects exists when asked live; the cache may lag.
        unless_any: Vec<Target>,
        /// Recorded once the deletion was accepted.
        event: Option<EventDraft>,
    },
    /// Bind a pod to a node.
    Bind {
        /// The pod.
        pod: Target,
        /// Name of the node.
        node: String,
    },
    /// Replace the `spec.finalizers` of a namespace.
    Finalize {
        /// The whole namespace object.
        object: Value,
    },
    /// Record an event.
    Event(EventDraft),
}

/// What becomes of the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// The object goes at once, its dependents afterwards.
    Background,
    /// The object stays, marked as deleted, until its dependents are gone.
    Foreground,
    /// Dependents stay and forget their owner.
    Orphan,
}

impl Propagation {
    /// The value of `propagationPolicy` in a delete request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Background => "Background",
            Self::Foreground => "Foreground",
            Self::Orphan => "Orphan",
        }
    }
}

/// One object by name, and by uid where that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// Kind of the object.
    pub kind: Kind,
    /// Namespace; empty for kinds without namespaces.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Uid; an action on an object with another uid must fail. Empty means any.
    pub uid: String,
}

/// An event to record; the recorder merges repeated ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDraft {
    /// The object the event is about.
    pub object: Target,
    /// Resource version of the object at that time.
    pub resource_version: String,
    /// Whether the event is of type `Warning` rather than `Normal`.
    pub warning: bool,
    /// One word that programs may match, such as `ScalingReplicaSet`.
    pub reason: &'static str,
    /// Sentence for people.
    pub message: String,
    /// The component that reports, such as `deployment-controller`.
    pub component: &'static str,
}

//! Turns drafts of events into writes, so that repetition raises a count instead of a pile.
//!
//! Source: the documented behaviour of client-go's event correlator.

use std::collections::{BTreeSet, HashMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use crate::object::api_time;
use crate::plan::EventDraft;

/// Different messages about one object, of one reason, before they are put together.
const MOST_SIMILAR: usize = 10;
/// How long messages count as similar.
const SIMILAR_FOR: SignedDuration = SignedDuration::from_mins(10);
/// Events about one object that may come at once.
const BURST: f64 = 25.0;
/// Seconds until one more event about the object may come after a burst.
const REFILL_SECS: f64 = 300.0;
/// Remembered events; beyond that everything is forgotten and counts start anew.
const MOST_REMEMBERED: usize = 4096;

/// The write that records an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A new event object.
    Create(Box<Event>),
    /// The event object exists; count, last time and message change.
    Repeat(Box<Event>),
}

impl Write {
    /// The event object as it should be after the write.
    pub fn event(&self) -> &Event {
        match self {
            Self::Create(event) | Self::Repeat(event) => event,
        }
    }
}

#[derive(Default)]
struct Similar {
    messages: BTreeSet<String>,
    last: Timestamp,
}

struct Bucket {
    tokens: f64,
    filled: Timestamp,
}

/// Remembers recent events of this process.
#[derive(Default)]
pub struct Recorder {
    recorded: HashMap<String, Event>,
    similar: HashMap<String, Similar>,
    buckets: HashMap<String, Bucket>,
    last_name: i128,
}

impl Recorder {
    /// The write for a draft at `now`; `None` if there were too many about its object.
    pub fn record(&mut self, draft: &EventDraft, now: Timestamp) -> Option<Write> {
        if self.recorded.len() + self.similar.len() + self.buckets.len() > MOST_REMEMBERED {
            *self = Self {
                last_name: self.last_name,
                ..Self::default()
            };
        }
        let about = about(draft);
        if !self.take_token(&about, now) {
            return None;
        }
        let group = format!("{about}\n{}\n{}", draft.warning, draft.reason);
        let similar = self.similar.entry(group.clone()).or_default();
        if now.duration_since(similar.last) > SIMILAR_FOR {
            similar.messages.clear();
        }
        similar.last = now;
        similar.messages.insert(draft.message.clone());
        let combined = similar.messages.len() >= MOST_SIMILAR;
        let (key, message) = if combined {
            // The set stays below the bound: another message leaves for the one that came.
            let other = similar
                .messages
                .iter()
                .find(|found| **found != draft.message)
                .cloned();
            if let Some(other) = other {
                similar.messages.remove(&other);
            }
            (
                group,
                format!("(combined from similar events): {}", draft.message),
            )
        } else {
            (format!("{group}\n{}", draft.message), draft.message.clone())
        };
        Some(self.count(key, draft, message, now))
    }

    /// Forgets an event whose object turned out to be gone, so that it is created anew.
    pub fn forget(&mut self, event: &Event) {
        self.recorded
            .retain(|_, found| found.metadata.name != event.metadata.name);
    }

    fn take_token(&mut self, about: &str, now: Timestamp) -> bool {
        let bucket = self
            .buckets
            .entry(about.to_owned())
            .or_insert_with(|| Bucket {
                tokens: BURST,
                filled: now,
            });
        let passed = now.duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + passed / REFILL_SECS).min(BURST);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    fn count(&mut self, key: String, draft: &EventDraft, message: String, now: Timestamp) -> Write {
        let time = api_time(now);
        if let Some(event) = self.recorded.get_mut(&key) {
            event.count = Some(event.count.unwrap_or(1) + 1);
            event.last_timestamp = Some(time);
            event.message = Some(message);
            return Write::Repeat(Box::new(event.clone()));
        }
        let name = self.next_name(now);
        let event = new_event(draft, message, &time, name);
        self.recorded.insert(key, event.clone());
        Write::Create(Box::new(event))
    }

    /// A number for the event's name: the time in ns, made unique.
    fn next_name(&mut self, now: Timestamp) -> i128 {
        self.last_name = now.as_nanosecond().max(self.last_name + 1);
        self.last_name
    }
}

fn about(draft: &EventDraft) -> String {
    let object = &draft.object;
    format!(
        "{}\n{}\n{}\n{}\n{}",
        draft.component, object.kind.kind, object.namespace, object.name, object.uid
    )
}

fn new_event(draft: &EventDraft, message: String, time: &Time, name: i128) -> Event {
    let object = &draft.object;
    // Events about objects without a namespace live in `default`.
    let namespace = if object.namespace.is_empty() {
        "default".to_owned()
    } else {
        object.namespace.clone()
    };
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{}.{name:x}", object.name)),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some(object.kind.api_version()),
            kind: Some(object.kind.kind.to_string()),
            namespace: text(&object.namespace),
            name: Some(object.name.clone()),
            uid: text(&object.uid),
            resource_version: text(&draft.resource_version),
            ..ObjectReference::default()
        },
        type_: Some(if draft.warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(draft.reason.to_owned()),
        message: Some(message),
        count: Some(1),
        first_timestamp: Some(time.clone()),
        last_timestamp: Some(time.clone()),
        source: Some(EventSource {
            component: Some(draft.component.to_owned()),
            host: None,
        }),
        reporting_component: Some(draft.component.to_owned()),
        reporting_instance: Some(String::new()),
        ..Event::default()
    }
}

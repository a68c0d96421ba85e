use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use serde_json::json;

use super::{Recorder, Write, expire};
use crate::kind::DEPLOYMENT;
use crate::plan::{Action, EventDraft, Target};

fn now() -> Timestamp {
    "2026-11-21T08:00:00Z".parse().expect("a time")
}

fn draft(message: &str) -> EventDraft {
    EventDraft {
        object: Target {
            kind: DEPLOYMENT,
            namespace: "default".to_owned(),
            name: "web".to_owned(),
            uid: "u".to_owned(),
        },
        resource_version: "7".to_owned(),
        warning: false,
        reason: "ScalingReplicaSet",
        message: message.to_owned(),
        component: "deployment-controller",
    }
}

#[test]
fn event_repeated_raises_the_count_of_the_first() {
    let mut recorder = Recorder::default();
    let Some(Write::Create(first)) = recorder.record(&draft("a"), now()) else {
        panic!()
    };
    assert_eq!(
        first.involved_object.api_version.as_deref(),
        Some("apps/v1")
    );
    assert_eq!(
        first.source.as_ref().and_then(|s| s.component.as_deref()),
        Some("deployment-controller")
    );
    let later = now() + SignedDuration::from_secs(30);
    let Some(Write::Repeat(second)) = recorder.record(&draft("a"), later) else {
        panic!()
    };
    assert_eq!(second.metadata.name, first.metadata.name);
    assert_eq!(second.count, Some(2));
    assert_eq!(second.first_timestamp, first.first_timestamp);
    assert_eq!(second.last_timestamp.map(|time| time.0), Some(later));
    assert!(matches!(
        recorder.record(&draft("b"), later),
        Some(Write::Create(_))
    ));
}

#[test]
fn events_of_many_messages_are_combined_from_the_tenth_on() {
    let mut recorder = Recorder::default();
    let mut last = None;
    for number in 0..12 {
        last = recorder.record(&draft(&format!("message {number}")), now());
    }
    let Some(Write::Repeat(event)) = last else {
        panic!("{last:?}")
    };
    let message = event.message.unwrap_or_default();
    assert_eq!(message, "(combined from similar events): message 11");
    assert_eq!(event.count, Some(3));
}

#[test]
fn events_about_one_object_beyond_a_burst_are_dropped() {
    let mut recorder = Recorder::default();
    let written = (0..40)
        .filter(|_| recorder.record(&draft("a"), now()).is_some())
        .count();
    assert_eq!(written, 25);
    let later = now() + SignedDuration::from_mins(6);
    assert!(recorder.record(&draft("a"), later).is_some());
}

#[test]
fn event_that_was_forgotten_is_created_anew() {
    let mut recorder = Recorder::default();
    let first = recorder.record(&draft("a"), now()).expect("a write");
    recorder.forget(first.event());
    assert!(matches!(
        recorder.record(&draft("a"), now()),
        Some(Write::Create(_))
    ));
}

#[test]
fn event_expires_an_hour_after_it_last_happened() {
    let event: Event = serde_json::from_value(json!({"metadata": {"name": "e",
        "creationTimestamp": "2026-11-21T06:00:00Z"}, "involvedObject": {},
        "lastTimestamp": "2026-11-21T07:30:00Z"}))
    .expect("an event");
    let early = expire(&event, now());
    assert!(early.actions.is_empty());
    let at: Timestamp = "2026-11-21T08:30:00Z".parse().expect("a time");
    assert_eq!(early.wake_at, Some(at));
    assert!(matches!(
        expire(&event, at).actions.as_slice(),
        [Action::Delete { .. }]
    ));
}

//! Events: merging repeated ones, and forgetting old ones.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;

use crate::kind::EVENT;
use crate::object;
use crate::plan::{Action, Plan};

mod recorder;
#[cfg(test)]
mod tests;

pub use recorder::{Recorder, Write};

/// How long an event is kept after it last happened.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// Deletes an event that last happened an hour ago or longer.
pub fn expire(event: &Event, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let last = [
        event.last_timestamp.as_ref().map(|time| time.0),
        event.event_time.as_ref().map(|time| time.0),
        series.map(|time| time.0),
        Some(object::created(&event.metadata)),
    ];
    let Some(last) = last.into_iter().flatten().max() else {
        return plan;
    };
    let expires = last + KEPT;
    if expires > now {
        plan.wake_by(expires);
        return plan;
    }
    plan.actions.push(Action::Delete {
        target: object::target(&EVENT, &event.metadata),
        propagation: None,
        unless_any: Vec::new(),
        event: None,
    });
    plan
}

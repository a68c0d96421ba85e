//! One object in the versions that show it.
//!
//! Custom kinds convert by name only (strategy `None`). `events.k8s.io` shows core's events with
//! other field names; the store always holds core's form.

use aviary_kinds::Kind;
use serde_json::Value;

use crate::api::text;

/// (core, events.k8s.io)
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// The object as the kind shows it.
pub(crate) fn to(kind: &Kind, value: &Value) -> Value {
    rename(value, &kind.api_version())
}

/// The object as it is stored.
pub(crate) fn to_storage(kind: &Kind, value: Value) -> Value {
    if kind.group == kind.stored_group {
        value
    } else {
        rename(&value, "v1")
    }
}

fn rename(value: &Value, api_version: &str) -> Value {
    let from = text(value, &["apiVersion"]);
    let mut result = value.clone();
    let Some(map) = result.as_object_mut() else {
        return result;
    };
    if from == "v1" && api_version.starts_with("events.k8s.io/") {
        for (core, new) in EVENT_FIELDS {
            if let Some(field) = map.remove(*core) {
                map.insert((*new).to_owned(), field);
            }
        }
    } else if from.starts_with("events.k8s.io/") && api_version == "v1" {
        for (core, new) in EVENT_FIELDS {
            if let Some(field) = map.remove(*new) {
                map.insert((*core).to_owned(), field);
            }
        }
    }
    map.insert(
        "apiVersion".to_owned(),
        Value::String(api_version.to_owned()),
    );
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rename_event_there_and_back_is_the_same() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "message": "m", "count": 2});
        let new = rename(&core, "events.k8s.io/v1");
        assert_eq!(
            new,
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "note": "m", "deprecatedCount": 2})
        );
        assert_eq!(rename(&new, "v1"), core);
    }
}

//! Merging an applied configuration into the live object, and taking fields out again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use super::{
    set::{Set, field_name, field_step},
    walk::{self, Shape},
};
use crate::schema::{ListType, Schema};

/// The live value with the configuration on top: maps and keyed lists merge, all else is taken
/// from the configuration.
pub(super) fn merge(live: Value, config: &Value, schema: Option<&Schema>) -> Value {
    match (live, walk::shape(config, schema)) {
        (Value::Object(mut live), Shape::Map(config)) => {
            for (name, value) in config {
                let merged = match live.get_mut(name) {
                    Some(slot) => merge(slot.take(), value, walk::field(schema, name)),
                    None => value.clone(),
                };
                live.insert(name.clone(), merged);
            }
            Value::Object(live)
        }
        (live @ Value::Array(_), Shape::Keyed(..) | Shape::Set(_)) => {
            match (walk::steps(&live, schema), walk::steps(config, schema)) {
                (Some(live), Some(config)) => merge_lists(&live, &config, schema),
                _ => config.clone(),
            }
        }
        (_, _) => config.clone(),
    }
}

/// Merges two lists. Items of the configuration come in its order; items that only the live list
/// has stay before the first configured item that they preceded, as far as that can be kept.
///
/// Source: structured-merge-diff (order of merged associative lists).
fn merge_lists(
    live: &[(String, &Value)],
    config: &[(String, &Value)],
    schema: Option<&Schema>,
) -> Value {
    let by_step: BTreeMap<&str, &Value> = live
        .iter()
        .rev()
        .map(|(step, item)| (step.as_str(), *item))
        .collect();
    let configured: BTreeSet<&str> = config.iter().map(|(step, _)| step.as_str()).collect();
    let mut merged = Vec::with_capacity(live.len() + config.len());
    let mut done = BTreeSet::new();
    let mut shared: VecDeque<&str> = config
        .iter()
        .map(|(step, _)| step.as_str())
        .filter(|step| by_step.contains_key(step))
        .collect();
    let take = |step: &str, value: &Value, merged: &mut Vec<Value>| {
        merged.push(match by_step.get(step) {
            Some(live) => merge((*live).clone(), value, walk::items(schema)),
            None => value.clone(),
        });
    };
    let mut left = live.iter().peekable();
    let mut right = config.iter().peekable();
    loop {
        let Some((live_step, live_item)) = left.peek().map(|(step, item)| (step.as_str(), *item))
        else {
            for (step, value) in right {
                take(step, value, &mut merged);
            }
            break;
        };
        if !configured.contains(live_step) {
            merged.push(live_item.clone());
            left.next();
        } else if done.contains(live_step) || shared.front().is_none_or(|next| *next != live_step) {
            // Shared, but placed already, or to be placed where the configuration wants it.
            left.next();
        } else {
            for (step, value) in right.by_ref() {
                take(step, value, &mut merged);
                done.insert(step.as_str());
                if shared.front() == Some(&step.as_str()) {
                    shared.pop_front();
                }
                if step == live_step {
                    break;
                }
            }
            left.next();
        }
    }
    Value::Array(merged)
}

/// The value without the paths of `doomed`; atomic values go only as a whole.
pub(super) fn remove(value: &Value, doomed: &Set, schema: Option<&Schema>) -> Value {
    if doomed.is_empty() {
        return value.clone();
    }
    match walk::shape(value, schema) {
        Shape::Map(map) => {
            let mut left = Map::new();
            for (name, child) in map {
                match doomed.child(&field_step(name)) {
                    Some(set) if set.here => {}
                    Some(set) => {
                        left.insert(name.clone(), remove(child, set, walk::field(schema, name)));
                    }
                    None => {
                        left.insert(name.clone(), child.clone());
                    }
                }
            }
            Value::Object(left)
        }
        Shape::Keyed(..) | Shape::Set(_) => match walk::steps(value, schema) {
            Some(found) => found
                .into_iter()
                .filter_map(|(step, item)| match doomed.child(&step) {
                    Some(set) if set.here => None,
                    Some(set) => Some(remove(item, set, walk::items(schema))),
                    None => Some(item.clone()),
                })
                .collect(),
            None => value.clone(),
        },
        Shape::Leaf => value.clone(),
    }
}

/// The set with every struct field on the way to its paths as a member too.
pub(super) fn with_named_fields(set: &Set, schema: Option<&Schema>) -> Set {
    let mut out = if set.here {
        Set::here()
    } else {
        Set::default()
    };
    for (step, child) in set.children() {
        let name = field_name(step);
        let below = name.map_or_else(|| walk::items(schema), |name| walk::field(schema, name));
        let mut child = with_named_fields(child, below);
        child.here |= name.is_some_and(|name| walk::is_named(schema, name));
        out.attach(step, child);
    }
    out
}

/// What keeps a configuration from being applied: fields outside the schema, list items without
/// their keys or with the same keys. Texts are those of a real server.
pub(super) fn misfits(config: &Value, schema: &Schema) -> Vec<String> {
    let mut found = Vec::new();
    collect_misfits(config, Some(schema), "", &mut found);
    found
}

fn collect_misfits(value: &Value, schema: Option<&Schema>, path: &str, found: &mut Vec<String>) {
    let Some(schema) = schema else { return };
    match value {
        Value::Object(map) => {
            for (name, child) in map {
                let path = format!("{path}.{name}");
                match schema.field(name) {
                    Some(field) => collect_misfits(child, Some(field), &path, found),
                    None if schema.is_open() => {}
                    None => found.push(format!("{path}: field not declared in schema")),
                }
            }
        }
        Value::Array(list) => {
            let mut seen = BTreeSet::new();
            for (index, item) in list.iter().enumerate() {
                let step = match &schema.list {
                    ListType::Map(keys) => walk::item_step(item, keys, schema.items.as_deref()),
                    ListType::Set => Ok(walk::value_step(item)),
                    ListType::Atomic => Ok(format!("i:{index}")),
                };
                let mut one = Set::default();
                match step {
                    Err(key) => found.push(format!(
                        "{path}: element {index}: associative list with keys has an element that \
                         omits key field {key:?} (and doesn't have default value)"
                    )),
                    Ok(step) => {
                        one.attach(&step, Set::here());
                        let shown = one.paths().concat();
                        if !seen.insert(step) {
                            found.push(format!("{path}: duplicate entries for key {shown}"));
                        }
                        let path = format!("{path}{shown}");
                        collect_misfits(item, schema.items.as_deref(), &path, found);
                    }
                }
            }
        }
        _ => {}
    }
}

//! The walk of a strategic merge patch over an object.

use serde_json::{Map, Value};

use super::{
    Error,
    directive::{self, Directive},
    order,
};
use crate::schema::Schema;

type Object = Map<String, Value>;

/// Applies `patch` to a copy, so that an error leaves `target` alone.
pub(super) fn apply(target: &mut Value, patch: &Value, schema: &Schema) -> Result<(), Error> {
    let Value::Object(patch) = patch else {
        return Err(Error::Malformed(
            "the strategic merge patch is not a JSON object".to_owned(),
        ));
    };
    let Value::Object(original) = target else {
        return Err(Error::Mismatch(
            "the object to patch is not a JSON object".to_owned(),
        ));
    };
    *original = merge_map(original.clone(), patch.clone(), Some(schema))?;
    Ok(())
}

/// One object of the patch into the object at the same place.
fn merge_map(
    mut original: Object,
    mut patch: Object,
    schema: Option<&Schema>,
) -> Result<Object, Error> {
    match directive::take(&mut patch)? {
        Some(Directive::Replace) => return Ok(patch),
        Some(Directive::Delete) => return Ok(Object::new()),
        Some(Directive::Merge) | None => {}
    }
    directive::retain_keys(&mut original, &mut patch)?;
    merge_ordered_lists(&mut original, &mut patch, schema)?;
    for (key, value) in patch {
        if let Some(field) = directive::field_of(&key, directive::DELETE_FROM_LIST)? {
            delete_scalars(&mut original, field, &value)?;
        } else if value.is_null() {
            original.shift_remove(&key);
        } else {
            let field = schema
                .and_then(|schema| schema.field(&key))
                .map(AsRef::as_ref);
            let merged = match original.get_mut(&key) {
                Some(slot) => merge_field(slot.take(), value, field)?,
                None => directive::plain(value),
            };
            original.insert(key, merged);
        }
    }
    Ok(original)
}

/// A field that is in both: objects merge, lists as their strategy says, all else is replaced.
fn merge_field(original: Value, patch: Value, schema: Option<&Schema>) -> Result<Value, Error> {
    let strategy = schema.map(|schema| &schema.patch);
    match (original, patch) {
        (Value::Object(original), Value::Object(patch))
            if !strategy.is_some_and(|strategy| strategy.replace) =>
        {
            merge_map(original, patch, schema).map(Value::Object)
        }
        (Value::Array(original), Value::Array(patch))
            if strategy.is_some_and(|strategy| strategy.merge) =>
        {
            merge_list(original, patch, schema).map(Value::Array)
        }
        (_, patch) => Ok(directive::plain(patch)),
    }
}

/// A list with the strategy `merge`. Items that only the patch has go in front of the others.
fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    schema: Option<&Schema>,
) -> Result<Vec<Value>, Error> {
    let merge_key = schema.and_then(|schema| schema.patch.merge_key.as_deref());
    let Some(key) = merge_key else {
        if let Some(item) = original.iter().chain(&patch).find(|item| item.is_object()) {
            return Err(Error::Mismatch(format!(
                "cannot merge lists without merge key: {}",
                go_map(item)
            )));
        }
        let mut merged = original.clone();
        for item in &patch {
            if !merged.contains(item) {
                merged.push(item.clone());
            }
        }
        return Ok(order::enforce(merged, &patch, &original, None));
    };
    let item_schema = schema.and_then(|schema| schema.items.as_deref());
    let (original, patch) = obey_item_directives(original, patch, key)?;
    let Some(patch) = patch else {
        return Ok(original);
    };
    let mut merged = original.clone();
    for item in &patch {
        let Value::Object(fields) = item else {
            return Err(wrong_item(item));
        };
        let value = key_of(item, key)?;
        if let Some(slot) = merged.iter_mut().find(|live| live.get(key) == Some(value)) {
            if let Value::Object(live) = slot.take() {
                *slot = Value::Object(merge_map(live, fields.clone(), item_schema)?);
            }
        } else {
            merged.push(directive::plain(item.clone()));
        }
    }
    Ok(order::enforce(merged, &patch, &original, Some(key)))
}

/// Obeys `$patch` in the items. Gives the live items that are left and the items still to be
/// merged; `None` in their place when the patch replaces the list.
fn obey_item_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Option<Vec<Value>>), Error> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    for mut item in patch {
        let Value::Object(fields) = &mut item else {
            return Err(wrong_item(&item));
        };
        match directive::take(fields)? {
            None => rest.push(item),
            Some(Directive::Replace) => replace = true,
            Some(Directive::Delete) => {
                let value = key_of(&item, key)?;
                original.retain(|live| live.get(key) != Some(value));
            }
            Some(Directive::Merge) => {
                let text = "merging lists cannot yet be specified in the patch";
                return Err(Error::Mismatch(text.to_owned()));
            }
        }
    }
    if replace {
        return Ok((rest.into_iter().map(directive::plain).collect(), None));
    }
    Ok((original, Some(rest)))
}

/// Merges every list that has a `$setElementOrder` and takes both out of the patch.
fn merge_ordered_lists(
    original: &mut Object,
    patch: &mut Object,
    schema: Option<&Schema>,
) -> Result<(), Error> {
    let directives: Vec<String> = patch
        .keys()
        .filter(|key| key.starts_with(directive::SET_ORDER))
        .cloned()
        .collect();
    for name in directives {
        let wanted = patch.shift_remove(&name);
        let Some(field) = directive::field_of(&name, directive::SET_ORDER)? else {
            continue;
        };
        let Some(Value::Array(wanted)) = wanted else {
            return Err(Error::Malformed(
                "invalid patch format of setElementOrder list".to_owned(),
            ));
        };
        let schema = schema
            .and_then(|schema| schema.field(field))
            .map(AsRef::as_ref);
        let key = schema.and_then(|schema| schema.patch.merge_key.as_deref());
        let changes = list_of(patch.shift_remove(field), field)?;
        let live = list_of(original.get(field).cloned(), field)?;
        if let Some(changes) = &changes {
            order::check(changes, &wanted, key)?;
        }
        let server_order = live.clone().unwrap_or_default();
        let merged = match (live, changes) {
            (None, None) => continue,
            (Some(live), None) => live,
            (None, Some(changes)) => match directive::plain(Value::Array(changes)) {
                Value::Array(items) => items,
                _ => Vec::new(),
            },
            (Some(live), Some(changes)) => {
                match merge_field(Value::Array(live), Value::Array(changes), schema)? {
                    Value::Array(items) => items,
                    _ => Vec::new(),
                }
            }
        };
        let ordered = order::enforce(merged, &wanted, &server_order, key);
        original.insert(field.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

/// `$deleteFromPrimitiveList/field`.
fn delete_scalars(original: &mut Object, field: &str, doomed: &Value) -> Result<(), Error> {
    let Value::Array(doomed) = doomed else {
        return Err(Error::Malformed(
            "invalid patch format of primitive list".to_owned(),
        ));
    };
    if let Some(Value::Array(items)) = original.get_mut(field) {
        items.retain(|item| !doomed.contains(item));
    }
    Ok(())
}

fn list_of(value: Option<Value>, field: &str) -> Result<Option<Vec<Value>>, Error> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => Err(Error::Mismatch(format!(
            "expected a list at {field}, got: {}",
            go_map(&other)
        ))),
    }
}

pub(super) fn key_of<'a>(item: &'a Value, key: &str) -> Result<&'a Value, Error> {
    item.get(key).ok_or_else(|| {
        Error::Mismatch(format!(
            "map: {} does not contain declared merge key: {key}",
            go_map(item)
        ))
    })
}

fn wrong_item(item: &Value) -> Error {
    Error::Mismatch(format!(
        "expected an object in a list with a merge key, got: {}",
        go_map(item)
    ))
}

/// A value as Go prints it: `map[image:nginx ports:[map[containerPort:80]]]`, keys sorted.
fn go_map(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let mut parts: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{key}:{}", go_map(value)))
                .collect();
            parts.sort();
            format!("map[{}]", parts.join(" "))
        }
        Value::Array(items) => {
            let parts: Vec<String> = items.iter().map(go_map).collect();
            format!("[{}]", parts.join(" "))
        }
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

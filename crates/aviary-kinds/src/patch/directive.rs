//! The words with a dollar sign that a strategic merge patch may hold.

use serde_json::{Map, Value};

use super::Error;

const MARKER: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
/// Prefix of the directive that names the wanted order of a list.
pub(super) const SET_ORDER: &str = "$setElementOrder";
/// Prefix of the directive that takes scalars out of a list.
pub(super) const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";

/// Value of `$patch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Directive {
    /// What the patch has stands for all.
    Replace,
    /// The object, or the list item with this key, goes away.
    Delete,
    /// The usual behaviour, said aloud.
    Merge,
}

/// Takes `$patch` out of an object of the patch.
pub(super) fn take(patch: &mut Map<String, Value>) -> Result<Option<Directive>, Error> {
    match patch.shift_remove(MARKER) {
        None => Ok(None),
        Some(Value::String(word)) if word == "replace" => Ok(Some(Directive::Replace)),
        Some(Value::String(word)) if word == "delete" => Ok(Some(Directive::Delete)),
        Some(Value::String(word)) if word == "merge" => Ok(Some(Directive::Merge)),
        Some(other) => Err(Error::Mismatch(format!(
            "unknown patch type found: {other} in a map of the patch"
        ))),
    }
}

/// Obeys `$retainKeys`: fields of `original` that it does not name go away.
pub(super) fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), Error> {
    let Some(retained) = patch.shift_remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let malformed = || Error::Malformed("invalid patch format of retainKeys".to_owned());
    let Value::Array(retained) = retained else {
        return Err(malformed());
    };
    let is_retained = |key: &str| retained.iter().any(|name| name.as_str() == Some(key));
    let contradicts = patch
        .iter()
        .any(|(key, value)| !value.is_null() && !key.starts_with('$') && !is_retained(key));
    if contradicts {
        return Err(malformed());
    }
    original.retain(|key, _| is_retained(key));
    Ok(())
}

/// The field that `$directive/field` is about; `None` when `key` is not this directive.
pub(super) fn field_of<'a>(key: &'a str, directive: &str) -> Result<Option<&'a str>, Error> {
    let Some(rest) = key.strip_prefix(directive) else {
        return Ok(None);
    };
    match rest.strip_prefix('/') {
        Some(field) if !field.is_empty() => Ok(Some(field)),
        _ => Err(Error::Malformed(format!(
            "invalid patch format: {key} names no field"
        ))),
    }
}

/// A value of the patch that has nothing to be merged into: without directives and nulls.
pub(super) fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(key, value)| !value.is_null() && !is_directive(key))
                .map(|(key, value)| (key, plain(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(
            items
                .into_iter()
                .filter(|item| !is_deletion(item) && !is_remark(item))
                .map(plain)
                .collect(),
        ),
        other => other,
    }
}

fn is_directive(key: &str) -> bool {
    key == MARKER
        || key == RETAIN_KEYS
        || key.starts_with(SET_ORDER)
        || key.starts_with(DELETE_FROM_LIST)
}

/// An item that only says that another one goes away.
pub(super) fn is_deletion(item: &Value) -> bool {
    item.get(MARKER).is_some_and(|word| word == "delete")
}

/// An item that only says how the list is to be merged.
fn is_remark(item: &Value) -> bool {
    let fields = item.as_object();
    fields.is_some_and(|fields| fields.len() == 1 && fields.contains_key(MARKER))
}

//! The order of a merged list.

use serde_json::Value;

use super::{Error, directive, strategic::key_of};

/// Whether two items are the same one: by merge key, or by value for scalars.
fn same(left: &Value, right: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => left.get(key).is_some() && left.get(key) == right.get(key),
        None => left == right,
    }
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    list.iter().position(|other| same(other, item, key))
}

/// Orders `merged`: items named in `wanted` in that order, the others in the order of `server`;
/// the two are then woven so that items known to `server` keep their relative places, and items
/// that it does not know come as early as possible.
pub(super) fn enforce(
    merged: Vec<Value>,
    wanted: &[Value],
    server: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    let (mut named, mut others): (Vec<Value>, Vec<Value>) = merged
        .into_iter()
        .partition(|item| position(wanted, item, key).is_some());
    named.sort_by_key(|item| position(wanted, item, key));
    others.sort_by_key(|item| position(server, item, key).unwrap_or(usize::MAX));
    let mut woven = Vec::with_capacity(named.len() + others.len());
    let mut named = named.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    while let (Some(left), Some(right)) = (others.peek(), named.peek()) {
        let other_first = match (position(server, left, key), position(server, right, key)) {
            (Some(left), Some(right)) => left < right,
            _ => false,
        };
        woven.extend(if other_first {
            others.next()
        } else {
            named.next()
        });
    }
    woven.extend(others);
    woven.extend(named);
    woven
}

/// Checks that the items of a patch occur in `wanted`, in the same order; deletions are free.
pub(super) fn check(patch: &[Value], wanted: &[Value], key: Option<&str>) -> Result<(), Error> {
    let mut from = 0;
    for item in patch.iter().filter(|item| !directive::is_deletion(item)) {
        if let Some(key) = key
            && item.is_object()
            && item.get("$patch").is_none()
        {
            key_of(item, key)?;
        }
        let rest = wanted.get(from..).unwrap_or_default();
        match position(rest, item, key) {
            Some(index) => from += index + 1,
            None if item.get("$patch").is_some() => {}
            None => {
                return Err(Error::Mismatch(format!(
                    "The order in patch list:\n{}\n doesn't match $setElementOrder list:\n{}\n",
                    Value::Array(patch.to_vec()),
                    Value::Array(wanted.to_vec())
                )));
            }
        }
    }
    Ok(())
}

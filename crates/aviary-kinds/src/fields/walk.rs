//! Walks over values by their schema: which paths a value has, and how two values differ.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use super::set::{Set, field_step};
use crate::schema::{ListType, Schema};

/// How the parts of a value are owned.
pub(super) enum Shape<'a> {
    /// As a whole: scalars, atomic lists and maps.
    Leaf,
    /// Field by field.
    Map(&'a Map<String, Value>),
    /// Item by item, by keys.
    Keyed(&'a [Value], &'a [Arc<str>]),
    /// Item by item, by value.
    Set(&'a [Value]),
}

/// The shape of `value`. Without a schema, objects are open and lists are atomic.
pub(super) fn shape<'a>(value: &'a Value, schema: Option<&'a Schema>) -> Shape<'a> {
    match value {
        Value::Object(_) if schema.is_some_and(|schema| schema.atomic_map) => Shape::Leaf,
        Value::Object(map) => Shape::Map(map),
        Value::Array(items) => match schema.map(|schema| &schema.list) {
            Some(ListType::Map(keys)) => Shape::Keyed(items, keys),
            Some(ListType::Set) => Shape::Set(items),
            Some(ListType::Atomic) | None => Shape::Leaf,
        },
        _ => Shape::Leaf,
    }
}

/// Schema of a field, when there is one.
pub(super) fn field<'a>(schema: Option<&'a Schema>, name: &str) -> Option<&'a Schema> {
    schema
        .and_then(|schema| schema.field(name))
        .map(AsRef::as_ref)
}

/// Schema of the items of a list, when there is one.
pub(super) fn items(schema: Option<&Schema>) -> Option<&Schema> {
    schema.and_then(|schema| schema.items.as_deref())
}

/// Whether `name` is a field of a struct, not a key of a free map.
pub(super) fn is_named(schema: Option<&Schema>, name: &str) -> bool {
    schema.is_some_and(|schema| schema.properties.contains_key(name))
}

/// The step to an item of a list by its keys; the name of the key that it lacks otherwise.
pub(super) fn item_step<'k>(
    item: &Value,
    keys: &'k [Arc<str>],
    schema: Option<&Schema>,
) -> Result<String, &'k str> {
    let mut found = BTreeMap::new();
    for key in keys {
        let default = || field(schema, key).and_then(|schema| schema.default.as_ref());
        match item.get(&**key).or_else(default) {
            Some(value) => {
                found.insert(key.to_string(), value.clone());
            }
            None if &**key == "protocol" => {
                // The built-in lists with this key all default it; their field tree need not say so.
                found.insert(key.to_string(), Value::from("TCP"));
            }
            None => return Err(key),
        }
    }
    let keys: Map<String, Value> = found.into_iter().collect();
    Ok(format!("k:{}", Value::Object(keys)))
}

/// The step to a scalar in a set.
pub(super) fn value_step(item: &Value) -> String {
    format!("v:{item}")
}

/// The items of a list with their steps; `None` when one of them has no step or a value has the
/// wrong type, so that the list can only be taken as a whole.
pub(super) fn steps<'a>(
    value: &'a Value,
    schema: Option<&'a Schema>,
) -> Option<Vec<(String, &'a Value)>> {
    match shape(value, schema) {
        Shape::Keyed(list, keys) => list
            .iter()
            .map(|item| {
                item_step(item, keys, items(schema))
                    .ok()
                    .map(|step| (step, item))
            })
            .collect(),
        Shape::Set(list) => Some(list.iter().map(|item| (value_step(item), item)).collect()),
        Shape::Leaf | Shape::Map(_) => None,
    }
}

/// All paths of a value: what a manager owns who applied exactly this.
pub(super) fn paths_of(value: &Value, schema: Option<&Schema>) -> Set {
    let mut set = Set::default();
    match shape(value, schema) {
        Shape::Map(map) if !map.is_empty() => {
            for (name, child) in map {
                let mut below = paths_of(child, field(schema, name));
                below.here |= !is_named(schema, name);
                set.attach(&field_step(name), below);
            }
        }
        Shape::Keyed(list, _) | Shape::Set(list) if !list.is_empty() => {
            if let Some(found) = steps(value, schema) {
                for (step, item) in found {
                    let mut below = paths_of(item, items(schema));
                    below.here = true;
                    set.attach(&step, below);
                }
            } else {
                set.here = true;
            }
        }
        _ => set.here = true,
    }
    set
}

/// The paths in which two values differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) added: Set,
    pub(super) removed: Set,
    pub(super) modified: Set,
}

impl Difference {
    fn attach(&mut self, step: &str, child: Self) {
        self.added.attach(step, child.added);
        self.removed.attach(step, child.removed);
        self.modified.attach(step, child.modified);
    }

    /// Without the paths in and below `ignored`.
    pub(super) fn outside(&self, ignored: &Set) -> Self {
        Self {
            added: self.added.outside(ignored),
            removed: self.removed.outside(ignored),
            modified: self.modified.outside(ignored),
        }
    }

    fn leaf(old: Option<&Value>, new: Option<&Value>) -> Self {
        let mut difference = Self::default();
        match (old, new) {
            (None, Some(_)) => difference.added.here = true,
            (Some(_), None) => difference.removed.here = true,
            (old, new) => difference.modified.here = old != new,
        }
        difference
    }
}

/// Compares two values of one schema; `None` is an absent value, unlike `null`.
///
/// Source: structured-merge-diff `typed` (leaves; empty values count as leaves; the place itself
/// is added or removed with its content).
pub(super) fn compare(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: Option<&Schema>,
) -> Difference {
    if old.is_none_or(is_empty) && new.is_none_or(is_empty) {
        return Difference::leaf(old, new);
    }
    let old_value = old.filter(|value| !value.is_null());
    let new_value = new.filter(|value| !value.is_null());
    let mut difference = match parts(old_value, new_value, schema) {
        Parts::Whole => return Difference::leaf(old, new),
        Parts::Unlike => {
            let mut both = compare(old, None, schema);
            let added = compare(None, new, schema);
            both.removed.here = false;
            both.added = added.added;
            both.added.here = false;
            both.modified.here = true;
            return both;
        }
        Parts::Pairs(pairs) => {
            let mut difference = Difference::default();
            for (step, (old, new, schema)) in pairs {
                difference.attach(&step, compare_items(&old, &new, schema));
            }
            difference
        }
    };
    difference.added.here |= old.is_none();
    difference.removed.here |= new.is_none();
    difference
}

type Pair<'a> = (Vec<&'a Value>, Vec<&'a Value>, Option<&'a Schema>);

/// The parts of two values, side by side.
enum Parts<'a> {
    /// At least one can only be taken as a whole.
    Whole,
    /// One is a list and the other a map, or the like.
    Unlike,
    /// By step. More than one value on a side are duplicates in a list.
    Pairs(BTreeMap<String, Pair<'a>>),
}

fn parts<'a>(
    old: Option<&'a Value>,
    new: Option<&'a Value>,
    schema: Option<&'a Schema>,
) -> Parts<'a> {
    let mut pairs: BTreeMap<String, Pair<'a>> = BTreeMap::new();
    if let (Some(old), Some(new)) = (old, new)
        && std::mem::discriminant(old) != std::mem::discriminant(new)
    {
        let compound = |value: &Value| value.is_object() || value.is_array();
        return if compound(old) || compound(new) {
            Parts::Unlike
        } else {
            Parts::Whole
        };
    }
    for (value, is_new) in [(old, false), (new, true)] {
        let Some(value) = value else { continue };
        let found: Vec<(String, &Value, Option<&Schema>)> = match shape(value, schema) {
            Shape::Leaf => return Parts::Whole,
            Shape::Map(map) => map
                .iter()
                .map(|(name, child)| (field_step(name), child, field(schema, name)))
                .collect(),
            Shape::Keyed(..) | Shape::Set(_) => match steps(value, schema) {
                None => return Parts::Whole,
                Some(found) => found
                    .into_iter()
                    .map(|(step, item)| (step, item, items(schema)))
                    .collect(),
            },
        };
        for (step, child, schema) in found {
            let pair = pairs
                .entry(step)
                .or_insert_with(|| (Vec::new(), Vec::new(), schema));
            if is_new {
                pair.1.push(child);
            } else {
                pair.0.push(child);
            }
        }
    }
    Parts::Pairs(pairs)
}

fn compare_items(old: &[&Value], new: &[&Value], schema: Option<&Schema>) -> Difference {
    if old.len() <= 1 && new.len() <= 1 {
        return compare(old.first().copied(), new.first().copied(), schema);
    }
    let mut difference = Difference::default();
    match (old.is_empty(), new.is_empty()) {
        (true, _) => difference.added.here = true,
        (_, true) => difference.removed.here = true,
        _ => difference.modified.here = old != new,
    }
    difference
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

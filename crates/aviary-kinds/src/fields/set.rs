//! Sets of field paths, in the tree form of `fieldsV1`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A set of paths below one place. Steps are kept as `fieldsV1` writes them: `f:name`,
/// `k:{"key":"value"}` (an item by its keys), `v:"scalar"` (an item of a set), `i:0`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    /// This place itself is in the set.
    pub(super) here: bool,
    /// Sets below, none of them empty.
    below: BTreeMap<String, Self>,
}

/// The step into a field.
pub(super) fn field_step(name: &str) -> String {
    format!("f:{name}")
}

/// The name of the field that a step leads into.
pub(super) fn field_name(step: &str) -> Option<&str> {
    step.strip_prefix("f:")
}

impl Set {
    /// Only this place itself.
    pub(super) fn here() -> Self {
        Self {
            here: true,
            below: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.here && self.below.is_empty()
    }

    /// What lies below one step.
    pub(super) fn child(&self, step: &str) -> Option<&Self> {
        self.below.get(step)
    }

    pub(super) fn children(&self) -> impl Iterator<Item = (&String, &Self)> {
        self.below.iter()
    }

    /// Adds a whole subtree; an empty one adds nothing.
    pub(super) fn attach(&mut self, step: &str, child: Self) {
        match self.below.get_mut(step) {
            _ if child.is_empty() => {}
            Some(present) => *present = present.union(&child),
            None => {
                self.below.insert(step.to_owned(), child);
            }
        }
    }

    /// Adds the path made of these field names.
    pub(super) fn insert_fields(&mut self, names: &[&str]) {
        match names {
            [] => self.here = true,
            [first, rest @ ..] => {
                let mut child = Self::default();
                child.insert_fields(rest);
                self.attach(&field_step(first), child);
            }
        }
    }

    pub(super) fn union(&self, other: &Self) -> Self {
        let mut below = self.below.clone();
        for (step, child) in &other.below {
            let merged = below
                .get(step)
                .map_or_else(|| child.clone(), |mine| mine.union(child));
            below.insert(step.clone(), merged);
        }
        Self {
            here: self.here || other.here,
            below,
        }
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        self.zip(other, self.here && other.here, |mine, theirs| {
            theirs.map(|theirs| mine.intersection(theirs))
        })
    }

    /// Paths of `self` that are not in `other`.
    pub(super) fn difference(&self, other: &Self) -> Self {
        self.zip(other, self.here && !other.here, |mine, theirs| {
            Some(theirs.map_or_else(|| mine.clone(), |theirs| mine.difference(theirs)))
        })
    }

    /// Paths of `self` that are neither in `other` nor below one of its paths.
    pub(super) fn outside(&self, other: &Self) -> Self {
        if other.here {
            return Self::default();
        }
        self.zip(other, self.here, |mine, theirs| {
            Some(theirs.map_or_else(|| mine.clone(), |theirs| mine.outside(theirs)))
        })
    }

    fn zip(
        &self,
        other: &Self,
        here: bool,
        join: impl Fn(&Self, Option<&Self>) -> Option<Self>,
    ) -> Self {
        let below = self
            .below
            .iter()
            .filter_map(|(step, mine)| {
                let joined = join(mine, other.below.get(step))?;
                (!joined.is_empty()).then(|| (step.clone(), joined))
            })
            .collect();
        Self { here, below }
    }

    /// Reads `fieldsV1`. Anything that is not an object counts as empty.
    pub(super) fn from_json(json: &Value) -> Self {
        let mut set = Self::default();
        for (step, child) in json.as_object().into_iter().flatten() {
            if step == "." {
                set.here = true;
            } else {
                let mut below = Self::from_json(child);
                below.here |= child.as_object().is_some_and(Map::is_empty);
                set.attach(step, below);
            }
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(super) fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.here && !self.below.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, child) in &self.below {
            map.insert(step.clone(), child.to_json());
        }
        Value::Object(map)
    }

    /// Every path as messages show it: `.spec.containers[name="web"].image`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect_paths("", &mut paths);
        paths
    }

    fn collect_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        if self.here {
            paths.push(prefix.to_owned());
        }
        for (step, child) in &self.below {
            child.collect_paths(&format!("{prefix}{}", show(step)), paths);
        }
    }
}

fn show(step: &str) -> String {
    match step.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("v", value)) => format!("[={value}]"),
        Some(("k", keys)) => match serde_json::from_str::<Map<String, Value>>(keys) {
            Ok(keys) => {
                let parts: Vec<String> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                format!("[{}]", parts.join(","))
            }
            Err(_) => format!("[{keys}]"),
        },
        Some((_, other)) => format!("[{other}]"),
        None => step.to_owned(),
    }
}

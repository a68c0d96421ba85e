//! How ownership moves with a write.
//!
//! Source: structured-merge-diff `merge.Updater` and apimachinery's `managedfields` package.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    Error, Write,
    entry::{self, Entry, Operation, Owner},
    merge,
    set::Set,
    walk::{self, Difference},
    zero,
};
use crate::{Kind, schema::Schema, status::Cause};

/// Manager of fields whose writers have been forgotten.
const ANCIENT: &str = "ancient-changes";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl Write<'_> {
    fn owner(&self, operation: Operation) -> Owner {
        Owner {
            operation,
            manager: self.manager.to_owned(),
            api_version: self.kind.api_version(),
            subresource: self.subresource.unwrap_or_default().to_owned(),
        }
    }

    fn schema(&self) -> &Schema {
        &self.kind.schema
    }
}

/// Records a write that is not an apply.
pub(super) fn update(write: &Write<'_>, old: Option<&Value>, new: &mut Value) {
    if entry::is_reset(new) {
        entry::write(new, Vec::new());
        return;
    }
    let mut entries = entry::read(new);
    if entries.is_empty() {
        entries = old.map(entry::read).unwrap_or_default();
    }
    let ignored = ignored(write.kind, write.subresource);
    let difference = walk::compare(
        Some(&zero::completed(write.kind, old)),
        Some(&zero::completed(write.kind, Some(new))),
        Some(write.schema()),
    )
    .outside(&ignored);
    let taken = difference
        .modified
        .union(&difference.added)
        .difference(&unowned());
    for entry in &mut entries {
        entry.fields = entry
            .fields
            .difference(&taken)
            .difference(&difference.removed);
    }
    if !taken.is_empty() {
        let owner = write.owner(Operation::Update);
        let time = entry::shown_time(write.now);
        match entries
            .iter_mut()
            .find(|entry| owner.continues(&entry.owner))
        {
            Some(entry) => {
                entry.fields = entry.fields.union(&taken);
                entry.time = time;
            }
            None => entries.push(Entry {
                owner,
                time,
                fields: taken,
            }),
        }
    }
    bound(&mut entries);
    entry::write(new, entries);
}

/// How many managers that do not apply are told apart.
const MAX_UPDATERS: usize = 10;

/// Joins the oldest entries of updaters, per version, so that an object cannot grow without end
/// under clients that always change their name.
fn bound(entries: &mut Vec<Entry>) {
    let updaters = |entries: &[Entry]| {
        entries
            .iter()
            .filter(|entry| entry.owner.operation == Operation::Update && !entry.fields.is_empty())
            .count()
    };
    entries.sort_by(|a, b| a.time.cmp(&b.time));
    while updaters(entries) > MAX_UPDATERS {
        let oldest = entries.iter().position(|entry| {
            entry.owner.operation == Operation::Update && entry.owner.manager != ANCIENT
        });
        let Some(mut old) = oldest.map(|index| entries.remove(index)) else {
            return;
        };
        ANCIENT.clone_into(&mut old.owner.manager);
        old.owner.subresource.clear();
        match entries.iter_mut().find(|entry| entry.owner == old.owner) {
            Some(entry) => {
                entry.fields = entry.fields.union(&old.fields);
                entry.time = old.time;
            }
            None => entries.insert(0, old),
        }
    }
}

/// Merges an applied configuration and records what it owns.
pub(super) fn apply(
    write: &Write<'_>,
    live: Option<&Value>,
    config: &Value,
    force: bool,
) -> Result<Value, Error> {
    check(write, config)?;
    let schema = Some(write.schema());
    let owner = write.owner(Operation::Apply);
    let empty = Value::Object(serde_json::Map::new());
    let live_value = live.map_or(Cow::Borrowed(&empty), |live| {
        Cow::Owned(without_entries(live))
    });
    let ignored = ignored(write.kind, write.subresource);
    let wanted = config;
    let config = merge::remove(wanted, &ignored, schema);

    let mut entries = live.map(entry::read).unwrap_or_default();
    let last = entries
        .iter()
        .position(|entry| owner.continues(&entry.owner))
        .map(|index| entries.remove(index));
    let fields = walk::paths_of(&config, schema)
        .outside(&ignored)
        .difference(&unowned());
    let applied = Entry {
        owner,
        time: entry::shown_time(write.now),
        fields,
    };

    let mut merged = merge::merge(live_value.clone().into_owned(), &config, schema);
    if let Some(last) = &last {
        merged = prune(&merged, last, &applied, &entries, schema);
    }
    let difference = walk::compare(Some(&live_value), Some(&merged), schema).outside(&ignored);
    let force = force || is_own_legacy(write, live, &entries);
    hand_over(&mut entries, &difference, force)?;
    sync_last_applied(write, &mut merged, &config);
    if live.is_none() {
        take_names(&mut merged, wanted);
    }

    let unchanged = merged == *live_value
        && last
            .as_ref()
            .is_some_and(|last| last.fields == applied.fields && last.owner == applied.owner);
    let time = match &last {
        Some(last) if unchanged => last.time.clone(),
        _ => applied.time.clone(),
    };
    entries.push(Entry { time, ..applied });
    entry::write(&mut merged, entries);
    Ok(merged)
}

/// A new object is called as its configuration says; names are nobody's fields.
fn take_names(object: &mut Value, config: &Value) {
    for name in ["name", "namespace"] {
        if let Some(value) = config["metadata"].get(name) {
            object["metadata"][name] = value.clone();
        }
    }
}

/// What is wrong with the configuration itself.
fn check(write: &Write<'_>, config: &Value) -> Result<(), Error> {
    let Value::Object(fields) = config else {
        return Err(Error::Malformed(
            "the applied configuration is not an object".to_owned(),
        ));
    };
    let managed = config.pointer("/metadata/managedFields");
    if managed.is_some_and(|entries| !entries.is_null()) {
        return Err(Error::Malformed(
            "metadata.managedFields must be nil".to_owned(),
        ));
    }
    let version = fields
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if version != write.kind.api_version() {
        return Err(Error::Malformed(format!(
            "Incorrect version specified in apply patch. Specified patch version: {version}, \
             expected: {}",
            write.kind.api_version()
        )));
    }
    let misfits = merge::misfits(config, write.schema());
    let listed = match misfits.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let text = |pointer: &str| {
        config
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    Err(Error::Mismatch(format!(
        "failed to create typed patch object ({}/{}; {version}, Kind={}): {listed}",
        text("/metadata/namespace"),
        text("/metadata/name"),
        write.kind.kind
    )))
}

/// Takes out of `merged` what the manager applied last time, does not apply now, and no one else
/// owns.
fn prune(
    merged: &Value,
    last: &Entry,
    applied: &Entry,
    others: &[Entry],
    schema: Option<&Schema>,
) -> Value {
    let named = |set: &Set| merge::with_named_fields(set, schema);
    let owned = others.iter().fold(applied.fields.clone(), |all, entry| {
        all.union(&entry.fields)
    });
    let last = named(&last.fields);
    let all = named(&walk::paths_of(merged, schema));

    let pruned = merge::remove(merged, &last, schema);
    let kept = named(&walk::paths_of(&pruned, schema)).union(&named(&owned));
    let pruned = merge::remove(merged, &all.difference(&kept), schema);
    let left = named(&walk::paths_of(&pruned, schema));
    merge::remove(merged, &all.difference(&left).intersection(&last), schema)
}

/// Takes from the other managers what this apply changes.
fn hand_over(entries: &mut [Entry], difference: &Difference, force: bool) -> Result<(), Error> {
    let changed = difference.modified.union(&difference.added);
    let mut conflicts: Vec<(String, Vec<String>)> = entries
        .iter()
        .map(|entry| {
            (
                entry.owner.shown(),
                entry.fields.intersection(&changed).paths(),
            )
        })
        .filter(|(_, paths)| !paths.is_empty())
        .collect();
    if !force && !conflicts.is_empty() {
        conflicts.sort();
        return Err(conflict(&conflicts));
    }
    for entry in entries {
        entry.fields = entry
            .fields
            .difference(&changed)
            .difference(&difference.removed);
    }
    Ok(())
}

fn conflict(conflicts: &[(String, Vec<String>)]) -> Error {
    let causes: Vec<Cause> = conflicts
        .iter()
        .flat_map(|(owner, paths)| {
            paths.iter().map(move |path| Cause {
                reason: "FieldManagerConflict",
                message: format!("conflict with {owner}"),
                field: path.clone(),
            })
        })
        .collect();
    let message = match causes.as_slice() {
        [one] => format!(
            "Apply failed with 1 conflict: {}: {}",
            one.message, one.field
        ),
        many => {
            let parts: Vec<String> = conflicts
                .iter()
                .map(|(owner, paths)| format!("conflicts with {owner}:\n- {}", paths.join("\n- ")))
                .collect();
            format!(
                "Apply failed with {} conflicts: {}",
                many.len(),
                parts.join("\n")
            )
        }
    };
    Error::Conflict { message, causes }
}

/// Whether `kubectl apply --server-side` takes over what `kubectl apply` wrote: then only fields
/// of kubectl itself are in the way, and they are its own.
fn is_own_legacy(write: &Write<'_>, live: Option<&Value>, entries: &[Entry]) -> bool {
    write.manager == "kubectl"
        && write.subresource.is_none()
        && live.is_some_and(|live| annotation(live).is_some())
        && entries.iter().all(|entry| {
            entry.owner.manager == "kubectl-client-side-apply"
                || entry.owner.subresource == "status"
        })
}

fn annotation(object: &Value) -> Option<&Value> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(LAST_APPLIED)
}

/// Keeps the annotation of client-side apply true after a server-side one by kubectl.
fn sync_last_applied(write: &Write<'_>, merged: &mut Value, config: &Value) {
    if write.manager == "kubectl" && write.subresource.is_none() && annotation(merged).is_some() {
        merged["metadata"]["annotations"][LAST_APPLIED] = Value::from(format!("{config}\n"));
    }
}

fn without_entries(object: &Value) -> Value {
    let mut object = object.clone();
    entry::write(&mut object, Vec::new());
    object
}

/// Paths that nobody owns: the identity of the object and what the server keeps.
fn unowned() -> Set {
    let mut set = Set::default();
    for path in [&["apiVersion"][..], &["kind"], &["metadata"]] {
        set.insert_fields(path);
    }
    for name in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.insert_fields(&["metadata", name]);
    }
    set
}

/// Paths that a request to this place cannot change, so that it cannot come to own them.
fn ignored(kind: &Kind, subresource: Option<&str>) -> Set {
    let mut set = Set::default();
    for name in [
        "name",
        "namespace",
        "managedFields",
        "resourceVersion",
        "uid",
        "generation",
    ] {
        set.insert_fields(&["metadata", name]);
    }
    match subresource {
        None if kind.has_status() => set.insert_fields(&["status"]),
        Some("status") => {
            set.insert_fields(&["spec"]);
            match &*kind.kind {
                "Deployment" | "ReplicaSet" => set.insert_fields(&["metadata", "labels"]),
                "Pod" => {
                    set.insert_fields(&["metadata", "deletionTimestamp"]);
                    set.insert_fields(&["metadata", "ownerReferences"]);
                }
                _ => {}
            }
        }
        _ => {}
    }
    set
}

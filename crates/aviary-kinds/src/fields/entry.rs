//! The entries of `metadata.managedFields`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::set::Set;

/// How a manager came to own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// Server-side apply.
    Apply,
    /// Any other write.
    Update,
}

/// Who owns: what makes two entries the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) operation: Operation,
    pub(super) manager: String,
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl Owner {
    /// Whether an entry of `other` is to be continued as this owner's: appliers may change the
    /// version that they apply in.
    pub(super) fn continues(&self, other: &Self) -> bool {
        self.operation == other.operation
            && self.manager == other.manager
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// As messages name it: `"kubectl-edit" with subresource "scale" using apps/v1`.
    pub(super) fn shown(&self) -> String {
        let mut text = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            text = format!("{text} with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            text = format!("{text} using {}", self.api_version);
        }
        text
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) owner: Owner,
    /// RFC 3339, whole seconds.
    pub(super) time: String,
    pub(super) fields: Set,
}

/// The time as entries show it.
pub(super) fn shown_time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads the entries of an object; those that cannot be read are left out.
pub(super) fn read(object: &Value) -> Vec<Entry> {
    let Some(Value::Array(entries)) = object.pointer("/metadata/managedFields") else {
        return Vec::new();
    };
    entries.iter().filter_map(read_one).collect()
}

fn read_one(entry: &Value) -> Option<Entry> {
    let text = |name: &str| {
        entry
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let operation = match text("operation").as_str() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => return None,
    };
    let owner = Owner {
        operation,
        manager: text("manager"),
        api_version: text("apiVersion"),
        subresource: text("subresource"),
    };
    Some(Entry {
        owner,
        time: text("time"),
        fields: Set::from_json(entry.get("fieldsV1")?),
    })
}

/// Whether the client asked to forget all owners: one empty entry.
pub(super) fn is_reset(object: &Value) -> bool {
    match object.pointer("/metadata/managedFields") {
        Some(Value::Array(entries)) => {
            matches!(entries.as_slice(), [Value::Object(entry)] if entry.is_empty())
        }
        _ => false,
    }
}

/// Writes the entries: appliers first, then by time and name. None at all removes the field.
pub(super) fn write(object: &mut Value, mut entries: Vec<Entry>) {
    let Some(metadata) = metadata(object) else {
        return;
    };
    entries.retain(|entry| !entry.fields.is_empty());
    entries.sort_by(|a, b| {
        let order = |entry: &Entry| (entry.owner.operation, entry.time.clone());
        order(a).cmp(&order(b)).then_with(|| a.owner.cmp(&b.owner))
    });
    if entries.is_empty() {
        metadata.shift_remove("managedFields");
    } else {
        let entries = entries.iter().map(to_json).collect();
        metadata.insert("managedFields".to_owned(), Value::Array(entries));
    }
}

fn metadata(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object
        .as_object_mut()?
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()))
        .as_object_mut()
}

fn to_json(entry: &Entry) -> Value {
    let Owner {
        operation,
        manager,
        api_version,
        subresource,
    } = &entry.owner;
    let mut json = json!({
        "manager": manager,
        "operation": match operation {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        },
        "apiVersion": api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.to_json(),
    });
    if !subresource.is_empty() {
        json["subresource"] = Value::from(subresource.as_str());
    }
    json
}

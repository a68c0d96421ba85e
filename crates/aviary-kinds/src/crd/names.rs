//! Which names a definition gets, and what its status says of them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{elements, text};

pub(super) fn status(definition: &Value, taken: &[&Value], now: Timestamp) -> Value {
    let conflict = conflict(definition, taken);
    let accepted = conflict.is_none();
    let (reason, message) =
        conflict.unwrap_or_else(|| ("NoConflicts", "no conflicts found".to_owned()));
    let names_accepted = json!({
        "type": "NamesAccepted", "status": word(accepted), "reason": reason, "message": message,
    });
    let established = if accepted {
        json!({
            "type": "Established", "status": "True", "reason": "InitialNamesAccepted",
            "message": "the initial names have been accepted",
        })
    } else {
        json!({
            "type": "Established", "status": "False", "reason": "NotAccepted",
            "message": "not all names are accepted",
        })
    };
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let conditions =
        [names_accepted, established].map(|condition| dated(definition, condition, &now));
    let names = if accepted {
        definition["spec"]["names"].clone()
    } else {
        let before = &definition["status"]["acceptedNames"];
        if before.is_object() {
            before.clone()
        } else {
            json!({"kind": "", "plural": ""})
        }
    };
    json!({
        "acceptedNames": names,
        "conditions": conditions,
        "storedVersions": stored_versions(definition),
    })
}

fn word(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}

/// The condition with the time of its last change: now, unless it has been so before.
fn dated(definition: &Value, mut condition: Value, now: &str) -> Value {
    let before = elements(&definition["status"]["conditions"])
        .iter()
        .find(|before| {
            before["type"] == condition["type"] && before["status"] == condition["status"]
        });
    let time = before
        .and_then(|before| before["lastTransitionTime"].as_str())
        .unwrap_or(now);
    condition["lastTransitionTime"] = json!(time);
    condition
}

fn stored_versions(definition: &Value) -> Vec<Value> {
    let mut stored = elements(&definition["status"]["storedVersions"]).to_vec();
    let versions = elements(&definition["spec"]["versions"]);
    for version in versions.iter().filter(|version| version["storage"] == true) {
        if !stored.contains(&version["name"]) {
            stored.push(version["name"].clone());
        }
    }
    stored
}

/// The first name that another definition of the group has already.
fn conflict(definition: &Value, taken: &[&Value]) -> Option<(&'static str, String)> {
    let group = &definition["spec"]["group"];
    let others = || {
        taken.iter().filter(|other| {
            other["spec"]["group"] == *group
                && other["metadata"]["name"] != definition["metadata"]["name"]
        })
    };
    let resources = |names: &Value| -> Vec<String> {
        let mut all = vec![
            text(&names["plural"]).to_owned(),
            text(&names["singular"]).to_owned(),
        ];
        all.extend(
            elements(&names["shortNames"])
                .iter()
                .map(|name| text(name).to_owned()),
        );
        all.retain(|name| !name.is_empty());
        all
    };
    let kinds = |names: &Value| -> Vec<String> {
        ["kind", "listKind"]
            .map(|name| text(&names[name]).to_owned())
            .to_vec()
    };
    let used_resources: Vec<String> = others()
        .flat_map(|other| resources(&other["spec"]["names"]))
        .collect();
    let used_kinds: Vec<String> = others()
        .flat_map(|other| kinds(&other["spec"]["names"]))
        .collect();
    let names = &definition["spec"]["names"];
    let in_use = |name: &str| format!("{name:?} is already in use");
    for (field, reason) in [
        ("plural", "PluralConflict"),
        ("singular", "SingularConflict"),
    ] {
        let name = text(&names[field]);
        if used_resources.iter().any(|used| used == name) {
            return Some((reason, in_use(name)));
        }
    }
    let short = elements(&names["shortNames"]).iter().map(text);
    if let Some(name) = short
        .into_iter()
        .find(|name| used_resources.iter().any(|u| u == name))
    {
        return Some(("ShortNamesConflict", in_use(name)));
    }
    for (field, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        let name = text(&names[field]);
        if used_kinds.iter().any(|used| used == name) {
            return Some((reason, in_use(name)));
        }
    }
    None
}

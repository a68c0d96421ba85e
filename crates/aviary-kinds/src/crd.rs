//! From a `CustomResourceDefinition` to the kinds that it defines.
//!
//! [`kinds`] is the way in. A write of a custom object then goes: prune (decode), [`default`] of
//! its schema, structural rules, uniqueness in lists, and CEL last, as on a real server.

mod tree;
mod check;
mod structural;
mod format;
mod rules;
mod names;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    Kind,
    kind::{PrinterColumn, Rules, ScalePaths, Scope, Subresource},
    status::Cause,
};

/// A definition that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CustomResourceDefinition {name} cannot be served: {}", list(causes))]
pub struct Error {
    /// Name of the definition.
    pub name: String,
    /// What is wrong with it.
    pub causes: Vec<Cause>,
}

fn list(causes: &[Cause]) -> String {
    causes
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// One kind for each served version of a definition.
///
/// # Errors
/// [`Error`] with the causes that [`validate`] gives, CEL rules aside: a stored definition has
/// been validated, and a rule that does not compile refuses every object.
pub fn kinds(definition: &Value) -> Result<Vec<Kind>, Error> {
    let mut definition = definition.clone();
    default(&mut definition);
    let causes = check::shape(&definition, None);
    if !causes.is_empty() {
        return Err(Error {
            name: text(&definition["metadata"]["name"]).to_owned(),
            causes,
        });
    }
    let spec = &definition["spec"];
    let served = elements(&spec["versions"])
        .iter()
        .filter(|version| version["served"] == true);
    Ok(served.map(|version| kind(spec, version)).collect())
}

/// Fills in what the server fills in for absent fields of a definition.
pub fn default(definition: &mut Value) {
    let Some(spec) = definition.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        let kind = names
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        if !kind.is_empty() {
            names
                .entry("singular")
                .or_insert_with(|| json!(kind.to_lowercase()));
            names
                .entry("listKind")
                .or_insert_with(|| json!(format!("{kind}List")));
        }
    }
    spec.entry("conversion")
        .or_insert_with(|| json!({"strategy": "None"}));
}

/// What is wrong with a defaulted definition; empty when it may be stored. `old` is the stored
/// one on an update.
pub fn validate(definition: &Value, old: Option<&Value>) -> Vec<Cause> {
    check::definition(definition, old)
}

/// The `status` that a definition gets: accepted names, stored versions, and the conditions
/// `NamesAccepted` and `Established`. Transition times of the status that it has are kept.
///
/// `taken` are the other definitions of the installation: a name that one of them has in the same
/// group is not accepted, and then the definition is not established.
pub fn status(definition: &Value, taken: &[&Value], now: Timestamp) -> Value {
    names::status(definition, taken, now)
}

fn kind(spec: &Value, version: &Value) -> Kind {
    let names = &spec["names"];
    let group: Arc<str> = text(&spec["group"]).into();
    let version_name: Arc<str> = text(&version["name"]).into();
    let kind_name: Arc<str> = text(&names["kind"]).into();
    let raw = &version["schema"]["openAPIV3Schema"];
    let reversed: Vec<&str> = group.rsplit('.').collect();
    let schema_name = format!("{}.{version_name}.{kind_name}", reversed.join("."));
    Kind {
        list_kind: text(&names["listKind"]).into(),
        plural: text(&names["plural"]).into(),
        singular: text(&names["singular"]).into(),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        scope: if spec["scope"] == "Cluster" {
            Scope::Cluster
        } else {
            Scope::Namespaced
        },
        subresources: subresources(version, &group, &version_name, &kind_name),
        verbs: [
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "create",
            "update",
            "watch",
        ]
        .map(Arc::from)
        .to_vec(),
        scale: scale(version),
        schema: Arc::new(tree::root(raw, &schema_name)),
        deprecation: deprecation(version, &group, &version_name, &kind_name),
        stored_group: group.clone(),
        strategic_patch: false,
        delete_returns_object: false,
        rules: Rules::Custom {
            rules: Arc::new(rules::Compiled::new(raw)),
            columns: elements(&version["additionalPrinterColumns"])
                .iter()
                .map(column)
                .collect(),
            selectable: elements(&version["selectableFields"])
                .iter()
                .map(|field| text(&field["jsonPath"]).into())
                .collect(),
            status: version["subresources"].get("status").is_some(),
        },
        group,
        version: version_name,
        kind: kind_name,
    }
}

fn subresources(version: &Value, group: &str, name: &str, kind: &str) -> Vec<Subresource> {
    let served = |subresource: &str, group: &str, version: &str, kind: &str| Subresource {
        name: subresource.into(),
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        verbs: ["get", "patch", "update"].map(Arc::from).to_vec(),
    };
    let wanted = &version["subresources"];
    let mut all = Vec::new();
    if wanted.get("status").is_some() {
        all.push(served("status", group, name, kind));
    }
    if wanted.get("scale").is_some() {
        all.push(served("scale", "autoscaling", "v1", "Scale"));
    }
    all
}

fn scale(version: &Value) -> Option<ScalePaths> {
    let scale = version["subresources"].get("scale")?;
    Some(ScalePaths {
        spec_replicas: text(&scale["specReplicasPath"]).into(),
        status_replicas: text(&scale["statusReplicasPath"]).into(),
        selector: scale["labelSelectorPath"].as_str().map(Into::into),
    })
}

fn column(column: &Value) -> PrinterColumn {
    PrinterColumn {
        name: text(&column["name"]).into(),
        kind: text(&column["type"]).into(),
        format: column["format"].as_str().map(Into::into),
        description: column["description"].as_str().map(Into::into),
        priority: column["priority"].as_i64().unwrap_or_default(),
        json_path: text(&column["jsonPath"]).into(),
    }
}

fn deprecation(version: &Value, group: &str, name: &str, kind: &str) -> Option<Arc<str>> {
    (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
        Some(warning) => warning.into(),
        None => format!("{group}/{name} {kind} is deprecated").into(),
    })
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> Vec<Arc<str>> {
    elements(value)
        .iter()
        .map(|item| text(item).into())
        .collect()
}

fn elements(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

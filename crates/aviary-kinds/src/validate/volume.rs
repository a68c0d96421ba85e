//! Rules of volumes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Report, list, name, text};

/// Gives the names of the volumes.
pub(super) fn check(report: &mut Report, field: &str, spec: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let field = format!("{field}[{index}]");
        report.name(format!("{field}.name"), volume.get("name"), name::label);
        let given = text(volume, "name");
        if !given.is_empty() && !names.insert(given.to_owned()) {
            report.duplicate(format!("{field}.name"), &json!(given));
        }
        source(report, &field, volume);
    }
    names
}

fn source(report: &mut Report, field: &str, volume: &Value) {
    let sources: Vec<&String> = volume
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key)
        .filter(|k| *k != "name")
        .collect();
    let Some((first, more)) = sources.split_first() else {
        report.required(field);
        return;
    };
    for extra in more {
        let detail = "may not specify more than 1 volume type";
        report.forbidden(format!("{field}.{extra}"), detail);
    }
    let inner = &volume[first.as_str()];
    let (member, field) = match first.as_str() {
        "secret" => ("secretName", format!("{field}.secret")),
        "configMap" => ("name", format!("{field}.configMap")),
        "hostPath" => ("path", format!("{field}.hostPath")),
        "persistentVolumeClaim" => ("claimName", format!("{field}.persistentVolumeClaim")),
        _ => return,
    };
    if text(inner, member).is_empty() {
        report.required(format!("{field}.{member}"));
    }
    for (index, item) in list(inner, "items").iter().enumerate() {
        for member in ["key", "path"] {
            if text(item, member).is_empty() {
                report.required(format!("{field}.items[{index}].{member}"));
            }
        }
        let path = text(item, "path");
        if path.starts_with('/') {
            let field = format!("{field}.items[{index}].path");
            report.invalid(field, &json!(path), "must be a relative path");
        } else if path.split('/').any(|part| part == "..") {
            let field = format!("{field}.items[{index}].path");
            report.invalid(field, &json!(path), "must not contain '..'");
        }
    }
}

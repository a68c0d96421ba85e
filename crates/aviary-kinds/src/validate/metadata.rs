//! Rules of `metadata`, the same for all kinds but for the form of names.

use serde_json::{Value, json};

use super::{Report, entries, list, name, text};
use crate::{
    kind::{Kind, Rules},
    status::Cause,
};

/// All annotations together.
const ANNOTATION_BYTES: usize = 256 * 1024;

pub(super) fn check(report: &mut Report, kind: &Kind, object: &Value) {
    let metadata = &object["metadata"];
    names(report, kind, metadata);
    labels(report, "metadata.labels", metadata);
    annotations(report, "metadata.annotations", metadata);
    for finalizer in list(metadata, "finalizers") {
        for detail in name::qualified(finalizer.as_str().unwrap_or_default()) {
            report.invalid("metadata.finalizers", finalizer, detail);
        }
    }
    owners(report, metadata);
}

fn names(report: &mut Report, kind: &Kind, metadata: &Value) {
    let rule = match (&kind.rules, &*kind.kind) {
        (Rules::BuiltIn, "Namespace") => name::label,
        (Rules::BuiltIn, "Service") => name::label_1035,
        _ => name::subdomain,
    };
    report.name("metadata.name".to_owned(), metadata.get("name"), rule);
    if kind.namespaced() {
        report.name(
            "metadata.namespace".to_owned(),
            metadata.get("namespace"),
            name::label,
        );
    } else if !text(metadata, "namespace").is_empty() {
        report.forbidden("metadata.namespace", "not allowed on this type");
    }
}

/// Rules of `labels` inside `holder`; `field` is its path.
pub(super) fn labels(report: &mut Report, field: &str, holder: &Value) {
    label_map(report, field, holder, "labels");
}

/// Rules of a map of labels or of a selector.
pub(super) fn label_map(report: &mut Report, field: &str, holder: &Value, member: &str) {
    for (key, value) in entries(holder, member) {
        for detail in name::qualified(key) {
            report.invalid(field, &json!(key), detail);
        }
        for detail in name::label_value(value.as_str().unwrap_or_default()) {
            report.invalid(field, value, detail);
        }
    }
}

pub(super) fn annotations(report: &mut Report, field: &str, holder: &Value) {
    let mut bytes = 0;
    for (key, value) in entries(holder, "annotations") {
        bytes += key.len() + value.as_str().map_or(0, str::len);
        for detail in name::qualified(&key.to_lowercase()) {
            report.invalid(field, &json!(key), detail);
        }
    }
    if bytes > ANNOTATION_BYTES {
        report.0.push(Cause::too_long(field, ANNOTATION_BYTES));
    }
}

fn owners(report: &mut Report, metadata: &Value) {
    let mut controllers = 0;
    for (index, owner) in list(metadata, "ownerReferences").iter().enumerate() {
        let field = format!("metadata.ownerReferences[{index}]");
        for (name, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, name).is_empty() {
                report.invalid(format!("{field}.{name}"), &json!(""), detail);
            }
        }
        controllers += usize::from(owner.get("controller") == Some(&json!(true)));
    }
    if controllers > 1 {
        report.invalid(
            "metadata.ownerReferences",
            &metadata["ownerReferences"],
            "Only one reference can have Controller set to true",
        );
    }
}

//! Rules of config maps, secrets, leases and events.

use serde_json::{Value, json};

use super::{Report, entries, name, text};
use crate::status::Cause;

/// Most bytes of all values of a config map or secret.
const DATA_BYTES: usize = 1024 * 1024;

pub(super) fn config_map(report: &mut Report, new: &Value, old: Option<&Value>) {
    let mut bytes = 0;
    for member in ["data", "binaryData"] {
        for (key, value) in entries(new, member) {
            bytes += value.as_str().map_or(0, str::len);
            key_form(report, member, key);
            if member == "binaryData" && new["data"].get(key).is_some() {
                report.invalid(
                    format!("data[{key}]"),
                    &json!(key),
                    "duplicate of key present in binaryData",
                );
            }
        }
    }
    if bytes > DATA_BYTES {
        report.0.push(Cause::too_long("", DATA_BYTES));
    }
    frozen(report, new, old, &["data", "binaryData"]);
}

fn key_form(report: &mut Report, member: &str, key: &str) {
    for detail in name::config_key(key) {
        report.invalid(format!("{member}[{key}]"), &json!(key), detail);
    }
}

/// `immutable: true` can neither be taken back nor written over.
fn frozen(report: &mut Report, new: &Value, old: Option<&Value>, members: &[&str]) {
    let Some(old) = old.filter(|old| old.get("immutable") == Some(&json!(true))) else {
        return;
    };
    let detail = "field is immutable when `immutable` is set";
    for member in members.iter().chain(&["immutable"]) {
        if new.get(*member) != old.get(*member) {
            report.forbidden(*member, detail);
        }
    }
}

pub(super) fn secret(report: &mut Report, new: &Value, old: Option<&Value>) {
    let mut bytes = 0;
    for (key, value) in entries(new, "data") {
        // Four letters of base64 hold three bytes.
        bytes += value.as_str().map_or(0, |text| text.len() / 4 * 3);
        key_form(report, "data", key);
    }
    if bytes > DATA_BYTES {
        report.0.push(Cause::too_long("data", DATA_BYTES));
    }
    let needed: &[&str] = match text(new, "type") {
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in needed {
        if new["data"].get(*key).is_none() {
            report.required(format!("data[{key}]"));
        }
    }
    if let Some(old) = old
        && old.get("type") != new.get("type")
    {
        report.invalid("type", &new["type"], "field is immutable");
    }
    frozen(report, new, old, &["data"]);
}

pub(super) fn lease(report: &mut Report, new: &Value) {
    let spec = &new["spec"];
    if let Some(seconds) = spec.get("leaseDurationSeconds")
        && seconds.as_i64().is_none_or(|seconds| seconds <= 0)
    {
        report.invalid(
            "spec.leaseDurationSeconds",
            seconds,
            "must be greater than 0",
        );
    }
    report.non_negative(
        "spec.leaseTransitions".to_owned(),
        spec.get("leaseTransitions"),
    );
}

pub(super) fn event(report: &mut Report, new: &Value) {
    let about = text(&new["involvedObject"], "namespace");
    let namespace = text(&new["metadata"], "namespace");
    // Events of objects without namespace are kept in `default`.
    let fits = if about.is_empty() {
        matches!(namespace, "default" | "kube-system")
    } else {
        about == namespace
    };
    if !fits {
        let detail = "does not match event.namespace";
        report.invalid("involvedObject.namespace", &json!(about), detail);
    }
}

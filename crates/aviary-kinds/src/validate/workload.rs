//! Rules of deployments and replica sets.

use serde_json::{Value, json};

use super::{Report, pod, text};
use crate::status::Cause;

pub(super) fn deployment(report: &mut Report, new: &Value, old: Option<&Value>) {
    let spec = &new["spec"];
    replicated(report, spec, old, "deployment");
    for name in [
        "minReadySeconds",
        "revisionHistoryLimit",
        "progressDeadlineSeconds",
    ] {
        report.non_negative(format!("spec.{name}"), spec.get(name));
    }
    strategy(report, &spec["strategy"]);
    let (deadline, ready) = (&spec["progressDeadlineSeconds"], &spec["minReadySeconds"]);
    if let (Some(seconds), ready) = (deadline.as_i64(), ready.as_i64().unwrap_or(0))
        && seconds <= ready
    {
        report.invalid(
            "spec.progressDeadlineSeconds",
            deadline,
            "must be greater than minReadySeconds",
        );
    }
}

pub(super) fn replica_set(report: &mut Report, new: &Value, old: Option<&Value>) {
    let spec = &new["spec"];
    replicated(report, spec, old, "replicaset");
    report.non_negative(
        "spec.minReadySeconds".to_owned(),
        spec.get("minReadySeconds"),
    );
}

/// Replicas, selector and template.
fn replicated(report: &mut Report, spec: &Value, old: Option<&Value>, word: &str) {
    report.non_negative("spec.replicas".to_owned(), spec.get("replicas"));
    let template = &spec["template"];
    match spec.get("selector") {
        None => report.required("spec.selector"),
        Some(selector) if selector.as_object().is_some_and(serde_json::Map::is_empty) => {
            let detail = format!("empty selector is invalid for {word}");
            report.invalid("spec.selector", selector, &detail);
        }
        Some(selector) => {
            pod::selector(report, "spec.selector", selector);
            if !pod::selects(selector, &template["metadata"]) {
                let empty = json!({});
                let labels = template["metadata"].get("labels").unwrap_or(&empty);
                let detail = "`selector` does not match template `labels`";
                report.invalid("spec.template.metadata.labels", labels, detail);
            }
            if let Some(old) = old
                && old["spec"]["selector"] != *selector
            {
                report.invalid("spec.selector", selector, "field is immutable");
            }
        }
    }
    if spec.get("template").is_none() {
        report.required("spec.template");
        return;
    }
    pod::template(report, "spec.template", template);
}

fn strategy(report: &mut Report, strategy: &Value) {
    let kinds = ["Recreate", "RollingUpdate"];
    report.one_of(
        "spec.strategy.type".to_owned(),
        strategy.get("type"),
        &kinds,
    );
    let rolling = strategy.get("rollingUpdate");
    match (text(strategy, "type"), rolling) {
        ("Recreate", Some(_)) => report.forbidden(
            "spec.strategy.rollingUpdate",
            "may not be specified when strategy `type` is 'Recreate'",
        ),
        ("RollingUpdate", None) => {
            let detail = "this should be defaulted and never be nil";
            report
                .0
                .push(Cause::required("spec.strategy.rollingUpdate", detail));
        }
        ("RollingUpdate", Some(rolling)) => rolling_update(report, rolling),
        _ => {}
    }
}

fn rolling_update(report: &mut Report, rolling: &Value) {
    for name in ["maxUnavailable", "maxSurge"] {
        let field = format!("spec.strategy.rollingUpdate.{name}");
        let Some(value) = rolling.get(name) else {
            continue;
        };
        match value.as_str() {
            None => report.non_negative(field, Some(value)),
            Some(text) => match percent(text) {
                None => {
                    let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
                    report.invalid(field, value, detail);
                }
                Some(percent) if percent > 100 && name == "maxUnavailable" => {
                    report.invalid(field, value, "must not be greater than 100%");
                }
                Some(_) => {}
            },
        }
    }
    let zero = |name: &str| {
        rolling
            .get(name)
            .is_none_or(|value| *value == 0 || *value == "0%")
    };
    if zero("maxUnavailable") && zero("maxSurge") {
        let field = "spec.strategy.rollingUpdate.maxUnavailable";
        report.invalid(
            field,
            &rolling["maxUnavailable"],
            "may not be 0 when `maxSurge` is 0",
        );
    }
}

fn percent(text: &str) -> Option<u32> {
    let digits = text.strip_suffix('%')?;
    digits
        .chars()
        .all(|c| c.is_ascii_digit())
        .then(|| digits.parse().ok())
        .flatten()
}

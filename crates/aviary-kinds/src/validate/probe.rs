//! Rules of probes and lifecycle hooks.

use serde_json::{Value, json};

use super::{Report, list, text};
use crate::status::Cause;

pub(super) fn check(report: &mut Report, field: &str, container: &Value) {
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get(name) else {
            continue;
        };
        let field = format!("{field}.{name}");
        handler(
            report,
            &field,
            probe,
            &["exec", "httpGet", "tcpSocket", "grpc"],
        );
        for number in [
            "initialDelaySeconds",
            "timeoutSeconds",
            "periodSeconds",
            "successThreshold",
            "failureThreshold",
        ] {
            report.non_negative(format!("{field}.{number}"), probe.get(number));
        }
        if let Some(threshold) = probe.get("successThreshold")
            && name != "readinessProbe"
            && *threshold != 1
        {
            report.invalid(format!("{field}.successThreshold"), threshold, "must be 1");
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(found) = container
            .get("lifecycle")
            .and_then(|lifecycle| lifecycle.get(hook))
        {
            let field = format!("{field}.lifecycle.{hook}");
            handler(
                report,
                &field,
                found,
                &["exec", "httpGet", "tcpSocket", "sleep"],
            );
        }
    }
}

/// Exactly one way to act.
fn handler(report: &mut Report, field: &str, holder: &Value, kinds: &[&str]) {
    let given: Vec<&str> = kinds
        .iter()
        .copied()
        .filter(|k| holder.get(*k).is_some())
        .collect();
    let Some((first, more)) = given.split_first() else {
        report
            .0
            .push(Cause::required(field, "must specify a handler type"));
        return;
    };
    for kind in more {
        let detail = "may not specify more than 1 handler type";
        report.forbidden(format!("{field}.{kind}"), detail);
    }
    let action = &holder[*first];
    let field = format!("{field}.{first}");
    match *first {
        "exec" if list(action, "command").is_empty() => {
            report.required(format!("{field}.command"));
        }
        "httpGet" => {
            if text(action, "path").is_empty() {
                report.required(format!("{field}.path"));
            }
            report.port_or_name(format!("{field}.port"), &action["port"]);
            let schemes = ["HTTP", "HTTPS"];
            report.one_of(format!("{field}.scheme"), action.get("scheme"), &schemes);
        }
        "tcpSocket" => report.port_or_name(format!("{field}.port"), &action["port"]),
        "grpc" => report.port(format!("{field}.port"), &action["port"]),
        "sleep" if action["seconds"].as_i64().unwrap_or(0) < 0 => {
            report.invalid(field, &json!(action["seconds"]), "must be non-negative");
        }
        _ => {}
    }
}

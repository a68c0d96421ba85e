//! Rules of a pod's specification.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Report, container, entries, list, metadata, name, text, volume};

/// Whose specification it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A pod's own.
    Pod,
    /// A template's, which must restart its containers always.
    Template,
}

pub(super) fn check(report: &mut Report, field: &str, spec: Option<&Value>, owner: Owner) {
    let empty = json!({});
    let spec = spec.unwrap_or(&empty);
    let volumes = volume::check(report, &format!("{field}.volumes"), spec);
    containers(report, field, spec, &volumes);
    let policies: &[&str] = match owner {
        Owner::Pod => &["Always", "OnFailure", "Never"],
        Owner::Template => &["Always"],
    };
    report.one_of(
        format!("{field}.restartPolicy"),
        spec.get("restartPolicy"),
        policies,
    );
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    report.one_of(
        format!("{field}.dnsPolicy"),
        spec.get("dnsPolicy"),
        &policies,
    );
    report.non_negative(
        format!("{field}.terminationGracePeriodSeconds"),
        spec.get("terminationGracePeriodSeconds"),
    );
    if let Some(deadline) = spec.get("activeDeadlineSeconds")
        && !deadline
            .as_i64()
            .is_some_and(|seconds| (1..=2_147_483_647).contains(&seconds))
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        report.invalid(format!("{field}.activeDeadlineSeconds"), deadline, detail);
    }
    metadata::label_map(
        report,
        &format!("{field}.nodeSelector"),
        spec,
        "nodeSelector",
    );
    for (member, rule) in [
        (
            "serviceAccountName",
            name::subdomain as fn(&str) -> Vec<&'static str>,
        ),
        ("nodeName", name::subdomain),
        ("hostname", name::label),
        ("subdomain", name::label),
    ] {
        if !text(spec, member).is_empty() {
            report.name(format!("{field}.{member}"), spec.get(member), rule);
        }
    }
    for (index, secret) in list(spec, "imagePullSecrets").iter().enumerate() {
        if text(secret, "name").is_empty() {
            report.required(format!("{field}.imagePullSecrets[{index}].name"));
        }
    }
    tolerations(report, field, spec);
    host_aliases(report, field, spec);
    if owner == Owner::Template && !list(spec, "ephemeralContainers").is_empty() {
        report.forbidden(
            format!("{field}.ephemeralContainers"),
            "ephemeral containers not allowed in pod template",
        );
    }
}

fn containers(report: &mut Report, field: &str, spec: &Value, volumes: &BTreeSet<String>) {
    let path = format!("{field}.containers");
    if list(spec, "containers").is_empty() {
        report.required(path.clone());
    }
    let mut names = BTreeSet::new();
    for (member, role) in [
        ("containers", container::Role::Main),
        ("initContainers", container::Role::Init),
    ] {
        for (index, item) in list(spec, member).iter().enumerate() {
            let field = format!("{field}.{member}[{index}]");
            container::check(report, &field, item, role, volumes);
            let name = text(item, "name");
            if !name.is_empty() && !names.insert(name) {
                report.duplicate(format!("{field}.name"), &json!(name));
            }
        }
    }
    // Two containers may not take the same port of the node.
    let mut taken = BTreeSet::new();
    for (index, item) in list(spec, "containers").iter().enumerate() {
        for (at, port) in list(item, "ports").iter().enumerate() {
            let Some(host) = port
                .get("hostPort")
                .and_then(Value::as_i64)
                .filter(|p| *p > 0)
            else {
                continue;
            };
            let key = format!("{}/{}/{host}", text(port, "protocol"), text(port, "hostIP"));
            if !taken.insert(key.clone()) {
                report.duplicate(format!("{path}[{index}].ports[{at}].hostPort"), &json!(key));
            }
        }
    }
}

fn tolerations(report: &mut Report, field: &str, spec: &Value) {
    for (index, toleration) in list(spec, "tolerations").iter().enumerate() {
        let field = format!("{field}.tolerations[{index}]");
        let key = text(toleration, "key");
        let operator = text(toleration, "operator");
        for detail in if key.is_empty() {
            Vec::new()
        } else {
            name::qualified(key)
        } {
            report.invalid(format!("{field}.key"), &json!(key), detail);
        }
        if key.is_empty() && operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            report.invalid(format!("{field}.operator"), &json!(operator), detail);
        }
        if !operator.is_empty() {
            let supported = ["Equal", "Exists"];
            report.one_of(
                format!("{field}.operator"),
                toleration.get("operator"),
                &supported,
            );
        }
        if operator == "Exists" && !text(toleration, "value").is_empty() {
            let detail = "value must be empty when `operator` is 'Exists'";
            report.invalid(format!("{field}.operator"), toleration, detail);
        }
        if !text(toleration, "effect").is_empty() {
            let supported = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            report.one_of(
                format!("{field}.effect"),
                toleration.get("effect"),
                &supported,
            );
        }
    }
}

fn host_aliases(report: &mut Report, field: &str, spec: &Value) {
    for (index, alias) in list(spec, "hostAliases").iter().enumerate() {
        let ip = text(alias, "ip");
        if ip.parse::<std::net::IpAddr>().is_err() {
            let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
            report.invalid(
                format!("{field}.hostAliases[{index}].ip"),
                &json!(ip),
                detail,
            );
        }
    }
}

/// Rules of a pod template.
pub(super) fn template(report: &mut Report, field: &str, template: &Value) {
    let meta = &template["metadata"];
    metadata::labels(report, &format!("{field}.metadata.labels"), meta);
    metadata::annotations(report, &format!("{field}.metadata.annotations"), meta);
    check(
        report,
        &format!("{field}.spec"),
        template.get("spec"),
        Owner::Template,
    );
}

/// Rules of a label selector object.
pub(super) fn selector(report: &mut Report, field: &str, selector: &Value) {
    metadata::label_map(
        report,
        &format!("{field}.matchLabels"),
        selector,
        "matchLabels",
    );
    for (index, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let field = format!("{field}.matchExpressions[{index}]");
        report.name(
            format!("{field}.key"),
            expression.get("key"),
            name::qualified,
        );
        let values = list(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                report.0.push(crate::status::Cause::required(
                    format!("{field}.values"),
                    detail,
                ));
            }
            "In" | "NotIn" => {}
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    let detail =
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    report.forbidden(format!("{field}.values"), detail);
                }
            }
            other => {
                report.invalid(
                    format!("{field}.operator"),
                    &json!(other),
                    "not a valid selector operator",
                );
            }
        }
    }
}

/// Whether a label selector object selects these labels.
pub(super) fn selects(selector: &Value, holder: &Value) -> bool {
    let label = |key: &str| holder.get("labels").and_then(|labels| labels.get(key));
    let equal = entries(selector, "matchLabels").all(|(key, value)| label(key) == Some(value));
    equal
        && list(selector, "matchExpressions").iter().all(|expression| {
            let found = label(text(expression, "key"));
            let listed = found.is_some_and(|found| list(expression, "values").contains(found));
            match text(expression, "operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => found.is_some(),
                "DoesNotExist" => found.is_none(),
                _ => false,
            }
        })
}

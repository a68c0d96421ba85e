//! Rules of containers.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Report, entries, list, name, probe, text};
use crate::{quantity::Quantity, status::Cause};

/// Where the container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Main,
    Init,
}

pub(super) fn check(
    report: &mut Report,
    field: &str,
    container: &Value,
    role: Role,
    volumes: &BTreeSet<String>,
) {
    report.name(format!("{field}.name"), container.get("name"), name::label);
    let image = text(container, "image");
    if image.is_empty() {
        report.required(format!("{field}.image"));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        report.invalid(format!("{field}.image"), &json!(image), detail);
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    report.one_of(
        format!("{field}.imagePullPolicy"),
        container.get("imagePullPolicy"),
        &policies,
    );
    let policies = ["FallbackToLogsOnError", "File"];
    report.one_of(
        format!("{field}.terminationMessagePolicy"),
        container.get("terminationMessagePolicy"),
        &policies,
    );
    ports(report, field, container);
    environment(report, field, container);
    mounts(report, field, container, volumes);
    resources(report, field, container);
    let restart = container.get("restartPolicy");
    let sidecar = role == Role::Init && restart == Some(&json!("Always"));
    if role == Role::Init {
        report.maybe_one_of(
            format!("{field}.restartPolicy"),
            restart,
            &["Always", "Never", "OnFailure"],
        );
    }
    if role == Role::Main || sidecar {
        probe::check(report, field, container);
        return;
    }
    for member in [
        "lifecycle",
        "livenessProbe",
        "readinessProbe",
        "startupProbe",
    ] {
        if container.get(member).is_some() {
            let detail = "may not be set for init containers without restartPolicy=Always";
            report.forbidden(format!("{field}.{member}"), detail);
        }
    }
}

fn ports(report: &mut Report, field: &str, container: &Value) {
    let mut names = BTreeSet::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let field = format!("{field}.ports[{index}]");
        let port_name = text(port, "name");
        if !port_name.is_empty() {
            report.name(format!("{field}.name"), port.get("name"), name::port_name);
            if !names.insert(port_name) {
                report.duplicate(format!("{field}.name"), &json!(port_name));
            }
        }
        match port.get("containerPort") {
            None => report.required(format!("{field}.containerPort")),
            Some(number) if *number == 0 => report.required(format!("{field}.containerPort")),
            Some(number) => report.port(format!("{field}.containerPort"), number),
        }
        if let Some(host) = port.get("hostPort")
            && *host != 0
        {
            report.port(format!("{field}.hostPort"), host);
        }
        report.one_of(
            format!("{field}.protocol"),
            port.get("protocol"),
            &["SCTP", "TCP", "UDP"],
        );
    }
}

fn environment(report: &mut Report, field: &str, container: &Value) {
    for (index, variable) in list(container, "env").iter().enumerate() {
        let field = format!("{field}.env[{index}]");
        report.name(
            format!("{field}.name"),
            variable.get("name"),
            name::environment,
        );
        let Some(from) = variable.get("valueFrom") else {
            continue;
        };
        let field = format!("{field}.valueFrom");
        let sources = from.as_object().map_or(0, serde_json::Map::len);
        if sources == 0 {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            report.invalid(field.clone(), &json!(""), detail);
        } else if sources > 1 {
            report.invalid(
                field.clone(),
                &json!(""),
                "may not have more than one field specified at a time",
            );
        } else if !text(variable, "value").is_empty() {
            report.invalid(
                field.clone(),
                &json!(""),
                "may not be specified when `value` is not empty",
            );
        }
        for (source, member) in [
            ("configMapKeyRef", "key"),
            ("secretKeyRef", "key"),
            ("fieldRef", "fieldPath"),
        ] {
            if let Some(found) = from.get(source)
                && text(found, member).is_empty()
            {
                report.required(format!("{field}.{source}.{member}"));
            }
        }
        if let Some(reference) = from.get("fieldRef") {
            field_path(
                report,
                &format!("{field}.fieldRef.fieldPath"),
                text(reference, "fieldPath"),
            );
        }
    }
}

/// Fields of the pod that its containers may read.
const FIELD_PATHS: [&str; 11] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "metadata.labels",
    "metadata.annotations",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn field_path(report: &mut Report, field: &str, path: &str) {
    let base = path.split_once("['").map_or(path, |(base, _)| base);
    if !path.is_empty() && !FIELD_PATHS.contains(&base) {
        report
            .0
            .push(Cause::unsupported(field, &json!(path), &FIELD_PATHS));
    }
}

fn mounts(report: &mut Report, field: &str, container: &Value, volumes: &BTreeSet<String>) {
    let mut paths = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let field = format!("{field}.volumeMounts[{index}]");
        let volume = text(mount, "name");
        if volume.is_empty() {
            report.required(format!("{field}.name"));
        } else if !volumes.contains(volume) {
            report
                .0
                .push(Cause::not_found(format!("{field}.name"), &json!(volume)));
        }
        let path = text(mount, "mountPath");
        if path.is_empty() {
            report.required(format!("{field}.mountPath"));
        } else if !paths.insert(path) {
            report.invalid(format!("{field}.mountPath"), &json!(path), "must be unique");
        }
        let sub = text(mount, "subPath");
        if sub.starts_with('/') {
            report.invalid(
                format!("{field}.subPath"),
                &json!(sub),
                "must be a relative path",
            );
        }
        if sub.split('/').any(|part| part == "..") {
            report.invalid(
                format!("{field}.subPath"),
                &json!(sub),
                "must not contain '..'",
            );
        }
    }
}

fn resources(report: &mut Report, field: &str, container: &Value) {
    let Some(resources) = container.get("resources") else {
        return;
    };
    let field = format!("{field}.resources");
    for side in ["limits", "requests"] {
        for (name, value) in entries(resources, side) {
            let field = format!("{field}.{side}.{name}");
            match value.as_str().map(Quantity::parse) {
                Some(Some(quantity)) if quantity.milli() >= 0 => {}
                Some(Some(_)) => {
                    report.invalid(field, value, "must be greater than or equal to 0");
                }
                _ => report.invalid(field, value, "must be a quantity such as 100m or 64Mi"),
            }
        }
    }
    for (name, value) in entries(resources, "requests") {
        let limit = resources.get("limits").and_then(|limits| limits.get(name));
        let Some(limit) = limit.and_then(Value::as_str) else {
            continue;
        };
        let request = value
            .as_str()
            .and_then(Quantity::parse)
            .map(Quantity::milli);
        if request > Quantity::parse(limit).map(Quantity::milli) {
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            report.invalid(format!("{field}.requests"), value, &detail);
        }
    }
}

//! What is wrong with an object.
//!
//! Source: Kubernetes `pkg/apis/*/validation` and `apimachinery/pkg/api/validation` (rules and
//! texts).

use serde_json::{Map, Value, json};

use crate::{
    crd,
    kind::{Kind, Rules},
    status::Cause,
};

mod container;
mod data;
mod endpoint;
mod immutable;
mod metadata;
mod name;
mod pod;
mod probe;
mod service;
#[cfg(test)]
mod tests;
mod volume;
mod workload;

pub(crate) fn validate(kind: &Kind, new: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut report = Report::default();
    metadata::check(&mut report, kind, new);
    match &kind.rules {
        Rules::BuiltIn => builtin(&mut report, kind, new, old),
        Rules::Custom { rules, .. } => report.0.extend(rules.validate(new, old)),
    }
    report.0
}

fn builtin(report: &mut Report, kind: &Kind, new: &Value, old: Option<&Value>) {
    match &*kind.kind {
        "Pod" => {
            pod::check(report, "spec", new.get("spec"), pod::Owner::Pod);
            if let Some(old) = old {
                immutable::pod(report, new, old);
            }
        }
        "Deployment" => workload::deployment(report, new, old),
        "ReplicaSet" => workload::replica_set(report, new, old),
        "Service" => service::check(report, new, old),
        "EndpointSlice" => endpoint::slice(report, new, old),
        "Endpoints" => endpoint::endpoints(report, new),
        "ConfigMap" => data::config_map(report, new, old),
        "Secret" => data::secret(report, new, old),
        "Lease" => data::lease(report, new),
        "Event" if kind.group.is_empty() => data::event(report, new),
        "CustomResourceDefinition" => report.0.extend(crd::validate(new, old)),
        _ => {}
    }
}

/// Findings so far.
#[derive(Default)]
struct Report(Vec<Cause>);

impl Report {
    fn required(&mut self, field: impl Into<String>) {
        self.0.push(Cause::required(field, ""));
    }

    fn invalid(&mut self, field: impl Into<String>, value: &Value, detail: &str) {
        self.0.push(Cause::invalid(field, value, detail));
    }

    fn duplicate(&mut self, field: impl Into<String>, value: &Value) {
        self.0.push(Cause::duplicate(field, value));
    }

    fn forbidden(&mut self, field: impl Into<String>, detail: &str) {
        self.0.push(Cause::forbidden(field, detail));
    }

    /// A field that must be there and be one of a few words.
    fn one_of(&mut self, field: String, value: Option<&Value>, supported: &[&str]) {
        match value.and_then(Value::as_str) {
            None | Some("") => self.required(field),
            Some(word) if supported.contains(&word) => {}
            Some(word) => self
                .0
                .push(Cause::unsupported(field, &json!(word), supported)),
        }
    }

    /// As `one_of` for a field that may be absent.
    fn maybe_one_of(&mut self, field: String, value: Option<&Value>, supported: &[&str]) {
        if value.is_some() {
            self.one_of(field, value, supported);
        }
    }

    fn non_negative(&mut self, field: String, value: Option<&Value>) {
        if let Some(value) = value
            && value.as_i64().is_some_and(|number| number < 0)
        {
            self.invalid(field, value, "must be greater than or equal to 0");
        }
    }

    /// A port number.
    fn port(&mut self, field: String, value: &Value) {
        if !value
            .as_i64()
            .is_some_and(|number| (1..=65_535).contains(&number))
        {
            self.invalid(field, value, "must be between 1 and 65535, inclusive");
        }
    }

    /// A port number or the name of one.
    fn port_or_name(&mut self, field: String, value: &Value) {
        match value.as_str() {
            None => self.port(field, value),
            Some(text) => {
                for detail in name::port_name(text) {
                    self.invalid(field.clone(), value, detail);
                }
            }
        }
    }

    /// Runs a name rule; absent names are required.
    fn name(&mut self, field: String, value: Option<&Value>, rule: fn(&str) -> Vec<&'static str>) {
        match value.and_then(Value::as_str) {
            None | Some("") => self.required(field),
            Some(text) => {
                for detail in rule(text) {
                    self.invalid(field.clone(), &json!(text), detail);
                }
            }
        }
    }
}

/// The text of a field; empty when absent.
fn text<'a>(map: &'a Value, name: &str) -> &'a str {
    map.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a list field.
fn list<'a>(map: &'a Value, name: &str) -> &'a [Value] {
    map.get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The entries of a map field.
fn entries<'a>(map: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    map.get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

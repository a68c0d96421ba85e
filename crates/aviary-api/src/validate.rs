//! What makes an object of the mesh's kinds unacceptable, beyond its schema.
//!
//! A field that Istio has and Aviary does not honour yet is refused here with its path: accepted
//! and ignored would be worse.

mod virtual_service;
mod destination_rule;
mod gateway;
mod release;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::{
    DestinationRule, Gateway, NETWORKING_GROUP, Release, VirtualService, duration, schema,
};

/// One reason why an object is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Path of the field, e.g. `spec.http[0].route[1].weight`.
    pub path: String,
    /// What is wrong and what to do, without the path.
    pub message: String,
}

/// Whether objects of `kind` of `group` are judged when they are written: the served kinds that
/// [`validate`] knows. `Release` is not served yet.
pub fn judges(group: &str, kind: &str) -> bool {
    group == NETWORKING_GROUP && matches!(kind, "VirtualService" | "DestinationRule" | "Gateway")
}

/// Judges an object of one of the mesh's kinds; empty when it may be stored.
///
/// Other kinds have no findings.
pub fn validate(kind: &str, object: &Value) -> Vec<Finding> {
    let fields = match kind {
        "VirtualService" => schema::virtual_service::spec(),
        "DestinationRule" => schema::destination_rule::spec(),
        "Gateway" => schema::gateway::spec(),
        "Release" => schema::release::spec(),
        _ => return Vec::new(),
    };
    let mut findings = Findings::default();
    let Some(spec) = object.get("spec").filter(|spec| !spec.is_null()) else {
        findings.add("spec", "is missing");
        return findings.0;
    };
    let mut refused = Vec::new();
    fields.refused(spec, "spec", &mut refused);
    for field in refused {
        if field.known {
            findings.add(field.path, "not honoured yet by Aviary; remove it");
        } else {
            findings.add(
                field.path,
                "unknown field; remove it or correct its spelling",
            );
        }
    }
    let parsed = match kind {
        "VirtualService" => VirtualService::from_value(object)
            .map(|object| virtual_service::check(&object, &mut findings)),
        "DestinationRule" => DestinationRule::from_value(object)
            .map(|object| destination_rule::check(&object, &mut findings)),
        "Release" => {
            Release::from_value(object).map(|object| release::check(&object, &mut findings))
        }
        _ => Gateway::from_value(object).map(|object| gateway::check(&object, &mut findings)),
    };
    if let Err(error) = parsed {
        findings.add("spec", error.to_string());
    }
    findings.0
}

/// Collects findings.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Finding {
            path: path.into(),
            message: message.into(),
        });
    }

    /// A duration of at least one millisecond (Istio's rule), or zero where `zero` allows it.
    fn duration(&mut self, path: &str, text: Option<&str>, zero: bool) {
        let Some(text) = text else { return };
        match duration::parse(text) {
            Err(error) => self.add(path, error.to_string()),
            Ok(time) if time.is_zero() && zero => {}
            Ok(time) if time.as_micros() < 1_000 => {
                self.add(path, format!("`{text}` is too short; the least is `1ms`"));
            }
            Ok(_) => {}
        }
    }

    /// Whole seconds, or zero.
    fn seconds(&mut self, path: &str, text: Option<&str>) {
        self.duration(path, text, true);
        if let Some(Ok(time)) = text.map(duration::parse)
            && time.subsec_nanos() != 0
        {
            self.add(path, "must be whole seconds");
        }
    }

    fn port(&mut self, path: &str, number: u32) {
        if !(1..=65535).contains(&number) {
            self.add(path, format!("{number} is not a port; use 1 to 65535"));
        }
    }

    fn percent(&mut self, path: &str, value: f64) {
        if !(0.0..=100.0).contains(&value) {
            self.add(path, format!("{value} is not a percentage; use 0 to 100"));
        }
    }

    fn regex(&mut self, path: &str, pattern: &str) {
        const LONGEST: usize = 1024;
        if pattern.len() > LONGEST {
            self.add(
                path,
                format!("the expression is longer than {LONGEST} characters"),
            );
        } else if let Err(error) = regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
            .size_limit(1 << 20)
            .build()
        {
            let last = error.to_string();
            let reason = last.lines().last().unwrap_or_default();
            self.add(
                path,
                format!("`{pattern}` is not a regular expression ({reason})"),
            );
        }
    }

    /// A host name: labels of letters, digits and `-`, or `*` alone or as first label.
    fn host(&mut self, path: &str, host: &str) {
        if host.is_empty() {
            self.add(path, "is empty; name a host");
        } else if !is_host(host) {
            self.add(
                path,
                format!("`{host}` is not a host; use a name such as `reviews`, `a.example.com` or `*.example.com`"),
            );
        }
    }
}

/// Whether `host` is a wildcard, a DNS name, or an IP address.
fn is_host(host: &str) -> bool {
    if host == "*" || host.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    host.len() <= 255 && name.split('.').all(is_label)
}

/// Whether `label` may stand between the dots of a DNS name.
fn is_label(label: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    label.len() <= 63
        && edge(label.as_bytes().first())
        && edge(label.as_bytes().last())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

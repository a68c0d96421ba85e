//! The label set of Istio's standard metrics.

use std::fmt::Write as _;

use aviary_mesh::cluster::ServiceLabels;
use aviary_mesh::endpoint::WorkloadLabels;

/// Which side of a hop reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The caller's sidecar, or a gateway.
    Source,
    /// The called workload's sidecar.
    Destination,
}

/// What was spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 or HTTP/2 without gRPC.
    Http,
    /// gRPC.
    Grpc,
    /// Bytes.
    Tcp,
}

/// How the connection was protected, as far as the reporter can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// Both sides proved who they are.
    MutualTls,
    /// Plain text.
    None,
    /// The source does not say.
    Unknown,
}

/// The labels of a series as they are written; each side with the identity that it proved.
///
/// Source: Istio standard metrics. Empty strings are written as `unknown`, so that no tool that
/// expects the whole set skips the series.
pub(crate) struct Written<'a> {
    pub(crate) reporter: Reporter,
    pub(crate) source: (&'a WorkloadLabels, &'a str),
    pub(crate) destination: (&'a WorkloadLabels, &'a str),
    pub(crate) service: &'a ServiceLabels,
    pub(crate) protocol: Protocol,
    pub(crate) code: u16,
    pub(crate) grpc_status: &'a str,
    pub(crate) flags: &'a str,
    pub(crate) security: Security,
}

impl Written<'_> {
    /// Prometheus' text form, without braces, in a fixed order.
    pub(crate) fn text(&self) -> String {
        let mut text = String::with_capacity(900);
        let mut put = |name: &str, value: &str| {
            let separator = if text.is_empty() { "" } else { "," };
            let _ = write!(text, "{separator}{name}=\"");
            escape(value, &mut text);
            text.push('"');
        };
        put(
            "reporter",
            match self.reporter {
                Reporter::Source => "source",
                Reporter::Destination => "destination",
            },
        );
        workload("source", self.source, &mut put);
        workload("destination", self.destination, &mut put);
        put("destination_service", known(&self.service.host));
        put("destination_service_name", known(&self.service.name));
        put(
            "destination_service_namespace",
            known(&self.service.namespace),
        );
        put(
            "request_protocol",
            match self.protocol {
                Protocol::Http => "http",
                Protocol::Grpc => "grpc",
                Protocol::Tcp => "tcp",
            },
        );
        if self.protocol != Protocol::Tcp {
            put("response_code", &self.code.to_string());
            put("grpc_response_status", self.grpc_status);
        }
        put("response_flags", self.flags);
        put(
            "connection_security_policy",
            match self.security {
                Security::MutualTls => "mutual_tls",
                Security::None => "none",
                Security::Unknown => "unknown",
            },
        );
        text
    }
}

fn known(value: &str) -> &str {
    if value.is_empty() { "unknown" } else { value }
}

fn workload(
    side: &str,
    (labels, principal): (&WorkloadLabels, &str),
    put: &mut impl FnMut(&str, &str),
) {
    let revision = if labels.canonical_revision.is_empty() && !labels.canonical_service.is_empty() {
        "latest"
    } else {
        known(&labels.canonical_revision)
    };
    for (name, value) in [
        ("workload", known(&labels.workload)),
        ("workload_namespace", known(&labels.namespace)),
        ("principal", known(principal)),
        ("app", known(&labels.app)),
        ("version", known(&labels.version)),
        ("canonical_service", known(&labels.canonical_service)),
        ("canonical_revision", revision),
        ("cluster", known(&labels.cluster_id)),
    ] {
        put(&format!("{side}_{name}"), value);
    }
}

fn escape(value: &str, text: &mut String) {
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

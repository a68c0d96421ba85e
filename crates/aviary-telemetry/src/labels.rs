//! The label set of Istio's standard metrics.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

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

/// The labels of one series.
///
/// Source: Istio standard metrics. Empty strings are written as `unknown`, so that no tool that
/// expects the whole set skips the series.
#[derive(Debug, Clone)]
pub struct Labels {
    /// Which side reports.
    pub reporter: Reporter,
    /// The caller.
    pub source: Arc<WorkloadLabels>,
    /// The called workload.
    pub destination: Arc<WorkloadLabels>,
    /// The called service.
    pub service: Arc<ServiceLabels>,
    /// What was spoken.
    pub protocol: Protocol,
    /// HTTP status; 0 when there was no reply. Not written for TCP.
    pub code: u16,
    /// `grpc-status` of the reply; empty when there was none. Not written for TCP.
    pub grpc_status: Cow<'static, str>,
    /// Envoy's response flags, `-` when none.
    pub flags: Cow<'static, str>,
    /// Protection of the connection.
    pub security: Security,
}

impl Labels {
    fn service_key(&self) -> (&str, &str, &str) {
        (
            &self.service.host,
            &self.service.name,
            &self.service.namespace,
        )
    }

    /// The labels in Prometheus' text form, without braces, in a fixed order.
    pub fn text(&self) -> String {
        Written {
            reporter: self.reporter,
            source: (&self.source, ""),
            destination: (&self.destination, ""),
            service: &self.service,
            protocol: self.protocol,
            code: self.code,
            grpc_status: &self.grpc_status,
            flags: &self.flags,
            security: self.security,
        }
        .text()
    }
}

/// The labels of a series as they are written; each side with the identity that it proved.
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

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.reporter == other.reporter
            && self.code == other.code
            && self.protocol == other.protocol
            && self.security == other.security
            && self.flags == other.flags
            && self.grpc_status == other.grpc_status
            && (Arc::ptr_eq(&self.service, &other.service) || self.service == other.service)
            && (Arc::ptr_eq(&self.source, &other.source) || self.source == other.source)
            && (Arc::ptr_eq(&self.destination, &other.destination)
                || self.destination == other.destination)
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    /// Over the parts that tell series apart best; equality looks at all of them.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.reporter.hash(state);
        self.code.hash(state);
        self.flags.hash(state);
        self.service_key().hash(state);
        self.source.workload.hash(state);
        self.destination.workload.hash(state);
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

//! Which requests and connections are logged, where, and in which form.
//!
//! The formats stand here as they were written; the telemetry crate compiles them.

use serde::{Deserialize, Serialize};

use crate::is_default;
use crate::matcher::HeaderMatch;

/// One log.
///
/// Source: Envoy `config.accesslog.v3.AccessLog` with a file or stream logger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessLog {
    /// Where lines go.
    pub sink: LogSink,
    /// What a line says.
    pub format: LogFormat,
    /// Which requests are logged; all of them when `None`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub filter: Option<LogFilter>,
}

impl AccessLog {
    /// Istio's default: its text line, for every request, to standard output.
    pub fn istio() -> Self {
        Self {
            sink: LogSink::Stdout,
            format: LogFormat::Text(ISTIO_FORMAT.to_owned()),
            filter: None,
        }
    }
}

/// Istio's default text format. Source: Istio `pilot/pkg/model/telemetry_logging.go`.
pub const ISTIO_FORMAT: &str = concat!(
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" ",
    "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% ",
    "%CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" ",
    "%BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ",
    "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" ",
    "\"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% ",
    "%UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% ",
    "%REQUESTED_SERVER_NAME% %ROUTE_NAME%\n",
);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogSink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(String),
}

/// What a line says, with Envoy's command operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// Envoy's own text line.
    Default,
    /// Text with operators, as it is written (with its line end).
    Text(String),
    /// The text of a JSON object (keys sorted) whose strings hold operators; one line for each.
    Json(String),
}

/// Which requests are logged.
///
/// Source: Envoy `config.accesslog.v3.AccessLogFilter`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFilter {
    /// By status; a request without one has 0.
    Status(Comparison),
    /// By duration in milliseconds.
    Duration(Comparison),
    /// Not those of a health checker.
    NotHealthCheck,
    /// Those that are traced.
    Traceable,
    /// This share of them, in percent.
    Share(f64),
    /// All of these hold.
    All(Vec<Self>),
    /// One of these holds.
    Any(Vec<Self>),
    /// A header of the request.
    Header(HeaderMatch),
    /// One of these response flags was raised (`UF`, `NR`, ...); any flag when empty.
    Flags(Vec<String>),
}

/// A comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Comparison {
    /// Equal.
    Equal(u32),
    /// Not equal.
    NotEqual(u32),
    /// At least.
    AtLeast(u32),
    /// At most.
    AtMost(u32),
}

impl Comparison {
    /// Whether it holds for `value`.
    pub fn holds(self, value: u64) -> bool {
        match self {
            Self::Equal(wanted) => value == u64::from(wanted),
            Self::NotEqual(wanted) => value != u64::from(wanted),
            Self::AtLeast(wanted) => value >= u64::from(wanted),
            Self::AtMost(wanted) => value <= u64::from(wanted),
        }
    }
}

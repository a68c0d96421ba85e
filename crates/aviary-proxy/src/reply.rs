//! The one place where an error becomes a reply, a flag and a reason.
//!
//! Source: Envoy's local replies, response flags and response code details.

use std::borrow::Cow;

use aviary_http::{Fields, Key, Name, ResponseHead};
use aviary_telemetry::Flags;
use bytes::Bytes;

use crate::forward::Late;

/// A reply that the proxy gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is asked for on its own"
)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// Envoy's response flags.
    pub(crate) flags: Flags,
    /// Envoy's response code details.
    pub(crate) details: Cow<'static, str>,
    /// Body, plain text.
    pub(crate) body: Cow<'static, str>,
    /// Why the connection to the endpoint failed, for the log.
    pub(crate) upstream_failure: Cow<'static, str>,
    /// A circuit breaker is open, or memory is short: the reply says so in a header.
    pub(crate) overloaded: bool,
    /// Nothing of the request reached the application: a proxy that asked is told in a header, and
    /// may ask another endpoint, whatever the method.
    pub(crate) unreached: bool,
    /// Fields that it has; few have any.
    pub(crate) fields: Option<Box<Fields>>,
    /// For callers of gRPC, instead of what follows from `status`.
    pub(crate) grpc_status: Option<u32>,
    /// Nobody is there to be given it.
    pub(crate) unwanted: bool,
    /// The connection ends with it.
    pub(crate) closes: bool,
    /// The route's edits apply to it.
    pub(crate) edited: bool,
}

/// How a stream to an endpoint broke before its answer began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reset {
    /// No connection; the system's words.
    Connect(String),
    /// No connection in time.
    ConnectTimeout,
    /// It closed.
    Terminated,
    /// The endpoint refused the stream.
    Refused,
    /// The endpoint reset the stream.
    Remote,
    /// What the endpoint sent is not HTTP.
    Protocol,
    /// A circuit breaker is open.
    Overflow,
}

impl Reply {
    /// A reply without flag, for `details`.
    pub(crate) fn plain(
        status: u16,
        details: &'static str,
        body: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            flags: Flags::NONE,
            details: Cow::Borrowed(details),
            body: body.into(),
            upstream_failure: Cow::Borrowed(""),
            overloaded: false,
            unreached: false,
            fields: None,
            grpc_status: None,
            unwanted: false,
            closes: false,
            edited: true,
        }
    }

    fn flagged(status: u16, flags: Flags, details: &'static str, body: &'static str) -> Self {
        Self {
            flags,
            ..Self::plain(status, details, body)
        }
    }

    /// No virtual host or route.
    pub(crate) fn no_route() -> Self {
        Self::flagged(404, Flags::NO_ROUTE, "route_not_found", "")
    }

    /// The route's cluster does not exist; a `status` of 0 means 503.
    pub(crate) fn no_cluster(status: u16) -> Self {
        let status = if status == 0 { 503 } else { status };
        Self::flagged(status, Flags::NO_CLUSTER, "cluster_not_found", "")
    }

    /// No endpoint may be given the request.
    pub(crate) fn no_endpoint() -> Self {
        Self::flagged(
            503,
            Flags::NO_HEALTHY_UPSTREAM,
            "no_healthy_upstream",
            "no healthy upstream",
        )
    }

    /// There is no memory for more.
    ///
    /// Source: Envoy's overload manager, with the header of its circuit breakers.
    pub(crate) fn overloaded() -> Self {
        Self {
            overloaded: true,
            ..Self::flagged(503, Flags::OVERLOAD_MANAGER, "overload", "envoy overloaded")
        }
    }

    /// A time ran out; `requested` says that all of the request came.
    ///
    /// Source: Envoy `Filter::onStreamMaxDurationReached`, `ActiveStream::onIdleTimeout`,
    /// `Http::Utility::maybeRequestTimeoutCode`.
    pub(crate) fn late(late: Late, requested: bool) -> Self {
        let (flags, details) = Self::late_words(late);
        let (status, body) = match late {
            Late::Whole | Late::Try | Late::TryIdle => (504, "upstream request timeout"),
            Late::Request if requested => (504, "request timeout"),
            Late::Slow | Late::Request => (408, "request timeout"),
            Late::Stream if requested => (504, "downstream duration timeout"),
            Late::Stream => (408, "downstream duration timeout"),
            Late::Idle if requested => (504, "stream timeout"),
            Late::Idle => (408, "stream timeout"),
        };
        Self::flagged(status, flags, details, body)
    }

    /// The flag and the details of a time that ran out.
    pub(crate) fn late_words(late: Late) -> (Flags, &'static str) {
        match late {
            Late::Whole => (Flags::UPSTREAM_REQUEST_TIMEOUT, "response_timeout"),
            Late::Try => (Flags::UPSTREAM_REQUEST_TIMEOUT, "upstream_per_try_timeout"),
            Late::TryIdle => (
                Flags::UPSTREAM_REQUEST_TIMEOUT,
                "upstream_per_try_idle_timeout",
            ),
            Late::Slow => (Flags::DOWNSTREAM_PROTOCOL_ERROR, "request_body_too_slow"),
            Late::Request => (Flags::NONE, "request_overall_timeout"),
            Late::Stream => (Flags::NONE, "max_duration_timeout"),
            Late::Idle => (Flags::STREAM_IDLE_TIMEOUT, "stream_idle_timeout"),
        }
    }

    /// The same, but the client is given 204, as it asked for by
    /// `x-envoy-upstream-rq-timeout-alt-response`.
    pub(crate) fn hidden(self) -> Self {
        Self {
            status: 204,
            body: Cow::Borrowed(""),
            ..self
        }
    }

    /// An injected abort.
    pub(crate) fn abort(status: u16, grpc_status: Option<u32>) -> Self {
        Self {
            grpc_status,
            ..Self::flagged(
                status,
                Flags::FAULT_INJECTED,
                "fault_filter_abort",
                "fault filter abort",
            )
        }
    }

    /// The same with one field more.
    pub(crate) fn with<'k>(mut self, name: impl Into<Key<'k>>, value: impl AsRef<[u8]>) -> Self {
        let fields = self.fields.get_or_insert_default();
        fields.append(name, value.as_ref());
        self
    }

    /// A stream that broke; `retried` says that it was not the first.
    pub(crate) fn reset(reset: &Reset, retried: bool) -> Self {
        let (flags, reason, transport) = match reset {
            Reset::Connect(words) => (
                Flags::UPSTREAM_CONNECTION_FAILURE,
                "remote connection failure",
                words.as_str(),
            ),
            Reset::ConnectTimeout => (Flags::UPSTREAM_CONNECTION_FAILURE, "connection timeout", ""),
            Reset::Terminated => (
                Flags::UPSTREAM_CONNECTION_TERMINATION,
                "connection termination",
                "",
            ),
            Reset::Refused => (
                Flags::UPSTREAM_REMOTE_RESET,
                "remote refused stream reset",
                "",
            ),
            Reset::Remote => (Flags::UPSTREAM_REMOTE_RESET, "remote reset", ""),
            Reset::Protocol => (Flags::UPSTREAM_PROTOCOL_ERROR, "protocol error", ""),
            Reset::Overflow => (Flags::UPSTREAM_OVERFLOW, "overflow", ""),
        };
        let latest = if retried {
            "retried and the latest reset reason"
        } else {
            "reset reason"
        };
        let failure = match transport {
            "" => String::new(),
            words => format!("delayed connect error: {words}"),
        };
        let body = format!(
            "upstream connect error or disconnect/reset before headers. {latest}: {reason}"
        );
        let mut details = reason.replace(' ', "_");
        // The client is not told what does not concern it.
        if !failure.is_empty() {
            details.push('|');
            details.push_str(&failure.replace(' ', "_"));
        }
        Self {
            // What answers, but not in HTTP, is a bad gateway to Envoy.
            status: if *reset == Reset::Protocol { 502 } else { 503 },
            flags,
            details: format!("upstream_reset_before_response_started{{{details}}}").into(),
            body: body.into(),
            upstream_failure: failure.into(),
            overloaded: *reset == Reset::Overflow,
            unreached: false,
            fields: None,
            grpc_status: None,
            unwanted: false,
            closes: false,
            edited: true,
        }
    }

    /// The client is gone: nothing can be given.
    pub(crate) fn gone() -> Self {
        Self {
            unwanted: true,
            ..Self::flagged(
                0,
                Flags::DOWNSTREAM_CONNECTION_TERMINATION,
                "downstream_remote_disconnect",
                "",
            )
        }
    }

    /// The request is no proper message.
    pub(crate) fn refused(error: aviary_http::Error) -> Self {
        let flags = Flags::DOWNSTREAM_PROTOCOL_ERROR;
        Self::flagged(error.status(), flags, error.detail(), "")
    }

    /// As head and body; to a caller of gRPC in its own form.
    pub(crate) fn into_parts(self, grpc: bool) -> (ResponseHead, Bytes) {
        let mut head = ResponseHead::new(self.status);
        if let Some(fields) = self.fields {
            head.fields = *fields;
        }
        let fields = &mut head.fields;
        if self.overloaded {
            fields.append("x-envoy-overloaded", b"true");
        }
        if self.unreached {
            fields.append(Name::XAviaryUnreached, b"true");
        }
        if grpc {
            fields.append(Name::ContentType, b"application/grpc");
            match self.grpc_status {
                Some(status) => fields.set_number(Name::GrpcStatus, u64::from(status)),
                None => fields.append(Name::GrpcStatus, grpc_status(self.status)),
            }
            if !self.body.is_empty() {
                fields.append(Name::GrpcMessage, encoded(&self.body).as_bytes());
            }
            head.set_status(200);
            return (head, Bytes::new());
        }
        if !self.body.is_empty() {
            fields.append(Name::ContentType, b"text/plain");
        }
        let body = match self.body {
            Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
            Cow::Owned(text) => Bytes::from(text),
        };
        (head, body)
    }
}

/// The status of gRPC for a status of HTTP.
///
/// Source: gRPC "HTTP to gRPC Status Code Mapping", Envoy `Grpc::Utility::httpToGrpcStatus`.
fn grpc_status(status: u16) -> &'static [u8] {
    match status {
        400 => b"13",
        401 => b"16",
        403 => b"7",
        404 => b"12",
        429 | 502..=504 => b"14",
        _ => b"2",
    }
}

/// A message as `grpc-message` carries it: what is not printable ASCII in percent form.
///
/// Source: gRPC over HTTP/2, `Percent-Encoded`.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_connect_failure_has_envoys_words() {
        let reply = Reply::reset(&Reset::Connect("Connection refused".into()), false);
        assert_eq!((reply.status, reply.flags.text().as_ref()), (503, "UF"));
        assert_eq!(
            reply.body,
            "upstream connect error or disconnect/reset before headers. reset reason: remote \
             connection failure"
        );
        assert_eq!(
            reply.details,
            "upstream_reset_before_response_started{remote_connection_failure|\
             delayed_connect_error:_Connection_refused}"
        );
    }

    #[test]
    fn reset_overflow_after_a_retry_says_both() {
        let reply = Reply::reset(&Reset::Overflow, true);
        assert_eq!(
            reply.body,
            "upstream connect error or disconnect/reset before headers. retried and the latest \
             reset reason: overflow"
        );
        let (head, _) = reply.into_parts(false);
        assert_eq!(head.fields.text("x-envoy-overloaded"), Some("true"));
    }

    #[test]
    fn reply_to_grpc_is_a_status_in_its_head() {
        let (head, body) = Reply::no_endpoint().into_parts(true);
        assert_eq!((head.status(), body.len()), (200, 0));
        assert_eq!(head.fields.text("grpc-status"), Some("14"));
        assert_eq!(
            head.fields.text("grpc-message"),
            Some("no healthy upstream")
        );
    }
}

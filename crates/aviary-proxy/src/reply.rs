//! The one place where an error becomes a reply, a flag and a reason.
//!
//! Source: Envoy's local replies, response flags and response code details.

use std::borrow::Cow;

use aviary_http::{Name, ResponseHead};
use aviary_telemetry::Flags;
use bytes::Bytes;

/// A reply that the proxy gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Value of `location`.
    pub(crate) location: Option<String>,
    /// Nobody is there to be given it.
    pub(crate) unwanted: bool,
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
            location: None,
            unwanted: false,
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

    /// The route's cluster does not exist.
    pub(crate) fn no_cluster() -> Self {
        Self::flagged(503, Flags::NO_CLUSTER, "cluster_not_found", "")
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

    /// The request's time is over.
    pub(crate) fn timeout() -> Self {
        Self::flagged(
            504,
            Flags::UPSTREAM_REQUEST_TIMEOUT,
            "response_timeout",
            "upstream request timeout",
        )
    }

    /// The try's time is over.
    pub(crate) fn per_try_timeout() -> Self {
        Self::flagged(
            504,
            Flags::UPSTREAM_REQUEST_TIMEOUT,
            "upstream_per_try_timeout",
            "upstream request timeout",
        )
    }

    /// An injected abort.
    pub(crate) fn abort(status: u16) -> Self {
        Self::flagged(
            status,
            Flags::FAULT_INJECTED,
            "fault_filter_abort",
            "fault filter abort",
        )
    }

    /// The client broke off in its body, or broke the protocol.
    pub(crate) fn bad_request(details: &'static str) -> Self {
        Self::flagged(
            400,
            Flags::DOWNSTREAM_PROTOCOL_ERROR,
            details,
            "Bad Request",
        )
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
        let mut body = format!(
            "upstream connect error or disconnect/reset before headers. {latest}: {reason}"
        );
        let mut details = reason.replace(' ', "_");
        if !failure.is_empty() {
            body.push_str(", transport failure reason: ");
            body.push_str(&failure);
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
            location: None,
            unwanted: false,
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

    /// The client sends its request too slowly.
    pub(crate) fn slow_request() -> Self {
        Self::flagged(
            408,
            Flags::DOWNSTREAM_PROTOCOL_ERROR,
            "request_body_too_slow",
            "request timeout",
        )
    }

    /// As head and body; to a caller of gRPC in its own form.
    pub(crate) fn into_parts(self, grpc: bool) -> (ResponseHead, Bytes) {
        let mut head = ResponseHead::new(self.status);
        let fields = &mut head.fields;
        if self.overloaded {
            fields.append("x-envoy-overloaded", b"true");
        }
        if let Some(location) = &self.location {
            fields.append(Name::Location, location.as_bytes());
        }
        if grpc {
            fields.append(Name::ContentType, b"application/grpc");
            fields.append(Name::GrpcStatus, grpc_status(self.status));
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
             connection failure, transport failure reason: delayed connect error: Connection refused"
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

//! The one place where an error becomes a reply, a flag and a reason.
//!
//! Source: Envoy's local replies, response flags and response code details.

use std::borrow::Cow;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::http::Body;

/// A reply that the proxy gives itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: u16,
    /// Envoy's response flag, empty when none.
    pub(crate) flag: &'static str,
    /// Envoy's response code details.
    pub(crate) details: Cow<'static, str>,
    /// Body, plain text.
    pub(crate) body: Cow<'static, str>,
    /// Why the connection to the endpoint failed, for the log.
    pub(crate) upstream_failure: Cow<'static, str>,
    /// A circuit breaker is open.
    pub(crate) overloaded: bool,
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
            flag: "",
            details: Cow::Borrowed(details),
            body: body.into(),
            upstream_failure: Cow::Borrowed(""),
            overloaded: false,
        }
    }

    fn flagged(status: u16, flag: &'static str, details: &'static str, body: &'static str) -> Self {
        Self {
            flag,
            ..Self::plain(status, details, body)
        }
    }

    /// No virtual host or route.
    pub(crate) fn no_route() -> Self {
        Self::flagged(404, "NR", "route_not_found", "")
    }

    /// The route's cluster does not exist.
    pub(crate) fn no_cluster() -> Self {
        Self::flagged(503, "NC", "cluster_not_found", "")
    }

    /// No endpoint may be given the request.
    pub(crate) fn no_endpoint() -> Self {
        Self::flagged(503, "UH", "no_healthy_upstream", "no healthy upstream")
    }

    /// The request's time is over.
    pub(crate) fn timeout() -> Self {
        Self::flagged(504, "UT", "response_timeout", "upstream request timeout")
    }

    /// The try's time is over.
    pub(crate) fn per_try_timeout() -> Self {
        Self::flagged(
            504,
            "UT",
            "upstream_per_try_timeout",
            "upstream request timeout",
        )
    }

    /// An injected abort.
    pub(crate) fn abort(status: u16) -> Self {
        Self::flagged(status, "FI", "fault_filter_abort", "fault filter abort")
    }

    /// The client broke off in its body, or broke the protocol.
    pub(crate) fn bad_request(details: &'static str) -> Self {
        Self::flagged(400, "DPE", details, "Bad Request")
    }

    /// A stream that broke; `retried` says that it was not the first.
    pub(crate) fn reset(reset: &Reset, retried: bool) -> Self {
        let (flag, reason, transport) = match reset {
            Reset::Connect(words) => ("UF", "remote connection failure", words.as_str()),
            Reset::ConnectTimeout => ("UF", "connection timeout", ""),
            Reset::Terminated => ("UC", "connection termination", ""),
            Reset::Refused => ("UR", "remote refused stream reset", ""),
            Reset::Overflow => ("UO", "overflow", ""),
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
            status: 503,
            flag,
            details: format!("upstream_reset_before_response_started{{{details}}}").into(),
            body: body.into(),
            upstream_failure: failure.into(),
            overloaded: *reset == Reset::Overflow,
        }
    }

    /// As an HTTP reply.
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.overloaded {
            response
                .headers_mut()
                .insert("x-envoy-overloaded", HeaderValue::from_static("true"));
        }
        if !self.body.is_empty() {
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            *response.body_mut() = Body::full(self.body.into_owned());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reset_connect_failure_has_envoys_words() {
        let reply = Reply::reset(&Reset::Connect("Connection refused".into()), false);
        assert_eq!((reply.status, reply.flag), (503, "UF"));
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
        assert_eq!(
            reply.into_response().headers()["x-envoy-overloaded"],
            "true"
        );
    }
}

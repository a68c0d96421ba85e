//! The headers that a service passes on, so that traces and rules by user work across hops.

use http::{HeaderMap, HeaderName};

/// Passed on by every service: request id, trace context of the usual tracers, the reader's identity.
const PASSED_ON: [&str; 24] = [
    "x-request-id",
    "x-ot-span-context",
    "traceparent",
    "tracestate",
    "baggage",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "sw8",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "end-user",
    "user-agent",
    "cookie",
    "authorization",
    "jwt",
    "x-client-trace-id",
    "x-envoy-force-trace",
];

/// The part of `incoming` that goes to the next service.
pub(crate) fn headers(incoming: &HeaderMap) -> HeaderMap {
    let mut outgoing = HeaderMap::new();
    for name in PASSED_ON.map(HeaderName::from_static) {
        for value in incoming.get_all(&name) {
            outgoing.append(name.clone(), value.clone());
        }
    }
    outgoing
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    #[test]
    fn headers_of_traces_and_users_pass_and_others_stay() {
        let mut incoming = HeaderMap::new();
        for name in [
            "x-request-id",
            "traceparent",
            "end-user",
            "x-b3-traceid",
            "accept",
            "connection",
        ] {
            incoming.insert(name, "1".parse().unwrap());
        }
        let outgoing = super::headers(&incoming);
        assert_eq!(outgoing.len(), 4);
        assert!(!outgoing.contains_key("accept"));
    }
}

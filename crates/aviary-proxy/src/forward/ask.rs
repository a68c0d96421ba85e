//! What a request asks of the proxy, beside its route, and what a reply says about another try.

use std::borrow::Cow;
use std::time::Duration;

use aviary_http::{Fields, Name, RequestHead};
use aviary_mesh::listener::HttpChain;
use aviary_mesh::matcher::HeaderMatch;
use aviary_mesh::resolve::{self, Caller};
use aviary_mesh::retry;
use aviary_mesh::route::{Forward, Retry};
use aviary_mesh::timeout::{self, Times};

use crate::request::Seen;

/// The times that a request has.
pub(super) fn times(
    head: &mut RequestHead,
    forward: &Forward,
    retry: Option<&Retry>,
    chain: &HttpChain,
    grpc: bool,
    internal: bool,
) -> Times {
    let fields = &mut head.fields;
    let trusted = |name| internal.then(|| fields.text(name)).flatten();
    let asked = timeout::Asked {
        whole: trusted(Name::XEnvoyUpstreamRqTimeoutMs),
        per_try: trusted(Name::XEnvoyUpstreamRqPerTryTimeoutMs),
        grpc: grpc.then(|| fields.text(Name::GrpcTimeout)).flatten(),
    };
    let times = Times::of(forward, retry, chain.max_stream_duration, &asked);
    if internal {
        fields.remove(Name::XEnvoyUpstreamRqTimeoutMs);
        fields.remove(Name::XEnvoyUpstreamRqPerTryTimeoutMs);
    }
    if times.tells_grpc {
        let left = times.stream.unwrap_or(Duration::ZERO);
        fields.set(Name::GrpcTimeout, timeout::grpc_text(left).as_bytes());
    }
    times
}

/// The retries that a request has; its wishes do not go on.
pub(super) fn retries<'a>(
    head: &mut RequestHead,
    policy: Option<&'a Retry>,
    internal: bool,
    caller: Caller<'_>,
) -> Option<Cow<'a, Retry>> {
    let seen = Seen { head, caller };
    let policy = policy.filter(|policy| {
        let wanted = &policy.request_headers;
        wanted.is_empty() || wanted.iter().any(|it| resolve::header_holds(it, &seen))
    });
    if !internal {
        return policy.map(Cow::Borrowed);
    }
    let fields = &head.fields;
    let asked = retry::Asked {
        on: fields.text(Name::XEnvoyRetryOn),
        grpc_on: fields.text(Name::XEnvoyRetryGrpcOn),
        attempts: fields.text(Name::XEnvoyMaxRetries),
        status_codes: fields.text(Name::XEnvoyRetriableStatusCodes),
        header_names: fields.text(Name::XEnvoyRetriableHeaderNames),
    };
    let merged = asked.merge(policy);
    head.fields.remove_where(|name, _| {
        matches!(
            name,
            Name::XEnvoyRetryOn
                | Name::XEnvoyRetryGrpcOn
                | Name::XEnvoyMaxRetries
                | Name::XEnvoyRetriableStatusCodes
                | Name::XEnvoyRetriableHeaderNames
                | Name::XEnvoyHedgeOnPerTryTimeout
        )
    });
    merged
}

/// What an answer with these fields says about another try; `None` when there was no answer.
pub(super) fn answer(policy: &Retry, fields: Option<&Fields>) -> retry::Attempt<'static> {
    let Some(fields) = fields else {
        return retry::Attempt::default();
    };
    let wanted = &policy.response_headers;
    retry::Attempt {
        retriable_header: wanted.iter().any(|it| has(fields, it)),
        rate_limited: fields.contains(Name::XEnvoyRateLimited),
        ..retry::Attempt::default()
    }
}

fn has(fields: &Fields, wanted: &HeaderMatch) -> bool {
    let values = fields.get_all(wanted.name.as_str());
    wanted.holds_for(|take| {
        values
            .filter_map(|value| std::str::from_utf8(value).ok())
            .for_each(take);
    })
}

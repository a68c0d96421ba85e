//! Request ids and trace contexts: kept when the caller has them, begun when nobody did.

mod context;
mod request_id;
pub mod span;
#[cfg(test)]
mod tests;

use aviary_http::{Fields, Name};
use rand::Rng;

pub use context::{Context, Formats};
pub use request_id::Reason;
pub use span::Span;

/// Whether the caller's word on request ids and tracing is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// The caller is part of the mesh, or on this machine.
    Caller,
    /// The caller is anybody; its request id is replaced.
    Nobody,
}

/// What is done with request ids and traces, compiled once per configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether a request without an id gets one.
    pub generate_request_id: bool,
    /// How traces begin; `None` passes on what the caller sent, unread.
    pub tracing: Option<Tracing>,
}

/// How traces begin. Shares are of 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracing {
    /// Share of all requests that start a trace.
    pub random: u16,
    /// Share of the requests that ask by `x-client-trace-id`.
    pub client: u16,
    /// Upper bound of all shares.
    pub overall: u16,
    /// In which headers a trace begins; in none, it does not begin here.
    pub begin: Formats,
    /// Whether this proxy makes spans: then the next hop's parent is this proxy's span.
    pub spans: bool,
}

impl Tracing {
    /// The share of 10,000 that a percentage (0 to 100) is.
    pub fn share(percent: f64) -> u16 {
        // Within 0 to 10,000 by the clamp; what is no number becomes 0.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the value is clamped to 0 to 10,000"
        )]
        let share = (percent * 100.0).round().clamp(0.0, 10_000.0) as u16;
        share
    }
}

/// Makes sure that a request carries a request id and, as configured, a trace context. `None` when
/// the request is in no trace, and without tracing: then nothing of traces is looked at.
///
/// A caller's context decides whether the trace is sampled. Where it leaves that open, or there is
/// none, the request id's own digit decides, then `x-client-trace-id` and `x-envoy-force-trace`,
/// then the sampling rate, by the number in the request id, so that every hop comes to the same
/// answer. A context that is not sampled goes on unchanged. A sampled one goes on, in the formats
/// in which it came, with a span of this proxy, when it makes spans.
///
/// Source: Envoy `ConnectionManagerUtility::mutateTracingRequestHeader`,
/// `UUIDRequestIDExtension`, the OpenTelemetry tracer's `Driver::startSpan`.
pub fn prepare(
    fields: &mut Fields,
    trust: Trust,
    settings: &Settings,
    rng: &mut impl Rng,
) -> Option<Context> {
    let id = identify(fields, trust, settings.generate_request_id, rng);
    let tracing = settings.tracing?;
    let heard = context::hear(fields);
    let wanted = decide(fields, id, trust, tracing);
    let sampled = heard.sampled.unwrap_or(wanted);
    if heard.trace_id == 0 {
        let mut formats = tracing.begin;
        // A decision alone was answered in the form in which it was asked.
        formats.b3_single |= heard.formats.b3_single;
        formats.b3 |= heard.formats.b3;
        if formats == Formats::NONE {
            return None;
        }
        // Zero means "no id" in all formats.
        let context = Context {
            trace_id: rng.random::<u128>().max(1),
            span_id: rng.random::<u64>().max(1),
            parent_id: 0,
            sampled,
        };
        context.write(formats, fields);
        return Some(context);
    }
    let mut context = Context {
        trace_id: heard.trace_id,
        span_id: heard.span_id,
        parent_id: 0,
        sampled,
    };
    if sampled && tracing.spans {
        context.parent_id = heard.span_id;
        context.span_id = rng.random::<u64>().max(1);
        context.write(heard.formats, fields);
    } else if heard.sampled.is_none() {
        // The caller left the decision open; the next hop is to know it.
        context.write(heard.formats, fields);
    }
    Some(context)
}

/// The request id, made when it is missing or the caller is not trusted; `None` when it is not
/// a UUID.
fn identify(
    fields: &mut Fields,
    trust: Trust,
    generate: bool,
    rng: &mut impl Rng,
) -> Option<request_id::Id> {
    let given = fields.get(Name::XRequestId);
    if trust == Trust::Caller
        && let Some(given) = given.filter(|id| request_id::is_sane(id))
    {
        return request_id::uuid(given);
    }
    if !generate {
        if given.is_some() {
            fields.remove(Name::XRequestId);
        }
        return None;
    }
    let id = request_id::generate(rng);
    fields.set(Name::XRequestId, &id);
    Some(id)
}

/// Whether the request is to be traced, as far as this hop decides; noted in the request id.
fn decide(fields: &mut Fields, id: Option<request_id::Id>, trust: Trust, tracing: Tracing) -> bool {
    let Some(mut id) = id else { return false };
    let share = request_id::share(&id);
    let before = request_id::reason(&id);
    let asked = || {
        if fields.contains(Name::XClientTraceId) && share < tracing.client {
            Some(Reason::ClientForced)
        } else if trust == Trust::Caller && fields.contains(Name::XEnvoyForceTrace) {
            Some(Reason::ServiceForced)
        } else {
            (share < tracing.random).then_some(Reason::Sampled)
        }
    };
    let reason = before.or_else(asked).filter(|_| share < tracing.overall);
    if reason != before {
        request_id::mark(&mut id, reason);
        fields.set(Name::XRequestId, &id);
    }
    reason.is_some()
}

//! What a request passes between its route and the router: faults, cross-origin rules, authorisation.

use std::borrow::Cow;
use std::time::Duration;

use rand::Rng;

use crate::cors::{self, Marks};
use crate::listener::HttpFilter;
use crate::rbac::{self, RbacFilter, Shadow};
use crate::resolve::condition::header_holds;
use crate::resolve::{Decision, Head, Outcome, draw};
use crate::route::{Fault, FaultAbort, FilterSettings};

/// What the filters of a chain do with a request.
///
/// Acted on in this order: wait for `delay` (flag DI), then answer as `stop` says, else go on with the
/// decision's outcome. `cors` is set on every answer given, also on one of our own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Passage<'a> {
    /// An injected wait.
    pub delay: Option<Duration>,
    /// It goes no further.
    pub stop: Option<Stop<'a>>,
    /// Headers for the answer.
    pub cors: Option<Marks<'a>>,
    /// A rule asks for it to be logged.
    pub logged: bool,
    /// What rules say that are only tried out; the first that would not let it pass.
    pub shadow: Option<Shadow<'a>>,
}

/// Why a request goes no further.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop<'a> {
    /// An injected answer (flag FI, details `fault_filter_abort`, body `fault filter abort`).
    Abort {
        /// Status; 200 with a `grpc_status`.
        status: u16,
        /// For requests of gRPC.
        grpc_status: Option<u32>,
    },
    /// Answered 200 with these headers, without a body (details `cors_response`).
    Preflight(Vec<(&'static str, Cow<'a, str>)>),
    /// Answered 403 `RBAC: access denied` (details [`rbac::details`]).
    Denied {
        /// The policy that matched; `None` when none did that had to.
        policy: Option<&'a str>,
    },
}

/// Takes a request through the filters of its chain, in order.
///
/// `decision` is that of [`crate::resolve::request`]; filters come before a 404, too. What a filter does
/// on the way back is in [`Passage::cors`].
pub fn pass<'a>(
    filters: &'a [HttpFilter],
    decision: &Decision<'a>,
    head: &impl Head,
    rng: &mut impl Rng,
) -> Passage<'a> {
    let mut passage = Passage::default();
    for filter in filters {
        match filter {
            HttpFilter::Fault(fault) => {
                let own = decision.route.and_then(|route| route.fault.as_ref());
                let fault = own.or(fault.as_ref());
                let abort = fault.and_then(|it| inject(it, decision, head, rng, &mut passage));
                passage.stop = abort.map(|abort| Stop::Abort {
                    status: abort.grpc_status.map_or(abort.status, |_| 200),
                    grpc_status: abort.grpc_status,
                });
            }
            HttpFilter::Cors => ask_cors(decision, head, rng, &mut passage),
            HttpFilter::Rbac(filter) => authorize(filter, decision, head, &mut passage),
        }
        if passage.stop.is_some() {
            break;
        }
    }
    passage
}

/// Settings of the route and of the virtual host, in order of preference.
fn settings<'a>(decision: &Decision<'a>) -> [Option<&'a FilterSettings>; 2] {
    [
        decision.route.map(|route| &route.filters),
        decision.virtual_host.map(|host| &host.filters),
    ]
}

fn inject<'a>(
    fault: &'a Fault,
    decision: &Decision<'a>,
    head: &impl Head,
    rng: &mut impl Rng,
    passage: &mut Passage<'a>,
) -> Option<&'a FaultAbort> {
    if !fault.upstream_cluster.is_empty() {
        match &decision.outcome {
            Outcome::Forward(target) if target.branch.name == fault.upstream_cluster => {}
            _ => return None,
        }
    }
    if !fault.headers.iter().all(|it| header_holds(it, head)) {
        return None;
    }
    let delay = fault.delay.as_ref();
    let delay = delay.filter(|delay| draw(delay.percent, rng));
    if let Some(delay) = delay.filter(|delay| !delay.duration.is_zero()) {
        passage.delay = Some(passage.delay.unwrap_or_default() + delay.duration);
    }
    let abort = fault.abort.as_ref();
    abort.filter(|abort| draw(abort.percent, rng))
}

/// Only for requests that go upstream. Source: Envoy `CorsFilter`, which wants a route entry.
fn ask_cors<'a>(
    decision: &Decision<'a>,
    head: &impl Head,
    rng: &mut impl Rng,
    passage: &mut Passage<'a>,
) {
    if !matches!(decision.outcome, Outcome::Forward(_)) {
        return;
    }
    let policies = settings(decision).map(|settings| settings?.cors.as_deref());
    match cors::judge(policies, head, rng) {
        Some(cors::Verdict::Preflight(headers)) => passage.stop = Some(Stop::Preflight(headers)),
        Some(cors::Verdict::Allowed(marks)) => passage.cors = Some(marks),
        None => {}
    }
}

fn authorize<'a>(
    filter: &'a RbacFilter,
    decision: &Decision<'a>,
    head: &impl Head,
    passage: &mut Passage<'a>,
) {
    let [route, host] = settings(decision).map(|settings| settings?.rbac.as_deref());
    let judgement = rbac::authorize(route.or(host).unwrap_or(filter), head);
    passage.logged |= judgement.logged;
    if passage.shadow.is_none_or(|before| before.allowed) {
        passage.shadow = judgement.shadow.or(passage.shadow);
    }
    if !judgement.allowed {
        passage.stop = Some(Stop::Denied {
            policy: judgement.policy,
        });
    }
}

#[cfg(test)]
mod tests;

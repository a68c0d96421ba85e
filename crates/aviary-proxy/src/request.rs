//! The way of one request: identify, prepare, resolve, forward or answer, record.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use aviary_http::{Key, Name, RequestHead, Scheme};
use aviary_mesh::filters::{self, Passage, Stop};
use aviary_mesh::listener::{Direction, HttpChain};
use aviary_mesh::rbac;
use aviary_mesh::resolve::{self, Caller, Decision, Head, Outcome};
use aviary_mesh::tls::misdirected;
use aviary_telemetry::{Flags, Protocol, peer, trace};

use crate::connection::{Identity, Link};
use crate::forward::{After, Forward};
use crate::headers;
use crate::http::downstream::Downstream;
use crate::http::tunnel::Tunnel;
use crate::record::Exchange;
use crate::reply::Reply;

/// A request as the rules see it.
pub(crate) struct Seen<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) caller: Caller<'a>,
}

impl Head for Seen<'_> {
    fn method(&self) -> &str {
        self.head.method()
    }

    fn authority(&self) -> &str {
        self.head.authority()
    }

    fn scheme(&self) -> &str {
        self.head.scheme().text()
    }

    fn path_and_query(&self) -> &str {
        self.head.path()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.head.fields.joined(Key::from(name))
    }

    fn each_value(&self, name: &str, take: &mut dyn FnMut(&str)) {
        let values = self.head.fields.get_all(Key::from(name));
        values
            .filter_map(|value| std::str::from_utf8(value).ok())
            .for_each(take);
    }

    fn is_unreadable(&self, name: &str) -> bool {
        let mut values = self.head.fields.get_all(Key::from(name));
        values.any(|value| std::str::from_utf8(value).is_err())
    }

    fn caller(&self) -> Option<&Caller<'_>> {
        Some(&self.caller)
    }
}

/// Answers one request of a connection.
pub(crate) async fn handle(
    link: &Rc<Link>,
    head: &mut RequestHead,
    down: &mut Downstream<'_>,
) -> After {
    let now = link.identify().filter(|identity| identity.http().is_some());
    // A chain that a change took away answers what is asked already, and then closes.
    if now.is_none() {
        down.close_after();
    }
    let identity = now.or_else(|| link.last_identity());
    let Some((identity, chain)) = identity
        .as_ref()
        .and_then(|identity| Some((identity, identity.http()?)))
    else {
        return After::Over;
    };
    let mut exchange = Exchange::begin(link, identity, spoken(head));
    let answer = answer(link, identity, chain, head, down, &mut exchange).await;
    match answer {
        Ok(None) => {}
        Ok(Some(tunnel)) => return After::Tunnel(tunnel, Box::new(exchange)),
        Err(reply) => give(reply, chain, down, &mut exchange).await,
    }
    exchange.over(head);
    After::Over
}

/// Gives a reply of the proxy's own.
async fn give(reply: Reply, chain: &HttpChain, down: &mut Downstream<'_>, exchange: &mut Exchange) {
    exchange.note(&reply);
    if reply.unwanted {
        down.abort();
        exchange.client_left();
        return;
    }
    if !down.is_request_over() {
        // What is left of the body would be taken for the next request.
        down.close_after();
    }
    let code = reply.status;
    let (mut head, body) = reply.into_parts(exchange.protocol == Protocol::Grpc);
    exchange.dress(&mut head, down, &chain.server_name);
    exchange.code = code;
    exchange.sent = body.len() as u64;
    match down.reply(&mut head, body).await {
        Ok(()) => exchange.complete(),
        Err(error) => {
            tracing::debug!(%error, "the client is gone");
            exchange.client_left();
        }
    }
    down.finish();
}

/// Answers what could not be read as a request, and tells of it.
pub(crate) async fn refuse(
    link: &Rc<Link>,
    status: u16,
    details: &'static str,
    down: &mut Downstream<'_>,
) {
    let identity = link.identify().or_else(|| link.last_identity());
    let Some((identity, chain)) = identity
        .as_ref()
        .and_then(|identity| Some((identity, identity.http()?)))
    else {
        return;
    };
    let mut exchange = Exchange::begin(link, identity, Protocol::Http);
    let reply = Reply {
        flags: Flags::DOWNSTREAM_PROTOCOL_ERROR,
        ..Reply::plain(status, details, "")
    };
    down.close_after();
    give(reply, chain, down, &mut exchange).await;
}

async fn answer(
    link: &Rc<Link>,
    identity: &Identity,
    chain: &HttpChain,
    head: &mut RequestHead,
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
) -> Result<Option<Tunnel>, Reply> {
    if link.worker.gate().refuses_request() {
        return Err(Reply::overloaded());
    }
    exchange.traced(accept(link, identity, chain, head)?);
    meet_peer(link, identity, chain, head, exchange);
    let table = identity.table().ok_or_else(Reply::no_route)?;
    let seen = Seen {
        head,
        caller: link.caller(),
    };
    let (decision, passage) = link.worker.random(|rng| {
        let decision = resolve::request(table, &seen, rng);
        let passage = filters::pass(&chain.filters, &decision, &seen, rng);
        (decision, passage)
    });
    act(link, chain, (decision, passage), head, down, exchange).await
}

/// Does what was decided.
async fn act(
    link: &Rc<Link>,
    chain: &HttpChain,
    (decision, passage): (Decision<'_>, Passage<'_>),
    head: &mut RequestHead,
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
) -> Result<Option<Tunnel>, Reply> {
    if let Some(route) = decision.route {
        exchange.routed(&route.name, &route.operation);
    }
    // Found before any wait: a change meanwhile may take the cluster away.
    let upstream = match &decision.outcome {
        Outcome::Forward(target) => {
            let upstream = link.worker.upstreams().get(&target.branch.name);
            exchange.goes_to(&target.branch.name, upstream.as_deref());
            upstream
        }
        _ => None,
    };
    if let Some(delay) = passage.delay {
        exchange.flag(Flags::DELAY_INJECTED);
        tokio::time::sleep(delay).await;
    }
    if let Some(stop) = passage.stop {
        return Err(stopped(stop));
    }
    match decision.outcome {
        Outcome::NotFound => Err(Reply::no_route()),
        Outcome::Direct { status, body } => {
            Err(Reply::plain(status, "direct_response", body.to_owned()))
        }
        Outcome::Redirect { status, location } => Err(Reply {
            location: Some(location),
            ..Reply::plain(status, "direct_response", "")
        }),
        Outcome::Forward(target) => {
            let upstream = upstream.ok_or_else(Reply::no_cluster)?;
            let attempts = decision
                .virtual_host
                .is_some_and(|host| host.include_attempt_count);
            let forward = Forward {
                link,
                target: &target,
                upstream,
                attempts,
                server: &chain.server_name,
            };
            forward.run(head, down, exchange).await
        }
    }
}

/// The answer to a request that a filter does not let pass.
fn stopped(stop: Stop<'_>) -> Reply {
    match stop {
        Stop::Abort { status, .. } => Reply::abort(status),
        Stop::Preflight(_) => Reply::plain(200, "cors_response", ""),
        Stop::Denied { policy } => Reply {
            details: rbac::details(policy).into(),
            ..Reply::plain(403, "", "RBAC: access denied")
        },
    }
}

/// Checks a request and gives it the headers of this hop; tells its place in a trace.
fn accept(
    link: &Link,
    identity: &Identity,
    chain: &HttpChain,
    head: &mut RequestHead,
) -> Result<Option<trace::Context>, Reply> {
    if head.known_method() == aviary_http::Method::Connect {
        return Err(Reply::plain(405, "connect_not_supported", ""));
    }
    if link.tls().is_some() {
        if misdirected(identity.server_names(), head.authority()) {
            return Err(Reply::plain(421, "misdirected_request", ""));
        }
        head.set_scheme(Scheme::Https);
    }
    let trust = if !chain.use_remote_address || is_near(link.remote.ip()) {
        trace::Trust::Caller
    } else {
        trace::Trust::Nobody
    };
    let fields = &mut head.fields;
    if chain.use_remote_address {
        headers::strip_claims(fields);
        fields.append(Name::XForwardedFor, link.remote_text().as_bytes());
    }
    if !fields.contains(Name::XForwardedProto) {
        let proto: &[u8] = if link.tls().is_some() {
            b"https"
        } else {
            b"http"
        };
        fields.append(Name::XForwardedProto, proto);
    }
    // Who the client is, is said by its certificate alone.
    fields.remove("x-forwarded-client-cert");
    let settings = &identity.telling().tracing;
    Ok(link
        .worker
        .random(|rng| trace::prepare(fields, trust, settings, rng)))
}

/// Learns who calls, on the way in; the header is for proxies only and goes no further.
fn meet_peer(
    link: &Link,
    identity: &Identity,
    chain: &HttpChain,
    head: &mut RequestHead,
    exchange: &mut Exchange,
) {
    if chain.direction == Direction::Inbound {
        let told = head
            .fields
            .text(peer::HEADER)
            .and_then(|value| link.worker.meet(value));
        exchange.peer_told = told.is_some();
        let known = || identity.snapshot().workload(link.remote.ip()).cloned();
        if let Some(source) = told.or_else(known) {
            exchange.source = source;
        }
    }
    head.fields.remove(peer::HEADER);
}

/// On this machine or in a private network, where Envoy takes a client for its own.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

fn spoken(head: &RequestHead) -> Protocol {
    let grpc = head
        .fields
        .get(Name::ContentType)
        .is_some_and(|value| value.starts_with(b"application/grpc"));
    if grpc { Protocol::Grpc } else { Protocol::Http }
}

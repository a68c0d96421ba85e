//! The way of one request: identify, prepare, resolve, forward or answer, record.

mod accept;
mod cert;
mod client;

use std::borrow::Cow;
use std::rc::Rc;

use aviary_http::{Key, Method, Name, RequestHead};
use aviary_mesh::filters::{self, Passage, Stop};
use aviary_mesh::listener::{Direction, HttpChain};
use aviary_mesh::rbac;
use aviary_mesh::resolve::{self, Caller, Decision, Head, Outcome};
use aviary_telemetry::{Flags, Protocol, peer};

use crate::connection::{Identity, Link};
use crate::dress::Dress;
use crate::forward::{After, Forward, Way};
use crate::http::downstream::Downstream;
use crate::http::tunnel::Tunnel;
use crate::record::Exchange;
use crate::reply::Reply;
use crate::upstream::Upstream;

pub(crate) use client::Client;

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

    fn path_parts(&self) -> (&str, &str) {
        self.head.path_parts()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.head.fields.joined(Key::from(name))
    }

    fn each_value(&self, name: &str, take: &mut dyn FnMut(&str)) {
        let values = self.head.fields.get_all(Key::from(name));
        values.for_each(|value| match std::str::from_utf8(value) {
            Ok(value) => take(value),
            Err(_) => take(&String::from_utf8_lossy(value)),
        });
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
    let mut dress = Dress::new(chain);
    dress.bodiless(head.known_method() == Method::Head);
    let answer = answer(link, identity, &mut dress, head, down, &mut exchange).await;
    match answer {
        Ok(None) => {}
        Ok(Some(tunnel)) => return After::Tunnel(tunnel, Box::new(exchange)),
        Err(reply) => give(*reply, link, &dress, down, &mut exchange).await,
    }
    exchange.over(head);
    After::Over
}

/// Gives a reply of the proxy's own.
async fn give(
    reply: Reply,
    link: &Link,
    dress: &Dress<'_>,
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
) {
    exchange.note(&reply);
    if reply.unwanted {
        down.abort();
        exchange.client_left();
        return;
    }
    if reply.closes {
        down.close_after();
    }
    down.skip_request().await;
    let edited = reply.edited;
    let (mut head, body) = reply.into_parts(exchange.protocol == Protocol::Grpc);
    if edited {
        dress.own(&mut head.fields);
    }
    dress.hop(&mut head, link.worker.dates());
    exchange.dress(&mut head, down, "");
    exchange.gave(&head, if dress.is_bodiless() { 0 } else { body.len() });
    match down.reply(&mut head, body, dress.is_bodiless()).await {
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
        ..Reply::plain(status, details, reason(status))
    };
    down.close_after();
    give(reply, link, &Dress::new(chain), down, &mut exchange).await;
}

/// What Envoy says to a message that is none.
fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        _ => "",
    }
}

async fn answer<'a>(
    link: &'a Rc<Link>,
    identity: &'a Identity,
    dress: &mut Dress<'a>,
    head: &mut RequestHead,
    down: &mut Downstream<'_>,
    exchange: &mut Exchange,
) -> Result<Option<Box<Tunnel>>, Box<Reply>> {
    let dress = &mut *dress;
    let forward = {
        let mut decided = decide(link, identity, dress, head, exchange)?;
        if let Some(delay) = decided.passage.delay.take() {
            exchange.flag(Flags::DELAY_INJECTED);
            Box::pin(tokio::time::sleep(delay)).await;
            // What follows begins now, its timeouts too.
            link.worker.look();
        }
        // Made before the wait that follows, so that what was decided is not kept beside it.
        act(decided, link, dress, head, exchange)?
    };
    forward.run(dress, head, down, exchange).await
}

/// What is to be done with a request.
struct Decided<'a> {
    client: Client,
    decision: Decision<'a>,
    passage: Passage<'a>,
    /// Found before any wait: a change meanwhile may take the cluster away.
    upstream: Option<Rc<Upstream>>,
}

/// Brings a request to its form, and decides.
fn decide<'a>(
    link: &Rc<Link>,
    identity: &'a Identity,
    dress: &mut Dress<'a>,
    head: &mut RequestHead,
    exchange: &mut Exchange,
) -> Result<Decided<'a>, Box<Reply>> {
    if link.worker.gate().refuses_request() {
        return Err(Reply::overloaded().into());
    }
    let chain = dress.chain();
    let (client, trace) = accept::accept(link, identity, chain, head)?;
    exchange.traced(trace);
    exchange.called_by(&client);
    dress.accepted(&head.fields);
    meet_peer(link, identity, chain, head, exchange);
    let table = identity.table().ok_or_else(Reply::no_route)?;
    let seen = Seen {
        head,
        caller: link.caller(client.address),
    };
    let (decision, passage) = link.worker.random(|rng| {
        let decision = resolve::request(table, &seen, rng);
        let passage = filters::pass(&chain.filters, &decision, &seen, rng);
        (decision, passage)
    });
    dress.decided(&decision, passage.cors.clone());
    if let Some(route) = decision.route {
        exchange.routed(&route.name, &route.operation);
    }
    let upstream = match &decision.outcome {
        Outcome::Forward(target) => {
            let upstream = link.worker.upstreams().get(&target.branch.name);
            exchange.goes_to(&target.branch.name, upstream.as_deref());
            upstream
        }
        _ => None,
    };
    Ok(Decided {
        client,
        decision,
        passage,
        upstream,
    })
}

/// Does what was decided: answers, or says how the request goes on.
fn act<'a>(
    decided: Decided<'a>,
    link: &'a Rc<Link>,
    dress: &Dress<'a>,
    head: &mut RequestHead,
    exchange: &Exchange,
) -> Result<Forward<'a>, Box<Reply>> {
    if let Some(stop) = decided.passage.stop {
        let mut reply = stopped(stop);
        // Of routes that lead nowhere the edits are only for their own answers.
        reply.edited &= matches!(decided.decision.outcome, Outcome::Forward(_));
        return Err(reply.into());
    }
    let decision = decided.decision;
    match (decision.outcome, decision.virtual_host) {
        (Outcome::Direct { status, body }, _) => {
            Err(Reply::plain(status, "direct_response", body.to_owned()).into())
        }
        (Outcome::Redirect { status, location }, _) => {
            let reply = Reply::plain(status, "direct_response", "");
            Err(reply.with(Name::Location, location).into())
        }
        (Outcome::Forward(target), Some(host)) => {
            let no_cluster = target.forward.no_cluster_status;
            let upstream = decided.upstream;
            let upstream = upstream.ok_or_else(|| Reply::no_cluster(no_cluster))?;
            let way = Way {
                link,
                chain: dress.chain(),
                host,
                target,
                upstream,
            };
            Forward::new(way, &decided.client, head, exchange)
        }
        _ => Err(Reply::no_route().into()),
    }
}

/// The answer to a request that a filter does not let pass.
fn stopped(stop: Stop<'_>) -> Reply {
    match stop {
        Stop::Abort {
            status,
            grpc_status,
        } => Reply::abort(status, grpc_status),
        Stop::Preflight(headers) => {
            let reply = Reply {
                edited: false,
                ..Reply::plain(200, "cors_response", "")
            };
            headers.into_iter().fold(reply, |reply, (name, value)| {
                reply.with(name, value.into_owned())
            })
        }
        Stop::Denied { policy } => Reply {
            details: rbac::details(policy).into(),
            ..Reply::plain(403, "", "RBAC: access denied")
        },
    }
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

/// Source: Envoy `Grpc::Common::hasGrpcContentType`.
fn spoken(head: &RequestHead) -> Protocol {
    let kind = head.fields.get(Name::ContentType);
    match kind.and_then(|kind| kind.strip_prefix(b"application/grpc")) {
        Some([] | [b'+', ..]) => Protocol::Grpc,
        _ => Protocol::Http,
    }
}

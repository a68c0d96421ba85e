//! The way of one request: identify, prepare, resolve, forward or answer, record.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use aviary_mesh::endpoint::WorkloadLabels;
use aviary_mesh::listener::{Direction, HttpChain};
use aviary_mesh::resolve::{self, Decision, Head, Outcome};
use aviary_telemetry::access_log::line::{Headers, RequestLine};
use aviary_telemetry::{Protocol, peer, trace};
use http::header::{CONNECTION, HOST, HeaderMap, HeaderValue, LOCATION, SERVER};
use http::{Method, Request, Response, Version};
use http_body::Body as _;

use crate::connection::{Identity, Link};
use crate::forward::{self, Forwarded};
use crate::headers;
use crate::http::Body;
use crate::record::{Counted, Exchange, Recorded};
use crate::reply::Reply;

/// A request's head as the rules see it.
struct Seen<'a> {
    method: &'a Method,
    authority: &'a str,
    path: &'a str,
    headers: &'a HeaderMap,
}

impl Head for Seen<'_> {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn authority(&self) -> &str {
        self.authority
    }

    fn scheme(&self) -> &'static str {
        "http"
    }

    fn path_and_query(&self) -> &str {
        self.path
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?.to_str().ok()?;
        let Some(second) = values.next() else {
            return Some(Cow::Borrowed(first));
        };
        let separator = if name == "cookie" { "; " } else { "," };
        let mut joined = first.to_owned();
        for value in std::iter::once(second).chain(values) {
            joined.push_str(separator);
            joined.push_str(value.to_str().ok()?);
        }
        Some(Cow::Owned(joined))
    }
}

/// Answers one request of a connection.
pub(crate) async fn handle(link: Rc<Link>, request: Request<Body>) -> Response<Body> {
    let now = link.identify().filter(|identity| identity.http().is_some());
    // A chain that a change took away answers what is asked already, and then closes.
    let leaving = now.is_none();
    let identity = now.or_else(|| link.last_identity());
    let Some((identity, chain)) = identity
        .as_ref()
        .and_then(|identity| Some((identity, identity.http()?)))
    else {
        return Reply::no_route().into_response();
    };
    let mut exchange = Exchange::begin(
        &link.worker,
        chain.direction,
        spoken(request.headers()),
        chain.access_log,
    );
    let bodiless = request.method() == Method::HEAD;
    let answer = answer(&link, identity, chain, request, &mut exchange).await;
    let Forwarded {
        mut response,
        deadline,
        held,
    } = match answer {
        Ok(forwarded) => forwarded,
        Err(reply) => {
            exchange.note(&reply);
            Forwarded::local(reply.into_response())
        }
    };
    finish(chain, &mut response, leaving);
    if exchange.peer_told {
        response
            .headers_mut()
            .insert(peer::HEADER, link.worker.peer_header());
    } else {
        response.headers_mut().remove(peer::HEADER);
    }
    exchange.entry.code = response.status().as_u16();
    response.map(|body| Recorded::body(body, exchange, deadline, bodiless, held))
}

async fn answer(
    link: &Rc<Link>,
    identity: &Identity,
    chain: &HttpChain,
    request: Request<Body>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Reply> {
    let (mut request, authority) = accept(link, chain, request, exchange)?;
    meet_peer(link, identity, chain, request.headers_mut(), exchange);
    let table = identity.table().ok_or_else(Reply::no_route)?;
    let seen = Seen {
        method: request.method(),
        authority: &authority,
        path: request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str()),
        headers: request.headers(),
    };
    let decision = link
        .worker
        .random(|rng| resolve::request(table, &seen, rng));
    drop(authority);
    act(link, decision, request, exchange).await
}

/// Does what was decided.
async fn act(
    link: &Rc<Link>,
    decision: Decision<'_>,
    request: Request<Body>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Reply> {
    if let Some(route) = decision.route {
        exchange.entry.route_name = Cow::Owned(route.name.clone());
    }
    // Found before any wait: a change meanwhile may take the cluster away.
    let upstream = match &decision.outcome {
        Outcome::Forward(target) => {
            exchange.entry.upstream_cluster = Cow::Owned(target.branch.name.clone());
            link.worker.upstreams().get(&target.branch.name)
        }
        _ => None,
    };
    if let Some(upstream) = &upstream {
        exchange.service = upstream.service();
    }
    if let Some(delay) = decision.delay {
        exchange.flag("DI");
        tokio::time::sleep(delay).await;
    }
    match decision.outcome {
        Outcome::NotFound => Err(Reply::no_route()),
        Outcome::Abort { status } => Err(Reply::abort(status)),
        Outcome::Direct { status, body } => {
            Err(Reply::plain(status, "direct_response", body.to_owned()))
        }
        Outcome::Redirect { status, location } => {
            let reply = Reply::plain(status, "direct_response", "");
            exchange.note(&reply);
            let mut response = reply.into_response();
            let location = HeaderValue::from_str(&location)
                .map_err(|_| Reply::bad_request("redirect_location_invalid"))?;
            response.headers_mut().insert(LOCATION, location);
            Ok(Forwarded::local(response))
        }
        Outcome::Forward(target) => {
            let upstream = upstream.ok_or_else(Reply::no_cluster)?;
            let attempts = decision
                .virtual_host
                .is_some_and(|host| host.include_attempt_count);
            let forward = forward::Forward {
                link,
                target: &target,
                upstream,
                attempts,
            };
            forward.run(request, exchange).await
        }
    }
}

/// Checks a request, notes it for the log, and gives it the headers of this hop.
fn accept(
    link: &Link,
    chain: &HttpChain,
    request: Request<Body>,
    exchange: &mut Exchange,
) -> Result<(Request<Body>, String), Reply> {
    let (mut parts, mut body) = request.into_parts();
    let entry = &mut exchange.entry;
    entry.request = Some(RequestLine {
        method: parts.method.to_string(),
        path: parts
            .uri
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string),
        protocol: protocol_name(parts.version),
    });
    entry.downstream_local = Some(link.destination);
    entry.downstream_remote = Some(link.remote);
    let authority = authority(&parts).map(str::to_owned);
    entry.headers = Headers {
        user_agent: headers::text(&parts.headers, "user-agent"),
        authority: authority.clone().unwrap_or_default(),
        ..Headers::default()
    };
    let authority = authority.ok_or_else(|| Reply::bad_request("missing_host_header"))?;
    if parts.method == Method::CONNECT {
        return Err(Reply::plain(405, "connect_not_supported", ""));
    }
    let trust = if !chain.use_remote_address || is_near(link.remote.ip()) {
        trace::Trust::Caller
    } else {
        trace::Trust::Nobody
    };
    if chain.use_remote_address {
        headers::strip_claims(&mut parts.headers);
        if let Ok(address) = HeaderValue::from_str(&link.remote.ip().to_string()) {
            parts.headers.insert("x-forwarded-for", address);
        }
    }
    if !parts.headers.contains_key("x-forwarded-proto") {
        parts
            .headers
            .insert("x-forwarded-proto", HeaderValue::from_static("http"));
    }
    let sampling = chain.trace_sampling_percent;
    let id = link
        .worker
        .random(|rng| trace::header_map::prepare(&mut parts.headers, trust, sampling, rng));
    id.to_str()
        .unwrap_or("")
        .clone_into(&mut entry.headers.request_id);
    entry.headers.forwarded_for = headers::text(&parts.headers, "x-forwarded-for");
    body = if body.is_end_stream() {
        Body::empty()
    } else {
        Counted::body(body, &exchange.received)
    };
    Ok((Request::from_parts(parts, body), authority))
}

/// The one host that a request names; `None` when it names none, or several.
fn authority(parts: &http::request::Parts) -> Option<&str> {
    if let Some(authority) = parts.uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next()?;
    if hosts.next().is_some() {
        return None;
    }
    host.to_str().ok().filter(|host| !host.is_empty())
}

/// Learns who calls, on the way in; the header is for proxies only and goes no further.
fn meet_peer(
    link: &Link,
    identity: &Identity,
    chain: &HttpChain,
    headers: &mut HeaderMap,
    exchange: &mut Exchange,
) {
    let header = headers.remove(peer::HEADER);
    if chain.direction == Direction::Outbound {
        return;
    }
    let told = header.and_then(|value| remembered(link, &value));
    exchange.peer_told = told.is_some();
    let known = || identity.snapshot().workload(link.remote.ip()).cloned();
    exchange.source = told.or_else(known).unwrap_or_default();
}

fn remembered(link: &Link, value: &HeaderValue) -> Option<Arc<WorkloadLabels>> {
    let mut peer = link.peer.borrow_mut();
    if let Some((bytes, labels)) = peer.as_ref()
        && bytes == value.as_bytes()
    {
        return Some(Arc::clone(labels));
    }
    let labels = Arc::new(peer::decode(value.to_str().ok()?)?);
    *peer = Some((value.as_bytes().to_vec(), Arc::clone(&labels)));
    Some(labels)
}

/// Gives a reply the headers of this hop.
fn finish(chain: &HttpChain, response: &mut Response<Body>, leaving: bool) {
    *response.version_mut() = Version::HTTP_11;
    if let Ok(name) = HeaderValue::from_str(&chain.server_name) {
        response.headers_mut().insert(SERVER, name);
    }
    if leaving {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// On this machine or in a private network, where Envoy takes a client for its own.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

fn spoken(headers: &HeaderMap) -> Protocol {
    let grpc = headers
        .get(http::header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    if grpc { Protocol::Grpc } else { Protocol::Http }
}

fn protocol_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

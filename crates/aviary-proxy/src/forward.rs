//! Sending a request upstream: pick, send, judge, try again, pass the reply on.

mod attempt;
mod ask;
mod body;
mod clock;
mod mirror;
mod tries;

use std::borrow::Cow;
use std::rc::Rc;
use std::time::{Duration, Instant};

use aviary_http::{Framing, Name, RequestHead, ResponseHead, Upgrade};
use aviary_mesh::balance::{Ask, Avoid};
use aviary_mesh::circuit::Resource;
use aviary_mesh::listener::HttpChain;
use aviary_mesh::resolve::Target;
use aviary_mesh::route::{Retry, VirtualHost};
use aviary_mesh::timeout::Times;
use aviary_telemetry::{Protocol, Reporter, peer};

use self::attempt::{Attempt, Broken};
use self::body::RequestBody;
use self::clock::Clock;
use crate::connection::Link;
use crate::dress::Dress;
use crate::headers;
use crate::http::downstream::Downstream;
use crate::http::tunnel::Tunnel;
use crate::record::Exchange;
use crate::reply::{Reply, Reset};
use crate::request::Client;
use crate::upstream::{Active, Choice, Upstream};

pub(crate) use clock::Late;

/// What follows on the client's connection.
pub(crate) enum After {
    /// The reply is out, or was broken off.
    Over,
    /// The connections are joined: what is spoken now is nobody's business, but its length is told.
    Tunnel(Box<Tunnel>, Box<Exchange>),
}

/// One request that was resolved to a cluster.
pub(crate) struct Forward<'a> {
    link: &'a Rc<Link>,
    chain: &'a HttpChain,
    host: &'a VirtualHost,
    target: Target<'a>,
    upstream: Rc<Upstream>,
    times: Times,
    retry: Option<Cow<'a, Retry>>,
    /// A reply that is too late is hidden from the client.
    hides_timeout: bool,
}

/// Where a request goes, and what is said of it on the way.
pub(crate) struct Way<'a> {
    pub(crate) link: &'a Rc<Link>,
    pub(crate) chain: &'a HttpChain,
    pub(crate) host: &'a VirtualHost,
    pub(crate) target: Target<'a>,
    pub(crate) upstream: Rc<Upstream>,
}

/// The state of a request over all its tries.
struct Course {
    body: RequestBody,
    clock: Clock,
    /// It may become something else than HTTP.
    upgrade: bool,
    started: Instant,
    /// Endpoints that were tried.
    tried: Vec<usize>,
    tries: u32,
    /// Something of it may have reached an endpoint.
    reached: bool,
}

/// A try that brought the head of a reply.
struct Answer<'a> {
    attempt: Attempt<'a>,
    head: Box<ResponseHead>,
    choice: Choice,
    active: Active,
}

impl<'a> Forward<'a> {
    /// Prepares a request of `client` to go its way; what it asks of the proxy is taken out of it.
    ///
    /// # Errors
    /// The reply when it may not.
    pub(crate) fn new(
        way: Way<'a>,
        client: &Client,
        head: &mut RequestHead,
        exchange: &Exchange,
    ) -> Result<Self, Box<Reply>> {
        let Way {
            link,
            chain,
            host,
            target,
            upstream,
        } = way;
        let mut forward = Self {
            link,
            chain,
            host,
            target,
            upstream,
            times: Times::default(),
            retry: None,
            hides_timeout: false,
        };
        forward.check_upgrade(head)?;
        let (policy, route) = (forward.target.retry, forward.target.forward);
        let grpc = exchange.protocol == Protocol::Grpc;
        forward.times = ask::times(head, route, policy, chain, grpc, client.internal);
        forward.hides_timeout =
            client.internal && head.fields.remove(Name::XEnvoyUpstreamRqTimeoutAltResponse);
        forward.prepare(head, exchange);
        forward.retry = ask::retries(head, policy, client.internal, link.caller(client.address));
        Ok(forward)
    }

    /// Sends the request and passes the reply, with what `dress` gives it, on to `down`.
    ///
    /// # Errors
    /// The reply to give instead, while none was begun.
    pub(crate) async fn run(
        &self,
        dress: &Dress<'_>,
        head: &mut RequestHead,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
    ) -> Result<Option<Box<Tunnel>>, Box<Reply>> {
        exchange.tries(1);
        let permit = self
            .upstream
            .acquire(Resource::Request)
            .ok_or_else(|| Reply::reset(&Reset::Overflow, false))?;
        self.upstream.on_request();
        let worker = &self.link.worker;
        let (request, idle) = (self.chain.request_timeout, self.idle_timeout());
        let mut clock = Clock::new(&self.times, request, idle, worker.recent().into());
        let body_waits = !head.framing.is_empty();
        let body = self.body(head, down, &mut clock).await?;
        let mut course = Course {
            body,
            clock,
            upgrade: head.connection.upgrade.is_some(),
            started: if body_waits {
                worker.look()
            } else {
                worker.recent()
            },
            tried: Vec::new(),
            tries: 0,
            reached: false,
        };
        self.number(head, &mut course, dress);
        if !self.target.mirrors.is_empty() {
            mirror::send(self.link, &self.target.mirrors, head, &course.body);
        }
        let answer = self.tries(dress, head, &mut course, down, exchange).await;
        exchange.received = course.body.received;
        let mut answer = answer?;
        let now = worker.recent();
        let took = now.duration_since(course.started);
        exchange.answered(now);
        self.dress(&mut answer.head, took, &course, dress, exchange)?;
        let tunnel = match answer.head.status() {
            // The client has asked, and the endpoint has agreed.
            101 => Some(answer.attempt.take_tunnel()?),
            _ => None,
        };
        exchange.dress(&mut answer.head, down, "");
        let may_have_body =
            !dress.is_bodiless() && !matches!(answer.head.status(), 101 | 204 | 304);
        if answer.head.framing == Framing::None && may_have_body && down.is_http1() {
            // In HTTP/2 it ended with its head; a client of HTTP/1 would wait for more.
            answer.head.framing = Framing::Length(0);
        }
        if let Err(error) = down.respond(&answer.head) {
            tracing::debug!(%error, "the client is gone");
            exchange.client_left();
            return Ok(None);
        }
        if let Some(mut tunnel) = tunnel {
            tunnel.hold(self.idle_timeout(), (permit, answer.active));
            return Ok(Some(tunnel));
        }
        worker.keep_head(answer.head);
        answer.attempt.pass_body(&mut course, down, exchange).await;
        Ok(None)
    }

    /// How long nothing may move.
    fn idle_timeout(&self) -> Option<Duration> {
        match self.target.forward.idle_timeout {
            Some(idle) => Some(idle).filter(|idle| !idle.is_zero()),
            None => self.chain.stream_idle_timeout,
        }
    }

    /// Refuses what may not become something else than HTTP.
    fn check_upgrade(&self, head: &RequestHead) -> Result<(), Box<Reply>> {
        let route = self.target.forward;
        let allowed = (self.chain.websocket || route.websocket) && !route.no_websocket;
        match head.connection.upgrade {
            None => Ok(()),
            Some(Upgrade::WebSocket) if allowed => Ok(()),
            Some(_) => Err(Reply::plain(403, "upgrade_failed", "").into()),
        }
    }

    /// Makes the head what goes out.
    ///
    /// Source: Envoy `RouteEntryImplBase::finalizeRequestHeaders`.
    fn prepare(&self, head: &mut RequestHead, exchange: &Exchange) {
        let tells = !self.chain.suppress_envoy_headers;
        headers::apply(&mut head.fields, self.target.request_edits);
        let (route, branch) = (self.target.forward, self.target.branch);
        match self.target.host.as_deref() {
            None => {}
            // That a branch did it is not told.
            Some(host)
                if route.host_rewrite.is_none() && branch.host_rewrite.as_deref() == Some(host) =>
            {
                head.set_authority(host);
            }
            Some(host) => self.set_host(head, host),
        }
        if let Some(path) = &self.target.path {
            if tells {
                let before = head.path().to_owned();
                let fields = &mut head.fields;
                fields.set(Name::XEnvoyOriginalPath, before.as_bytes());
            }
            head.set_path(path);
        }
        if exchange.reporter() == Reporter::Source
            && let Some(own) = self.link.worker.peer_header()
        {
            head.fields.set(peer::HEADER, own);
        }
    }

    /// Another host, and what it was before.
    ///
    /// Source: Envoy `Http::Utility::updateAuthority`.
    fn set_host(&self, head: &mut RequestHead, host: &str) {
        let before = head.authority().to_owned();
        if self.target.forward.append_forwarded_host {
            headers::append_to_list(&mut head.fields, Name::XForwardedHost, ",", &before);
        }
        if !self.chain.suppress_envoy_headers {
            let fields = &mut head.fields;
            fields.set(Name::XEnvoyOriginalHost, before.as_bytes());
        }
        head.set_authority(host);
    }

    /// Counts a try, and tells of it.
    fn number(&self, head: &mut RequestHead, course: &mut Course, dress: &Dress<'_>) {
        course.tries += 1;
        if self.host.include_attempt_count {
            let tries = u64::from(course.tries);
            head.fields.set_number(Name::XEnvoyAttemptCount, tries);
        }
        if self.host.attempt_count_in_response {
            dress.tried(course.tries);
        }
        let elapsed = if course.tries > 1 {
            course.started.elapsed()
        } else {
            Duration::ZERO
        };
        if !self.chain.suppress_envoy_headers
            && let Some(expected) = self.times.expected(elapsed)
        {
            let millis = u64::try_from(expected.as_millis()).unwrap_or(u64::MAX);
            head.fields
                .set_number(Name::XEnvoyExpectedRqTimeoutMs, millis);
        }
    }

    /// The body, read ahead when it may be needed more than once.
    async fn body(
        &self,
        head: &RequestHead,
        down: &mut Downstream<'_>,
        clock: &mut Clock,
    ) -> Result<RequestBody, Box<Reply>> {
        let mirrored = !self.target.mirrors.is_empty();
        let repeats = self.retry.is_some();
        let wanted = match head.framing {
            framing if framing.is_empty() => return Ok(RequestBody::none()),
            Framing::Length(length) => length <= body::KEEP_LIMIT as u64 && (mirrored || repeats),
            _ if repeats && !mirrored => return Ok(RequestBody::recorded()),
            _ => mirrored,
        };
        if wanted {
            RequestBody::gather(down, clock).await
        } else {
            Ok(RequestBody::streamed())
        }
    }

    /// One try: an endpoint, a connection, the head of an answer.
    async fn once<'b>(
        &'b self,
        head: &mut RequestHead,
        course: &mut Course,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
    ) -> Result<Answer<'b>, Box<Broken>> {
        let worker = &self.link.worker;
        let ask = Ask {
            hash: self.target.hash.value,
            avoid: Avoid {
                tried: &course.tried,
                attempts: self.retry.as_ref().map_or(0, |retry| retry.avoid_previous),
            },
            now: worker.recently(),
        };
        let destination = (!self.link.direct).then_some(self.link.destination);
        let picked = worker.random(|rng| self.upstream.pick(destination, &ask, rng));
        let Some(choice) = picked else {
            return Err(Broken::not_tried(Reply::no_endpoint()).into());
        };
        exchange.chose(&choice);
        if self.target.forward.auto_host_rewrite
            && let Some(host) = &choice.hostname
        {
            self.set_host(head, host);
        }
        let active = choice.host.enter();
        let mut attempt = Attempt::new(self, course.tries > 1);
        let mut answer = worker.take_head();
        let sent = attempt
            .send(head, course, down, &choice, &mut answer, exchange)
            .await;
        match sent {
            Ok(()) => Ok(Answer {
                attempt,
                head: answer,
                choice,
                active,
            }),
            Err(mut broken) => {
                broken.choice = Some(choice);
                Err(broken)
            }
        }
    }

    /// Gives the head of an answer what it has on its way to the client.
    ///
    /// # Errors
    /// The reply to give instead.
    fn dress(
        &self,
        head: &mut ResponseHead,
        took: Duration,
        course: &Course,
        dress: &Dress<'_>,
        exchange: &mut Exchange,
    ) -> Result<(), Box<Reply>> {
        let agreed = course.upgrade && head.connection.upgrade == Some(Upgrade::WebSocket);
        if head.status() == 101 && !agreed {
            return Err(Reply::reset(&Reset::Protocol, course.tries > 1).into());
        }
        exchange.learn(head);
        // Who asked is told by the proxy beside the application, and by nobody else.
        head.fields.remove(Name::XAviaryUnreached);
        dress.endpoints(&mut head.fields, took);
        if let Some(cookie) = self.target.hash.cookie.filter(|_| self.follows_hash()) {
            let fields = &mut head.fields;
            fields.append(Name::SetCookie, cookie.to_string().as_bytes());
        }
        dress.hop(head, self.link.worker.dates());
        Ok(())
    }

    /// Whether something was chosen by the request's hash.
    fn follows_hash(&self) -> bool {
        self.target.forward.hash_split || self.upstream.policy().balance.is_hashing()
    }
}

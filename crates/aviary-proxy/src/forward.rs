//! Sending a request upstream: pick, send, judge, try again.

mod message;
mod mirror;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use aviary_mesh::balance::Avoid;
use aviary_mesh::circuit::Resource;
use aviary_mesh::resolve::Target;
use aviary_mesh::{outlier, retry};
use aviary_telemetry::{Reporter, peer};
use http::header::HeaderValue;
use http::{Request, Response, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;

use self::message::Message;
use crate::connection::Link;
use crate::headers;
use crate::http::{Body, tunnel};
use crate::record::Exchange;
use crate::reply::{Reply, Reset};
use crate::upstream::{Active, Choice, ConnectError, Permit, Upstream, count};

/// Bodies up to this size are kept for a second try or a mirror, in bytes.
const KEEP_LIMIT: usize = 64 << 10;

/// A pooled connection that turns out closed is replaced at most this often for one try.
const STALE_LIMIT: u32 = 5;

/// What is in use until a reply is over.
#[derive(Default)]
pub(crate) struct Held {
    _active: Option<Active>,
    _request: Option<Permit>,
}

/// A reply on its way back.
pub(crate) struct Forwarded {
    pub(crate) response: Response<Body>,
    /// By then it must be over.
    pub(crate) deadline: Option<Instant>,
    pub(crate) held: Held,
}

impl Forwarded {
    /// A reply of the proxy's own.
    pub(crate) fn local(response: Response<Body>) -> Self {
        Self {
            response,
            deadline: None,
            held: Held::default(),
        }
    }
}

/// One request that was resolved to a cluster.
pub(crate) struct Forward<'a> {
    pub(crate) link: &'a Rc<Link>,
    pub(crate) target: &'a Target<'a>,
    pub(crate) upstream: Rc<Upstream>,
    /// Tries are counted for the endpoint to see.
    pub(crate) attempts: bool,
}

/// What a try ended with.
struct Answer {
    response: Response<Body>,
    active: Active,
    choice: Choice,
    local: Option<SocketAddr>,
}

/// A try without an answer.
struct Broken {
    outcome: retry::Outcome,
    reply: Reply,
    choice: Option<Choice>,
}

impl Forward<'_> {
    /// Sends `request` and gives the reply's head, within the route's timeout.
    pub(crate) async fn run(
        &self,
        mut request: Request<Body>,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Reply> {
        let permit = self
            .upstream
            .acquire(Resource::Request)
            .ok_or_else(|| Reply::reset(&Reset::Overflow, false))?;
        self.upstream.on_request();
        let deadline = self.target.timeout.map(|timeout| Instant::now() + timeout);
        let websocket =
            self.target.forward.websocket && headers::wants_websocket(request.headers());
        let client = websocket.then(|| tunnel::Pending::of_request(&mut request));
        let message = self.message(request, exchange, websocket).await?;
        let started = Instant::now();
        let tries = self.tries(message, exchange);
        let answer = match deadline {
            None => tries.await?,
            Some(deadline) => {
                if let Ok(answer) = tokio::time::timeout_at(deadline, tries).await {
                    answer?
                } else {
                    self.time_out(exchange);
                    return Err(Reply::timeout());
                }
            }
        };
        let took = started.elapsed();
        let mut response = answer.response;
        exchange.entry.details = Cow::Borrowed("via_upstream");
        exchange.entry.upstream_service_time = Some(took);
        exchange.entry.upstream_local = answer.local;
        learn(&mut response, exchange);
        let switching = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        match client {
            Some(client) if switching => self.switch(client, &mut response),
            _ if switching => return Err(Reply::reset(&Reset::Terminated, false)),
            _ => headers::strip_hop(response.headers_mut()),
        }
        self.edit_reply(&mut response, took);
        let held = Held {
            _active: Some(answer.active),
            _request: Some(permit),
        };
        Ok(Forwarded {
            response,
            deadline: deadline.filter(|_| !switching),
            held,
        })
    }

    /// The message as it goes out, copies for mirrors already sent.
    async fn message(
        &self,
        request: Request<Body>,
        exchange: &Exchange,
        websocket: bool,
    ) -> Result<Message, Reply> {
        let (mut head, mut body) = request.into_parts();
        head.extensions.clear();
        message::address(&mut head, self.target, self.upstream.policy().protocol)?;
        headers::strip_hop(&mut head.headers);
        if websocket {
            headers::put_websocket(&mut head.headers);
        }
        for edits in self.target.request_edits {
            headers::edit(&mut head.headers, edits);
        }
        if exchange.reporter() == Reporter::Source {
            head.headers
                .insert(peer::HEADER, self.link.worker.peer_header());
        }
        let known = body
            .size_hint()
            .upper()
            .is_some_and(|size| size <= KEEP_LIMIT as u64);
        let mirrors = !self.target.mirrors.is_empty();
        if mirrors || (self.target.retry.is_some() && known) {
            body = body
                .gather(KEEP_LIMIT)
                .await
                .map_err(|_| Reply::bad_request("downstream_request_body_broken"))?;
        }
        if mirrors {
            mirror::send(self.link, &self.target.mirrors, &head, &body);
        }
        Ok(Message {
            head,
            body: Some(body),
        })
    }

    /// Tries until there is an answer to give back.
    async fn tries(&self, mut message: Message, exchange: &mut Exchange) -> Result<Answer, Reply> {
        let mut tried = Vec::new();
        let mut tries = 0;
        loop {
            tries += 1;
            if self.attempts {
                message
                    .head
                    .headers
                    .insert("x-envoy-attempt-count", HeaderValue::from(tries));
            }
            let result = self.once(&mut message, &tried, tries > 1, exchange).await;
            let outcome = match &result {
                Ok(answer) => status_of(&answer.response),
                Err(broken) => broken.outcome,
            };
            let choice = match &result {
                Ok(answer) => Some(&answer.choice),
                Err(broken) => broken.choice.as_ref(),
            };
            if let Some(choice) = choice {
                self.judge(choice, outcome);
                tried.push(choice.index);
            }
            let again = self.again(&message, outcome, tries, exchange);
            let Some((pause, _permit)) = again else {
                return result.map_err(|broken| broken.reply);
            };
            if let Ok(answer) = result {
                // Read to its end, so that the connection can be used again.
                tokio::task::spawn_local(answer.response.into_body().gather(KEEP_LIMIT));
            }
            count(&self.upstream.counters.retries);
            tokio::time::sleep(pause).await;
        }
    }

    /// The pause before another try, when there is to be one.
    fn again(
        &self,
        message: &Message,
        outcome: retry::Outcome,
        tries: u32,
        exchange: &mut Exchange,
    ) -> Option<(Duration, Permit)> {
        let policy = self.target.retry?;
        let worker = &self.link.worker;
        let method = message.head.method.as_str();
        let attempt = retry::Attempt {
            method,
            tries,
            repeatable: message.is_repeatable(),
        };
        if !retry::should_retry(outcome, policy, &attempt) {
            let first = retry::Attempt {
                tries: 0,
                ..attempt
            };
            if tries > policy.attempts && retry::should_retry(outcome, policy, &first) {
                exchange.flag("URX");
            }
            return None;
        }
        if !self.upstream.may_retry(worker.now()) {
            exchange.flag("URX");
            return None;
        }
        let permit = self.upstream.acquire(Resource::Retry)?;
        Some((
            worker.random(|rng| retry::back_off(policy, tries, rng)),
            permit,
        ))
    }

    /// One try: an endpoint, a connection, the head of an answer.
    async fn once(
        &self,
        message: &mut Message,
        tried: &[usize],
        retried: bool,
        exchange: &mut Exchange,
    ) -> Result<Answer, Broken> {
        let worker = &self.link.worker;
        let avoid = Avoid {
            tried,
            attempts: self.target.retry.map_or(0, |retry| retry.avoid_previous),
        };
        let destination = (!self.link.direct).then_some(self.link.destination);
        let picked = worker.random(|rng| self.upstream.pick(destination, avoid, worker.now(), rng));
        let Some(choice) = picked else {
            return Err(Broken {
                outcome: retry::Outcome::NotTried,
                reply: Reply::no_endpoint(),
                choice: None,
            });
        };
        exchange.entry.upstream_host = Some(choice.host.address());
        if exchange.reporter() == Reporter::Source {
            exchange.destination = choice.workload.clone();
        }
        let send = self.send(message, &choice, retried);
        let sent = match self.target.retry.and_then(|retry| retry.per_try_timeout) {
            None => send.await,
            Some(limit) => tokio::time::timeout(limit, send)
                .await
                .unwrap_or_else(|_| Err((retry::Outcome::PerTryTimeout, Reply::per_try_timeout()))),
        };
        match sent {
            Ok((response, active, local)) => Ok(Answer {
                response,
                active,
                choice,
                local,
            }),
            Err((outcome, reply)) => Err(Broken {
                outcome,
                reply,
                choice: Some(choice),
            }),
        }
    }

    /// Sends to the endpoint chosen; a pooled connection that was closed meanwhile is replaced.
    async fn send(
        &self,
        message: &mut Message,
        choice: &Choice,
        retried: bool,
    ) -> Result<(Response<Body>, Active, Option<SocketAddr>), (retry::Outcome, Reply)> {
        let worker = &self.link.worker;
        let active = choice.host.enter();
        let mut unsent = None;
        for stale in 0.. {
            let connected = self.upstream.connection(worker, &choice.host).await;
            let mut lease = connected.map_err(|error| {
                let failed = retry::Outcome::ConnectFailed;
                let (outcome, reset) = match error {
                    ConnectError::Overflow => (retry::Outcome::NotTried, Reset::Overflow),
                    ConnectError::TimedOut => (failed, Reset::ConnectTimeout),
                    ConnectError::Refused(words) => (failed, Reset::Connect(words)),
                };
                (outcome, Reply::reset(&reset, retried))
            })?;
            let Some(request) = unsent.take().or_else(|| message.next()) else {
                break;
            };
            match lease.send(request).await {
                Ok(response) => {
                    let local = lease.local();
                    lease.give_back(worker);
                    return Ok((response, active, local));
                }
                Err(error) => {
                    tracing::debug!(endpoint = %choice.host.address(), reason = %error.reason, "no answer");
                    let whole = error.unsent.is_some();
                    let again = lease.is_reused()
                        && stale < STALE_LIMIT
                        && (whole
                            || (message.is_repeatable()
                                && retry::is_safe(message.head.method.as_str())));
                    if again {
                        unsent = error.unsent.map(|request| *request);
                        continue;
                    }
                    // Nothing of it was sent: it can go out once more.
                    if let Some(request) = error.unsent {
                        message.body = Some(request.into_body());
                    }
                    let (outcome, reset) = match (whole, error.refused) {
                        (_, true) => (retry::Outcome::Refused, Reset::Refused),
                        (true, _) => (retry::Outcome::ResetBeforeRequest, Reset::Terminated),
                        (false, _) => (retry::Outcome::Reset, Reset::Terminated),
                    };
                    return Err((outcome, Reply::reset(&reset, retried)));
                }
            }
        }
        Err((
            retry::Outcome::Reset,
            Reply::reset(&Reset::Terminated, retried),
        ))
    }

    /// Tells outlier detection.
    fn judge(&self, choice: &Choice, outcome: retry::Outcome) {
        let seen = match outcome {
            retry::Outcome::Status { status, .. } => outlier::Outcome::Status(status),
            retry::Outcome::PerTryTimeout => outlier::Outcome::TimedOut,
            retry::Outcome::NotTried => return,
            _ => outlier::Outcome::ConnectionFailed,
        };
        self.upstream
            .on_outcome(choice.host.address(), seen, self.link.worker.now());
    }

    /// The request's time ended while an endpoint had it.
    fn time_out(&self, exchange: &Exchange) {
        if let Some(address) = exchange.entry.upstream_host {
            let now = self.link.worker.now();
            self.upstream
                .on_outcome(address, outlier::Outcome::TimedOut, now);
        }
    }

    fn edit_reply(&self, response: &mut Response<Body>, took: Duration) {
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let fields = response.headers_mut();
        fields.insert("x-envoy-upstream-service-time", HeaderValue::from(millis));
        for edits in self.target.response_edits {
            headers::edit(fields, edits);
        }
    }

    /// Joins both connections once the client has its 101.
    fn switch(&self, client: tunnel::Pending, response: &mut Response<Body>) {
        let endpoint = tunnel::Pending::of_response(response);
        headers::strip_hop(response.headers_mut());
        headers::put_websocket(response.headers_mut());
        self.link.worker.spawn(async move {
            if let (Ok(mut client), Ok(mut endpoint)) =
                (client.ready().await, endpoint.ready().await)
                && let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut endpoint).await
            {
                tracing::debug!(%error, "websocket ended");
            }
        });
    }
}

/// Takes from the reply what the other proxy says of its workload.
fn learn(response: &mut Response<Body>, exchange: &mut Exchange) {
    if let Some(status) = response.headers().get("grpc-status")
        && let Ok(status) = status.to_str()
    {
        exchange.grpc_status = Cow::Owned(status.to_owned());
    }
    let Some(header) = response.headers_mut().remove(peer::HEADER) else {
        return;
    };
    if exchange.reporter() == Reporter::Source
        && exchange.destination.workload.is_empty()
        && let Some(labels) = header.to_str().ok().and_then(peer::decode)
    {
        exchange.destination = labels.into();
    }
}

fn status_of(response: &Response<Body>) -> retry::Outcome {
    let grpc_status = response
        .headers()
        .get("grpc-status")
        .and_then(|status| status.to_str().ok()?.parse().ok());
    retry::Outcome::Status {
        status: response.status().as_u16(),
        grpc_status,
    }
}

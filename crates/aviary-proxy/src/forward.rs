//! Sending a request upstream: pick, send, judge, try again, pass the reply on.

mod attempt;
mod body;
mod mirror;

use std::rc::Rc;
use std::time::Duration;

use aviary_http::{Framing, Name, RequestHead, ResponseHead, Upgrade};
use aviary_mesh::balance::{Ask, Avoid};
use aviary_mesh::circuit::Resource;
use aviary_mesh::resolve::Target;
use aviary_mesh::{outlier, retry};
use aviary_telemetry::recorder::GrpcStatus;
use aviary_telemetry::{Flags, Reporter, peer};
use tokio::time::Instant;

use self::attempt::{Attempt, Broken};
use self::body::RequestBody;
use crate::connection::Link;
use crate::headers;
use crate::http::downstream::Downstream;
use crate::http::tunnel::Tunnel;
use crate::record::Exchange;
use crate::reply::{Reply, Reset};
use crate::upstream::{Active, Choice, Permit, Upstream, count};

/// What follows on the client's connection.
pub(crate) enum After {
    /// The reply is out, or was broken off.
    Over,
    /// The connections are joined: what is spoken now is nobody's business, but its length is told.
    Tunnel(Tunnel, Box<Exchange>),
}

/// One request that was resolved to a cluster.
pub(crate) struct Forward<'a> {
    pub(crate) link: &'a Rc<Link>,
    pub(crate) target: &'a Target<'a>,
    pub(crate) upstream: Rc<Upstream>,
    /// Tries are counted for the endpoint to see.
    pub(crate) attempts: bool,
    /// Value of the `server` field of replies.
    pub(crate) server: &'a str,
}

/// A try that brought the head of a reply.
struct Answer<'a> {
    attempt: Attempt<'a>,
    head: ResponseHead,
    choice: Choice,
    _active: Active,
}

impl Forward<'_> {
    /// Sends the request and passes the reply on to `down`; gives what the connection becomes.
    ///
    /// # Errors
    /// The reply to give instead, while none was begun.
    pub(crate) async fn run(
        &self,
        head: &mut RequestHead,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
    ) -> Result<Option<Tunnel>, Reply> {
        let permit = self
            .upstream
            .acquire(Resource::Request)
            .ok_or_else(|| Reply::reset(&Reset::Overflow, false))?;
        self.upstream.on_request();
        let upgrade = self.upgrade(head)?;
        self.prepare(head, exchange);
        let mut body = self.body(head, down).await?;
        if !self.target.mirrors.is_empty() {
            mirror::send(self.link, &self.target.mirrors, head, &body);
        }
        let started = Instant::now();
        let answer = self.tries(head, upgrade, &mut body, down, exchange).await?;
        let took = started.elapsed();
        exchange.answered();
        self.pass_on(answer, took, permit, body, down, exchange)
            .await
    }

    /// Whether the request may become something else than HTTP.
    fn upgrade(&self, head: &RequestHead) -> Result<bool, Reply> {
        match head.connection.upgrade {
            None => Ok(false),
            Some(Upgrade::WebSocket) if self.target.forward.websocket => Ok(true),
            Some(_) => Err(Reply::plain(403, "upgrade_failed", "")),
        }
    }

    /// Makes the head what goes out.
    fn prepare(&self, head: &mut RequestHead, exchange: &Exchange) {
        if let Some(path) = &self.target.path {
            head.set_path(path);
        }
        if let Some(host) = &self.target.host {
            head.set_authority(host);
        }
        for edits in self.target.request_edits {
            headers::edit(&mut head.fields, edits);
        }
        if exchange.reporter() == Reporter::Source {
            head.fields
                .set(peer::HEADER, self.link.worker.peer_header());
        }
    }

    /// The body, read ahead when it may be needed more than once.
    async fn body(
        &self,
        head: &RequestHead,
        down: &mut Downstream<'_>,
    ) -> Result<RequestBody, Reply> {
        let mirrored = !self.target.mirrors.is_empty();
        let wanted = match head.framing {
            framing if framing.is_empty() => return Ok(RequestBody::none()),
            Framing::Length(length) => {
                length <= body::KEEP_LIMIT as u64 && (mirrored || self.target.retry.is_some())
            }
            _ => mirrored,
        };
        if !wanted {
            return Ok(RequestBody::streamed());
        }
        RequestBody::gather(down)
            .await
            .map_err(|_| Reply::bad_request("downstream_request_body_broken"))
    }

    /// Tries until there is an answer to give back.
    async fn tries<'a>(
        &'a self,
        head: &mut RequestHead,
        upgrade: bool,
        body: &mut RequestBody,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
    ) -> Result<Answer<'a>, Reply> {
        let mut tried = Vec::new();
        let mut tries = 0;
        let mut deadline = None;
        loop {
            tries += 1;
            if self.attempts {
                headers::set_number(&mut head.fields, "x-envoy-attempt-count", u64::from(tries));
            }
            let result = self
                .once(
                    head,
                    upgrade,
                    body,
                    down,
                    exchange,
                    (&tried, tries > 1),
                    &mut deadline,
                )
                .await;
            let (outcome, choice) = match &result {
                Ok(answer) => (status_of(&answer.head), Some(&answer.choice)),
                Err(broken) => (broken.outcome, broken.choice.as_ref()),
            };
            let index = choice.map(|choice| {
                self.judge(choice, outcome);
                choice.index
            });
            if matches!(&result, Err(broken) if broken.is_final) {
                return result.map_err(|broken| broken.reply);
            }
            let again = self.again(head, body, outcome, tries, exchange);
            let Some((pause, _permit)) = again else {
                return result.map_err(|broken| broken.reply);
            };
            tried.extend(index);
            if let Ok(answer) = result {
                answer.attempt.drop_reply();
            }
            body.rewind();
            count(&self.upstream.counters.retries);
            tokio::time::sleep(pause).await;
        }
    }

    /// The pause before another try, when there is to be one.
    fn again(
        &self,
        head: &RequestHead,
        body: &RequestBody,
        outcome: retry::Outcome,
        tries: u32,
        exchange: &mut Exchange,
    ) -> Option<(Duration, Permit)> {
        let policy = self.target.retry?;
        let worker = &self.link.worker;
        let attempt = retry::Attempt {
            method: head.method(),
            tries,
            repeatable: body.is_repeatable(),
        };
        if !retry::should_retry(outcome, policy, &attempt) {
            let first = retry::Attempt {
                tries: 0,
                ..attempt
            };
            if tries > policy.attempts && retry::should_retry(outcome, policy, &first) {
                exchange.flag(Flags::UPSTREAM_RETRY_LIMIT_EXCEEDED);
            }
            return None;
        }
        if !self.upstream.may_retry(worker.now()) {
            exchange.flag(Flags::UPSTREAM_RETRY_LIMIT_EXCEEDED);
            return None;
        }
        let permit = self.upstream.acquire(Resource::Retry)?;
        Some((
            worker.random(|rng| retry::back_off(policy, tries, rng)),
            permit,
        ))
    }

    /// One try: an endpoint, a connection, the head of an answer.
    #[expect(
        clippy::too_many_arguments,
        reason = "the state of one request, by its parts"
    )]
    async fn once<'a>(
        &'a self,
        head: &RequestHead,
        upgrade: bool,
        body: &mut RequestBody,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
        (tried, retried): (&[usize], bool),
        deadline: &mut Option<Instant>,
    ) -> Result<Answer<'a>, Broken> {
        let worker = &self.link.worker;
        let ask = Ask {
            hash: self.target.hash.value,
            avoid: Avoid {
                tried,
                attempts: self.target.retry.map_or(0, |retry| retry.avoid_previous),
            },
            now: worker.now(),
        };
        let destination = (!self.link.direct).then_some(self.link.destination);
        let picked = worker.random(|rng| self.upstream.pick(destination, &ask, rng));
        let Some(choice) = picked else {
            return Err(Broken::not_tried(Reply::no_endpoint()));
        };
        exchange.chose(&choice);
        let active = choice.host.enter();
        let mut attempt = Attempt::new(self, retried);
        let mut answer = worker.take_head();
        let sent = attempt
            .send(
                head,
                upgrade,
                body,
                down,
                &choice,
                deadline,
                &mut answer,
                exchange,
            )
            .await;
        match sent {
            Ok(()) => Ok(Answer {
                attempt,
                head: answer,
                choice,
                _active: active,
            }),
            Err(broken) => Err(Broken {
                choice: Some(choice),
                ..broken
            }),
        }
    }

    /// Tells outlier detection.
    fn judge(&self, choice: &Choice, outcome: retry::Outcome) {
        let seen = match outcome {
            retry::Outcome::Status { status, .. } => outlier::Outcome::Status(status),
            retry::Outcome::PerTryTimeout => outlier::Outcome::TimedOut,
            retry::Outcome::NotTried => return,
            _ => outlier::Outcome::ConnectionFailed,
        };
        let (worker, address) = (&self.link.worker, choice.host.address());
        worker.random(|rng| self.upstream.on_outcome(address, seen, worker.now(), rng));
    }

    /// Gives the reply to the client.
    async fn pass_on(
        &self,
        mut answer: Answer<'_>,
        took: Duration,
        permit: Permit,
        body: RequestBody,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
    ) -> Result<Option<Tunnel>, Reply> {
        let head = &mut answer.head;
        exchange.learn(head);
        let switching = head.status() == 101;
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        headers::set_number(&mut head.fields, "x-envoy-upstream-service-time", millis);
        for edits in self.target.response_edits {
            headers::edit(&mut head.fields, edits);
        }
        let hash = &self.target.hash;
        let followed =
            || self.target.forward.hash_split || self.upstream.policy().balance.is_hashing();
        if let Some(cookie) = hash.cookie.filter(|_| followed()) {
            head.fields
                .append("set-cookie", cookie.to_string().as_bytes());
        }
        if switching {
            return self.switch(answer, permit, down, exchange);
        }
        exchange.dress(head, down, self.server);
        if let Err(error) = down.respond(head) {
            tracing::debug!(%error, "the client is gone");
            exchange.client_left();
            return Ok(None);
        }
        self.link.worker.keep_head(answer.head);
        answer.attempt.pass_body(body, down, exchange).await;
        Ok(None)
    }

    /// Joins both connections: the client has asked, and the endpoint has agreed.
    fn switch(
        &self,
        mut answer: Answer<'_>,
        permit: Permit,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
    ) -> Result<Option<Tunnel>, Reply> {
        let agreed = answer.head.connection.upgrade == Some(Upgrade::WebSocket);
        let tunnel = answer
            .attempt
            .into_tunnel()
            .filter(|_| agreed)
            .ok_or_else(|| Reply::reset(&Reset::Terminated, false))?;
        exchange.dress(&mut answer.head, down, self.server);
        if down.respond(&answer.head).is_err() {
            exchange.client_left();
            return Ok(None);
        }
        Ok(Some(tunnel.holding((permit, answer._active))))
    }
}

fn status_of(head: &ResponseHead) -> retry::Outcome {
    let grpc_status = head
        .fields
        .get(Name::GrpcStatus)
        .and_then(|status| GrpcStatus::parse(status).number());
    retry::Outcome::Status {
        status: head.status(),
        grpc_status: grpc_status.map(u16::from),
    }
}

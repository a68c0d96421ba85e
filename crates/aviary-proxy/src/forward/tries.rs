//! Trying again.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use aviary_http::{Name, RequestHead, ResponseHead};
use aviary_mesh::circuit::Resource;
use aviary_mesh::route::Retry;
use aviary_mesh::{outlier, retry};
use aviary_telemetry::Flags;
use aviary_telemetry::recorder::GrpcStatus;

use super::attempt::Broken;
use super::clock::Doing;
use super::{Answer, Course, Forward, ask};
use crate::dress::Dress;
use crate::http::downstream::Downstream;
use crate::record::Exchange;
use crate::reply::Reply;
use crate::upstream::{Choice, Permit, count};

impl Forward<'_> {
    /// Tries until there is an answer to give back.
    pub(super) async fn tries<'b>(
        &'b self,
        dress: &Dress<'_>,
        head: &mut RequestHead,
        course: &mut Course,
        down: &mut Downstream<'_>,
        exchange: &mut Exchange,
    ) -> Result<Answer<'b>, Box<Reply>> {
        loop {
            let result = self.once(head, course, down, exchange).await;
            self.link.worker.look();
            let (outcome, choice, fields) = match &result {
                Ok(answer) => (
                    status_of(&answer.head),
                    Some(&answer.choice),
                    Some(&answer.head.fields),
                ),
                Err(broken) => (broken.outcome, broken.choice.as_ref(), None),
            };
            course.reached |= outcome.reached_upstream();
            let index = choice.map(|choice| {
                self.judge(choice, outcome);
                choice.index
            });
            if matches!(&result, Err(broken) if broken.is_final) {
                return result.map_err(|broken| given_up(*broken, course).into());
            }
            let again = match &self.retry {
                None => None,
                Some(policy) => {
                    let attempt = retry::Attempt {
                        method: head.method(),
                        tries: course.tries,
                        repeatable: course.body.is_repeatable(),
                        ..ask::answer(policy, fields)
                    };
                    self.again(policy, outcome, attempt, exchange)
                }
            };
            let Some((pause, _permit)) = again else {
                return result.map_err(|broken| given_up(*broken, course).into());
            };
            course.tried.extend(index);
            if let Ok(answer) = result {
                answer.attempt.drop_reply();
            }
            course.body.rewind();
            course.clock.try_ends();
            count(&self.upstream.counters.retries);
            self.pause(pause, course, down).await?;
            self.number(head, course, dress);
            exchange.tries(course.tries);
        }
    }

    /// Waits before another try, while there is time and somebody to wait for.
    async fn pause(
        &self,
        pause: Duration,
        course: &mut Course,
        down: &mut Downstream<'_>,
    ) -> Result<(), Box<Reply>> {
        let mut sleep = pin!(tokio::time::sleep(pause));
        poll_fn(|cx| {
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            if down.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Reply::gone().into()));
            }
            let doing = Doing {
                moved: course.body.received,
                requested: true,
                awaits_client: false,
            };
            let late = course.clock.poll(cx, down.timer(), doing);
            late.map(|late| Err(Reply::late(late, true).into()))
        })
        .await
    }

    /// The pause before another try, when there is to be one.
    fn again(
        &self,
        policy: &Retry,
        outcome: retry::Outcome,
        attempt: retry::Attempt<'_>,
        exchange: &mut Exchange,
    ) -> Option<(Duration, Permit)> {
        let worker = &self.link.worker;
        if !retry::should_retry(outcome, policy, &attempt) {
            let first = retry::Attempt {
                tries: 0,
                ..attempt
            };
            if attempt.tries > policy.attempts && retry::should_retry(outcome, policy, &first) {
                exchange.flag(Flags::UPSTREAM_RETRY_LIMIT_EXCEEDED);
            }
            return None;
        }
        if !self.upstream.may_retry(worker.now()) {
            exchange.flag(Flags::UPSTREAM_RETRY_LIMIT_EXCEEDED);
            return None;
        }
        let Some(permit) = self.upstream.acquire(Resource::Retry) else {
            exchange.flag(Flags::UPSTREAM_OVERFLOW);
            return None;
        };
        Some((
            worker.random(|rng| retry::back_off(policy, attempt.tries, rng)),
            permit,
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
        let (worker, address) = (&self.link.worker, choice.host.address());
        worker.random(|rng| {
            self.upstream
                .on_outcome(address, seen, worker.recently(), rng);
        });
    }
}

/// The reply when no more is tried.
fn given_up(broken: Broken, course: &Course) -> Reply {
    Reply {
        unreached: !course.reached && broken.outcome != retry::Outcome::NotTried,
        ..broken.reply
    }
}

/// What a reply says of the try. The proxy beside an application that no longer listens, as at the
/// end of its pod, says that it reached nobody: to whoever asked that is a failed connection.
fn status_of(head: &ResponseHead) -> retry::Outcome {
    if head.fields.contains(Name::XAviaryUnreached) {
        return retry::Outcome::ConnectFailed;
    }
    let grpc_status = head
        .fields
        .get(Name::GrpcStatus)
        .and_then(|status| GrpcStatus::parse(status).number());
    retry::Outcome::Status {
        status: head.status(),
        grpc_status: grpc_status.map(u16::from),
    }
}

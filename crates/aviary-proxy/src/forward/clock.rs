//! The times that end an exchange.

use std::task::{Context, Poll};
use std::time::Duration;

use aviary_mesh::timeout::Times;
use tokio::time::Instant;

use crate::http::timer::Timer;

/// A stream that stands still is noticed after its limit and up to this part of it.
const CHECKS: u32 = 4;

/// A client of HTTP/1 sends its body at least at this rate, in bytes over [`RATE_PERIOD`].
const RATE: u64 = 2400;
const RATE_PERIOD: Duration = Duration::from_secs(10);

/// What ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// The time for all tries.
    Whole,
    /// The time of the try.
    Try,
    /// The time between two pieces of the try's reply.
    TryIdle,
    /// The time for the request to come.
    Request,
    /// The longest time of a stream.
    Stream,
    /// Nothing moved for too long.
    Idle,
    /// The client sends too slowly.
    Slow,
}

/// The times of one exchange.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// By then the reply must be over; known once the request is out.
    whole: Option<Instant>,
    /// Of the try under way.
    per_try: Option<Instant>,
    per_try_idle: Option<Still>,
    /// By then the request must have come.
    request: Option<Instant>,
    stream: Option<Instant>,
    idle: Option<Still>,
    /// When the client's rate is looked at next, and what had come then.
    rate: Option<(Instant, u64)>,
}

/// Looks now and then whether something moved.
#[derive(Debug, Clone, Copy)]
struct Still {
    limit: Duration,
    next: Instant,
    /// What had moved at the last look.
    moved: u64,
    /// Looks in a row that saw nothing new.
    quiet: u32,
}

impl Still {
    fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            next: now + limit / CHECKS,
            moved: 0,
            quiet: 0,
        }
    }

    /// Looks; true when it stood still for all of the limit.
    fn look(&mut self, moved: u64) -> bool {
        self.quiet = if moved == self.moved {
            self.quiet + 1
        } else {
            0
        };
        self.moved = moved;
        self.next += self.limit / CHECKS;
        self.quiet >= CHECKS
    }
}

/// What an exchange under way is doing, when the clock is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doing {
    /// Bytes of bodies that moved so far, either way.
    pub(super) moved: u64,
    /// All of the request came.
    pub(super) requested: bool,
    /// The next thing to come is the body of a client that speaks HTTP/1.
    pub(super) awaits_client: bool,
}

impl Clock {
    /// The clock of a request that began at `now`: `request` is the time for it to come, and `idle` how
    /// long nothing may move.
    pub(super) fn new(
        times: &Times,
        request: Option<Duration>,
        idle: Option<Duration>,
        now: Instant,
    ) -> Self {
        Self {
            request: request.map(|limit| now + limit),
            stream: times.stream.map(|limit| now + limit),
            idle: idle.map(|limit| Still::new(limit, now)),
            ..Self::default()
        }
    }

    /// A try begins.
    pub(super) fn try_begins(&mut self, times: &Times) {
        self.try_ends();
        if times.per_try.is_some() || times.per_try_idle.is_some() {
            let now = Instant::now();
            self.per_try = times.per_try.map(|limit| now + limit);
            self.per_try_idle = times.per_try_idle.map(|limit| Still::new(limit, now));
        }
    }

    /// The try is over, and there may be another.
    pub(super) fn try_ends(&mut self) {
        self.per_try = None;
        self.per_try_idle = None;
    }

    /// The head of the reply came: the try is the last.
    pub(super) fn answered(&mut self) {
        self.per_try = None;
    }

    /// The request is out since `now`; the time for all tries begins once.
    pub(super) fn request_is_out(&mut self, times: &Times, now: Instant) {
        if self.whole.is_none() {
            self.whole = times.whole.map(|limit| now + limit);
        }
    }

    /// The time by which a connection must be there, and what ran out then.
    pub(super) fn connect_limit(&self) -> Option<(Instant, Late)> {
        let limits = [
            (self.whole, Late::Whole),
            (self.stream, Late::Stream),
            (self.per_try, Late::Try),
        ];
        let limits = limits.into_iter();
        limits
            .filter_map(|(at, late)| Some((at?, late)))
            .min_by_key(|(at, _)| *at)
    }

    /// Ready when a time ran out.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        timer: &mut Timer,
        doing: Doing,
    ) -> Poll<Late> {
        if !doing.awaits_client {
            self.rate = None;
        } else if self.rate.is_none() {
            self.rate = Some((Instant::now() + RATE_PERIOD, doing.moved));
        }
        loop {
            let Some((next, late)) = self.next(doing.requested) else {
                return Poll::Pending;
            };
            if timer.poll(cx, next).is_pending() {
                return Poll::Pending;
            }
            let over = match late {
                Late::Idle => self.idle.as_mut().is_none_or(|it| it.look(doing.moved)),
                Late::TryIdle => {
                    let still = self.per_try_idle.as_mut();
                    still.is_none_or(|it| it.look(doing.moved))
                }
                Late::Slow => {
                    let too_slow = |(_, before)| doing.moved < before + RATE;
                    let slow = self.rate.is_some_and(too_slow);
                    self.rate = Some((next + RATE_PERIOD, doing.moved));
                    slow
                }
                _ => true,
            };
            if over {
                return Poll::Ready(late);
            }
        }
    }

    fn next(&self, requested: bool) -> Option<(Instant, Late)> {
        let mut next: Option<(Instant, Late)> = None;
        for (at, late) in [
            (self.whole, Late::Whole),
            (self.per_try, Late::Try),
            (self.stream, Late::Stream),
            (self.request.filter(|_| !requested), Late::Request),
            (self.idle.map(|it| it.next), Late::Idle),
            (self.per_try_idle.map(|it| it.next), Late::TryIdle),
            (self.rate.map(|(at, _)| at), Late::Slow),
        ] {
            if let Some(at) = at
                && next.is_none_or(|(first, _)| at < first)
            {
                next = Some((at, late));
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const STEP: Duration = Duration::from_millis(20);

    fn doing(moved: u64) -> Doing {
        Doing {
            moved,
            requested: false,
            awaits_client: false,
        }
    }

    #[tokio::test]
    async fn clock_without_times_never_ends() {
        let mut clock = Clock::new(&Times::default(), None, None, Instant::now());
        let mut timer = Timer::default();
        let ended =
            poll_fn(|cx| Poll::Ready(clock.poll(cx, &mut timer, doing(0)).is_ready())).await;
        assert!(!ended);
    }

    #[tokio::test]
    async fn clock_says_which_time_ran_out_first() {
        let times = Times {
            whole: Some(3 * STEP),
            per_try: Some(2 * STEP),
            stream: Some(9 * STEP),
            ..Times::default()
        };
        let mut clock = Clock::new(&times, Some(STEP), None, Instant::now());
        let mut timer = Timer::default();
        clock.try_begins(&times);
        clock.request_is_out(&times, Instant::now());
        let request = poll_fn(|cx| clock.poll(cx, &mut timer, doing(0))).await;
        let here = Doing {
            requested: true,
            ..doing(0)
        };
        let per_try = poll_fn(|cx| clock.poll(cx, &mut timer, here)).await;
        clock.answered();
        let whole = poll_fn(|cx| clock.poll(cx, &mut timer, here)).await;
        assert_eq!(
            (request, per_try, whole),
            (Late::Request, Late::Try, Late::Whole)
        );
    }

    #[tokio::test]
    async fn clock_is_idle_when_nothing_moved_for_all_of_the_limit() {
        let mut clock = Clock::new(&Times::default(), None, Some(4 * STEP), Instant::now());
        let mut timer = Timer::default();
        let begin = Instant::now();
        let mut sleep = std::pin::pin!(tokio::time::sleep(6 * STEP));
        let late = poll_fn(|cx| {
            // Bytes move until the sleep is over.
            let asleep = sleep.as_mut().is_elapsed() || sleep.as_mut().poll(cx).is_ready();
            let moved = if asleep {
                u64::MAX
            } else {
                u64::try_from(begin.elapsed().as_millis()).unwrap()
            };
            clock.poll(cx, &mut timer, doing(moved))
        })
        .await;
        assert_eq!(late, Late::Idle);
        assert!(begin.elapsed() >= 9 * STEP, "{:?}", begin.elapsed());
    }
}

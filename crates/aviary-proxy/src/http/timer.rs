//! A deadline that costs next to nothing while it is only moved into the future.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// Waits for deadlines that are given anew at every poll.
///
/// Deadlines mostly move away from now, request by request. So the system's timer is left at an
/// earlier time, and set anew when that time comes. All polls are of one task.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// The task will be woken when `sleep` is over.
    asked: bool,
}

impl Timer {
    /// Ready once `deadline` has passed; the task is woken then.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
            self.asked = false;
        }
        while !self.asked || sleep.is_elapsed() {
            self.asked = sleep.as_mut().poll(cx).is_pending();
            if self.asked {
                break;
            }
            if sleep.deadline() >= deadline {
                // Spent: the next deadline begins a new one.
                self.sleep = None;
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    const STEP: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn timer_deadline_moved_away_waits_for_the_last_one() {
        let mut timer = Timer::default();
        let start = Instant::now();
        let pending = poll_fn(|cx| Poll::Ready(timer.poll(cx, start + STEP).is_pending())).await;
        assert!(pending);
        poll_fn(|cx| timer.poll(cx, start + 5 * STEP)).await;
        assert!(start.elapsed() >= 5 * STEP);
    }

    #[tokio::test]
    async fn timer_deadline_moved_nearer_is_kept() {
        let mut timer = Timer::default();
        let start = Instant::now();
        let hour = Duration::from_hours(1);
        let pending = poll_fn(|cx| Poll::Ready(timer.poll(cx, start + hour).is_pending())).await;
        assert!(pending);
        poll_fn(|cx| timer.poll(cx, start + STEP)).await;
        assert!(start.elapsed() < hour);
    }
}

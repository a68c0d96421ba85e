//! Circuit breakers: counts against a cluster's limits.

use crate::cluster::{Limits, RetryBudget};

/// A thing that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Open connections.
    Connection,
    /// Requests waiting for a connection.
    Pending,
    /// Requests under way.
    Request,
    /// Retries under way.
    Retry,
}

/// What a cluster has in use; outlives changes of its configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    connections: u32,
    pending: u32,
    requests: u32,
    retries: u32,
}

impl Usage {
    /// Takes one, when the limit allows it. Every `true` is paid back by one [`Self::release`].
    ///
    /// Over the limit of connections a request waits for one (pending); over any other it is
    /// answered 503 with flag UO (a retry is left out).
    #[must_use]
    pub fn acquire(&mut self, resource: Resource, limits: &Limits) -> bool {
        let limit = match resource {
            Resource::Connection => limits.max_connections,
            Resource::Pending => limits.max_pending_requests,
            Resource::Request => limits.max_requests,
            Resource::Retry => match limits.retry_budget {
                Some(budget) => Some(self.budgeted(budget)),
                None => limits.max_retries,
            },
        };
        let count = self.count_mut(resource);
        if limit.is_some_and(|limit| *count >= limit) {
            return false;
        }
        *count += 1;
        true
    }

    /// Retries that a budget allows now.
    ///
    /// Source: Envoy `ResourceManagerImpl::RetryBudgetImpl::max`.
    fn budgeted(&self, budget: RetryBudget) -> u32 {
        let share = f64::from(self.requests) + f64::from(self.pending);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of two counts; a cast that does not fit saturates"
        )]
        let share = (share * budget.percent / 100.0) as u32;
        share.max(budget.at_least)
    }

    /// Gives one back.
    pub fn release(&mut self, resource: Resource) {
        let count = self.count_mut(resource);
        debug_assert!(*count > 0, "released {resource:?} more often than acquired");
        *count = count.saturating_sub(1);
    }

    /// How many are in use.
    pub fn in_use(&self, resource: Resource) -> u32 {
        match resource {
            Resource::Connection => self.connections,
            Resource::Pending => self.pending,
            Resource::Request => self.requests,
            Resource::Retry => self.retries,
        }
    }

    fn count_mut(&mut self, resource: Resource) -> &mut u32 {
        match resource {
            Resource::Connection => &mut self.connections,
            Resource::Pending => &mut self.pending,
            Resource::Request => &mut self.requests,
            Resource::Retry => &mut self.retries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acquire_over_limit_refuses_until_release() {
        let limits = Limits {
            max_requests: Some(1),
            ..Limits::default()
        };
        let mut usage = Usage::default();
        assert!(usage.acquire(Resource::Request, &limits));
        assert!(!usage.acquire(Resource::Request, &limits));
        assert!(usage.acquire(Resource::Pending, &limits));
        usage.release(Resource::Request);
        assert!(usage.acquire(Resource::Request, &limits));
        assert_eq!(usage.in_use(Resource::Request), 1);
    }

    #[test]
    fn acquire_retry_is_bounded_by_the_budget() {
        let limits = Limits {
            max_retries: Some(0),
            retry_budget: Some(RetryBudget {
                percent: 20.0,
                at_least: 3,
            }),
            ..Limits::default()
        };
        let mut usage = Usage::default();
        let mut retries = |requests: usize| {
            for _ in 0..requests {
                assert!(usage.acquire(Resource::Request, &limits));
            }
            (0..100)
                .take_while(|_| usage.acquire(Resource::Retry, &limits))
                .count()
        };
        assert_eq!([retries(1), retries(19), retries(5)], [3, 1, 1]);
    }

    #[test]
    fn acquire_without_limit_always_succeeds() {
        let mut usage = Usage::default();
        assert!((0..5000).all(|_| usage.acquire(Resource::Connection, &Limits::default())));
    }
}

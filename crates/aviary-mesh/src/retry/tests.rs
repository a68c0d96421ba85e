use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

fn policy(on: &[&str], guarded: bool) -> Retry {
    Retry {
        attempts: 2,
        on: on.iter().map(|name| (*name).to_owned()).collect(),
        status_codes: vec![503],
        per_try_timeout: None,
        avoid_previous: 5,
        base_interval: Duration::from_millis(25),
        guarded,
        ..Retry::default()
    }
}

const GET: Attempt<'_> = Attempt {
    method: "GET",
    tries: 1,
    repeatable: true,
    retriable_header: false,
    rate_limited: false,
};

fn status(status: u16) -> Outcome {
    Outcome::Status {
        status,
        grpc_status: None,
    }
}

#[test]
fn should_retry_follows_each_condition() {
    let table = [
        ("5xx", status(500), true),
        ("5xx", status(404), false),
        ("5xx", Outcome::Reset, true),
        ("gateway-error", status(500), false),
        ("gateway-error", status(502), true),
        ("connect-failure", Outcome::ConnectFailed, true),
        ("connect-failure", Outcome::Reset, false),
        ("reset", Outcome::PerTryTimeout, true),
        ("reset-before-request", Outcome::Reset, false),
        ("reset-before-request", Outcome::ResetBeforeRequest, true),
        ("refused-stream", Outcome::Refused, true),
        ("retriable-4xx", status(409), true),
        ("retriable-4xx", status(404), false),
        ("retriable-status-codes", status(503), true),
        ("retriable-status-codes", status(502), false),
        (
            "unavailable",
            Outcome::Status {
                status: 200,
                grpc_status: Some(14),
            },
            true,
        ),
        (
            "cancelled",
            Outcome::Status {
                status: 200,
                grpc_status: Some(14),
            },
            false,
        ),
        ("no-such-condition", status(500), false),
    ];
    for (condition, outcome, expected) in table {
        let policy = policy(&[condition], false);
        assert_eq!(
            should_retry(outcome, &policy, &GET),
            expected,
            "{condition} {outcome:?}"
        );
    }
}

#[test]
fn should_retry_stops_at_attempts_and_when_not_repeatable() {
    let policy = policy(&["5xx"], false);
    assert!(should_retry(
        status(500),
        &policy,
        &Attempt { tries: 2, ..GET }
    ));
    assert!(!should_retry(
        status(500),
        &policy,
        &Attempt { tries: 3, ..GET }
    ));
    assert!(!should_retry(
        status(500),
        &policy,
        &Attempt {
            repeatable: false,
            ..GET
        }
    ));
}

#[test]
fn what_was_not_tried_is_not_tried_again() {
    let policy = policy(&["5xx", "reset", "connect-failure"], false);
    assert!(should_retry(Outcome::ConnectFailed, &policy, &GET));
    assert!(!should_retry(Outcome::NotTried, &policy, &GET));
}

#[test]
fn answer_of_a_rate_limit_is_retried_for_its_own_condition_only() {
    let limited = Attempt {
        rate_limited: true,
        ..GET
    };
    assert!(!should_retry(
        status(503),
        &policy(&["5xx"], false),
        &limited
    ));
    let wanted = policy(&["envoy-ratelimited"], false);
    assert!(should_retry(status(429), &wanted, &limited));
    assert!(!should_retry(status(429), &wanted, &GET));
}

#[test]
fn answer_with_a_retriable_header_is_retried() {
    let with = Attempt {
        retriable_header: true,
        ..GET
    };
    let wanted = policy(&["retriable-headers"], false);
    assert!(should_retry(status(200), &wanted, &with));
    assert!(!should_retry(status(200), &wanted, &GET));
}

#[test]
fn guarded_post_is_retried_only_when_nothing_was_sent() {
    let guarded = policy(&["5xx", "connect-failure"], true);
    let post = Attempt {
        method: "POST",
        ..GET
    };
    assert!(should_retry(Outcome::ConnectFailed, &guarded, &post));
    assert!(!should_retry(Outcome::Reset, &guarded, &post));
    assert!(!should_retry(status(503), &guarded, &post));
    assert!(should_retry(status(503), &guarded, &GET));
    assert!(should_retry(status(503), &policy(&["5xx"], false), &post));
}

#[test]
fn back_off_grows_to_ten_times_the_base() {
    let policy = policy(&[], false);
    let mut rng = SmallRng::seed_from_u64(1);
    let mut longest = |tries| {
        (0..500)
            .map(|_| back_off(&policy, tries, &mut rng).as_millis())
            .max()
    };
    assert!(longest(1).is_some_and(|it| (20..=25).contains(&it)));
    assert!(longest(2).is_some_and(|it| (40..=50).contains(&it)));
    assert!(longest(9).is_some_and(|it| (200..=250).contains(&it)));
}

#[test]
fn budget_gives_a_share_of_requests_and_some_each_second() {
    let mut budget = Budget::new(Duration::ZERO);
    let take = |budget: &mut Budget, now| {
        (0..100)
            .filter(|_| budget.withdraw(Duration::from_secs(now)))
            .count()
    };
    assert_eq!(take(&mut budget, 0), 10);
    for _ in 0..100 {
        budget.on_request();
    }
    assert_eq!(take(&mut budget, 0), 20);
    assert_eq!(take(&mut budget, 2), 20);
}

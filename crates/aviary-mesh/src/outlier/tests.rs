use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::cluster::{Enforcing, FailurePercentage, SuccessRate};

const POLICY: Outlier = Outlier {
    consecutive_5xx: Some(3),
    consecutive_gateway_errors: None,
    interval: Duration::from_secs(10),
    base_ejection_time: Duration::from_secs(30),
    max_ejection_percent: 50,
    ..Outlier::ISTIO
};

fn endpoint(number: u8) -> SocketAddr {
    ([10, 0, 0, number], 80).into()
}

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(1)
}

fn poll(ejector: &mut Ejector, now: Duration) -> Vec<SocketAddr> {
    ejector.poll(&POLICY, 4, now, &mut rng()).back
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn fail(ejector: &mut Ejector, number: u8, now: u64) -> Option<Reason> {
    let mut respond = || {
        ejector.on_response(
            &POLICY,
            4,
            endpoint(number),
            Outcome::Status(500),
            secs(now),
            &mut rng(),
        )
    };
    (0..3).filter_map(|_| respond()).last()
}

#[test]
fn failures_in_a_row_eject_and_success_resets() {
    let mut ejector = Ejector::default();
    let mut respond =
        |outcome| ejector.on_response(&POLICY, 4, endpoint(1), outcome, secs(0), &mut rng());
    assert_eq!(respond(Outcome::Status(500)), None);
    assert_eq!(respond(Outcome::ConnectionFailed), None);
    assert_eq!(respond(Outcome::Status(404)), None);
    assert_eq!(respond(Outcome::TimedOut), None);
    assert_eq!(respond(Outcome::Status(503)), None);
    assert_eq!(respond(Outcome::Status(500)), Some(Reason::Consecutive5xx));
    assert!(ejector.is_ejected(endpoint(1)));
    assert!(!ejector.is_ejected(endpoint(2)));
}

#[test]
fn gateway_errors_are_counted_apart() {
    let policy = Outlier {
        consecutive_5xx: None,
        consecutive_gateway_errors: Some(2),
        ..POLICY.clone()
    };
    let mut ejector = Ejector::default();
    let mut respond = |status| {
        ejector.on_response(
            &policy,
            4,
            endpoint(1),
            Outcome::Status(status),
            secs(0),
            &mut rng(),
        )
    };
    assert_eq!(respond(502), None);
    assert_eq!(respond(500), None);
    assert_eq!(respond(504), None);
    assert_eq!(respond(503), Some(Reason::ConsecutiveGatewayErrors));
}

#[test]
fn ejection_share_is_limited_but_one_always_goes() {
    let mut ejector = Ejector::default();
    assert!(fail(&mut ejector, 1, 0).is_some());
    assert!(fail(&mut ejector, 2, 0).is_some());
    assert_eq!(fail(&mut ejector, 3, 0), None);
    let policy = Outlier {
        max_ejection_percent: 0,
        ..POLICY.clone()
    };
    let mut ejector = Ejector::default();
    for expected in [None, None, Some(Reason::Consecutive5xx)] {
        let reason = ejector.on_response(
            &policy,
            1,
            endpoint(1),
            Outcome::Status(500),
            secs(0),
            &mut rng(),
        );
        assert_eq!(reason, expected);
    }
}

#[test]
fn sweep_brings_back_after_base_time_times_ejections() {
    let mut ejector = Ejector::default();
    assert!(fail(&mut ejector, 1, 0).is_some());
    assert_eq!(ejector.next_poll(), Some(secs(10)));
    assert_eq!(poll(&mut ejector, secs(20)), []);
    assert_eq!(poll(&mut ejector, secs(30)), [endpoint(1)]);
    assert!(!ejector.is_ejected(endpoint(1)));
    assert!(fail(&mut ejector, 1, 31).is_some());
    assert_eq!(poll(&mut ejector, secs(90)), []);
    assert_eq!(poll(&mut ejector, secs(100)), [endpoint(1)]);
}

#[test]
fn sweep_in_health_forgets_earlier_ejections() {
    let mut ejector = Ejector::default();
    assert!(fail(&mut ejector, 1, 0).is_some());
    assert_eq!(poll(&mut ejector, secs(30)), [endpoint(1)]);
    assert_eq!(poll(&mut ejector, secs(40)), []);
    assert_eq!(ejector.next_poll(), None);
    assert!(fail(&mut ejector, 1, 50).is_some());
    assert_eq!(poll(&mut ejector, secs(80)), [endpoint(1)]);
}

#[test]
fn retain_endpoint_that_left_is_forgotten() {
    let mut ejector = Ejector::default();
    assert!(fail(&mut ejector, 1, 0).is_some());
    ejector.retain(|address| address != endpoint(1));
    assert_eq!(ejector.ejected().count(), 0);
}

#[test]
fn local_failures_count_apart_when_they_are_to() {
    let policy = Outlier {
        consecutive_5xx: Some(2),
        consecutive_local_failures: Some(3),
        split_local_origin: true,
        ..POLICY.clone()
    };
    let mut ejector = Ejector::default();
    let mut respond =
        |outcome| ejector.on_response(&policy, 4, endpoint(1), outcome, secs(0), &mut rng());
    assert_eq!(respond(Outcome::ConnectionFailed), None);
    assert_eq!(respond(Outcome::TimedOut), None);
    assert_eq!(respond(Outcome::Status(500)), None);
    assert_eq!(respond(Outcome::ConnectionFailed), None);
    assert_eq!(respond(Outcome::TimedOut), None);
    assert_eq!(
        respond(Outcome::ConnectionFailed),
        Some(Reason::ConsecutiveLocalFailures)
    );
}

#[test]
fn what_is_not_enforced_leaves_the_other_counter_its_say() {
    let policy = Outlier {
        consecutive_5xx: Some(3),
        consecutive_gateway_errors: Some(2),
        enforcing: Enforcing {
            consecutive_gateway_errors: 0,
            ..Enforcing::ALL
        },
        ..POLICY.clone()
    };
    let mut ejector = Ejector::default();
    let mut respond = || {
        let outcome = Outcome::Status(503);
        ejector.on_response(&policy, 4, endpoint(1), outcome, secs(0), &mut rng())
    };
    assert_eq!(
        [respond(), respond(), respond()],
        [None, None, Some(Reason::Consecutive5xx)]
    );
}

#[test]
fn ejection_time_has_the_policys_bound() {
    let policy = Outlier {
        max_ejection_time: secs(40),
        ..POLICY.clone()
    };
    let mut ejector = Ejector::default();
    for round in 0..2 {
        assert!(fail(&mut ejector, 1, round * 40).is_some());
        let back = ejector.poll(&policy, 4, secs(round * 40 + 40), &mut rng());
        assert_eq!(back.back, [endpoint(1)], "{round}");
    }
}

/// Five endpoints answer a hundred requests each; the last one fails so many of them.
fn compared(policy: &Outlier, failures: u32) -> Vec<(SocketAddr, Reason)> {
    let mut ejector = Ejector::default();
    for number in 0..500_u32 {
        let (last, request) = (number % 5 == 4, number / 5);
        // Spread, so that no counter in a row is reached.
        let fails = last && request * failures / 100 != (request + 1) * failures / 100;
        let status = if fails { 500 } else { 200 };
        let from = endpoint(u8::try_from(number % 5).expect("a small number"));
        let outcome = Outcome::Status(status);
        ejector.on_response(policy, 5, from, outcome, secs(0), &mut rng());
    }
    ejector.poll(policy, 5, secs(10), &mut rng()).ejected
}

#[test]
fn success_rate_far_below_the_others_ejects() {
    let policy = Outlier {
        consecutive_5xx: None,
        success_rate: Some(SuccessRate::default()),
        ..POLICY.clone()
    };
    // Of five, one alone is two standard deviations below the mean; the bound is 1.9.
    assert_eq!(compared(&policy, 10), [(endpoint(4), Reason::SuccessRate)]);
    let few = Outlier {
        success_rate: Some(SuccessRate {
            request_volume: 101,
            ..SuccessRate::default()
        }),
        ..policy
    };
    assert_eq!(compared(&few, 10), []);
    let lax = Outlier {
        success_rate: Some(SuccessRate {
            deviation_factor: 2_100,
            ..SuccessRate::default()
        }),
        ..policy
    };
    assert_eq!(compared(&lax, 10), []);
}

#[test]
fn failure_percentage_reached_ejects() {
    let policy = Outlier {
        consecutive_5xx: None,
        failure_percentage: Some(FailurePercentage {
            threshold: 30,
            enforcing: 100,
            ..FailurePercentage::default()
        }),
        ..POLICY.clone()
    };
    assert_eq!(
        compared(&policy, 30),
        [(endpoint(4), Reason::FailurePercentage)]
    );
    assert_eq!(compared(&policy, 29), []);
}

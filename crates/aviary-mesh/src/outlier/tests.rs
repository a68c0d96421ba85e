use super::*;

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
        )
    };
    (0..3).filter_map(|_| respond()).last()
}

#[test]
fn failures_in_a_row_eject_and_success_resets() {
    let mut ejector = Ejector::default();
    let mut respond = |outcome| ejector.on_response(&POLICY, 4, endpoint(1), outcome, secs(0));
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
    let mut respond =
        |status| ejector.on_response(&policy, 4, endpoint(1), Outcome::Status(status), secs(0));
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
        let reason = ejector.on_response(&policy, 1, endpoint(1), Outcome::Status(500), secs(0));
        assert_eq!(reason, expected);
    }
}

#[test]
fn sweep_brings_back_after_base_time_times_ejections() {
    let mut ejector = Ejector::default();
    assert!(fail(&mut ejector, 1, 0).is_some());
    assert_eq!(ejector.next_poll(), Some(secs(10)));
    assert_eq!(ejector.poll(&POLICY, secs(20)), []);
    assert_eq!(ejector.poll(&POLICY, secs(30)), [endpoint(1)]);
    assert!(!ejector.is_ejected(endpoint(1)));
    assert!(fail(&mut ejector, 1, 31).is_some());
    assert_eq!(ejector.poll(&POLICY, secs(90)), []);
    assert_eq!(ejector.poll(&POLICY, secs(100)), [endpoint(1)]);
}

#[test]
fn sweep_in_health_forgets_earlier_ejections() {
    let mut ejector = Ejector::default();
    assert!(fail(&mut ejector, 1, 0).is_some());
    assert_eq!(ejector.poll(&POLICY, secs(30)), [endpoint(1)]);
    assert_eq!(ejector.poll(&POLICY, secs(40)), []);
    assert_eq!(ejector.next_poll(), None);
    assert!(fail(&mut ejector, 1, 50).is_some());
    assert_eq!(ejector.poll(&POLICY, secs(80)), [endpoint(1)]);
}

#[test]
fn retain_endpoint_that_left_is_forgotten() {
    let mut ejector = Ejector::default();
    assert!(fail(&mut ejector, 1, 0).is_some());
    ejector.retain(|address| address != endpoint(1));
    assert_eq!(ejector.ejected().count(), 0);
}

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

fn endpoint(weight: u32, active: u32) -> EndpointView {
    EndpointView {
        healthy: true,
        weight,
        active,
    }
}

/// How often each endpoint is picked in `draws` draws.
fn count(endpoints: &[EndpointView], balance: Balance, panic: u32, draws: usize) -> Vec<usize> {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut state = State::default();
    let mut counts = vec![0; endpoints.len()];
    for _ in 0..draws {
        if let Some(index) = pick(
            endpoints,
            balance,
            panic,
            Avoid::default(),
            &mut state,
            &mut rng,
        ) {
            counts[index] += 1;
        }
    }
    counts
}

#[test]
fn round_robin_weights_are_exact() {
    let endpoints = [endpoint(5, 0), endpoint(1, 0), endpoint(1, 0)];
    assert_eq!(count(&endpoints, Balance::RoundRobin, 0, 70), [50, 10, 10]);
}

#[test]
fn round_robin_changed_size_goes_on() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut state = State::default();
    let mut next = |count: usize| {
        let endpoints = vec![endpoint(1, 0); count];
        pick(
            &endpoints,
            Balance::RoundRobin,
            0,
            Avoid::default(),
            &mut state,
            &mut rng,
        )
    };
    assert_eq!(
        [next(3), next(3), next(2), next(2)],
        [Some(0), Some(1), Some(0), Some(1)]
    );
}

#[test]
fn random_weights_are_followed() {
    let counts = count(&[endpoint(3, 0), endpoint(1, 0)], Balance::Random, 0, 4_000);
    assert!((2_850..3_150).contains(&counts[0]), "{counts:?}");
}

#[test]
fn least_request_busy_endpoint_is_picked_only_when_drawn_twice() {
    let counts = count(
        &[endpoint(1, 0), endpoint(1, 9)],
        Balance::LeastRequest,
        0,
        4_000,
    );
    assert!((900..1_100).contains(&counts[1]), "{counts:?}");
}

#[test]
fn pick_unhealthy_endpoint_is_left_out() {
    for balance in [Balance::LeastRequest, Balance::RoundRobin, Balance::Random] {
        let down = EndpointView {
            healthy: false,
            ..endpoint(1, 0)
        };
        assert_eq!(count(&[endpoint(1, 0), down], balance, 0, 100), [100, 0]);
        assert_eq!(count(&[down, down], balance, 0, 100), [0, 0]);
    }
}

#[test]
fn pick_below_panic_threshold_ignores_health() {
    let down = EndpointView {
        healthy: false,
        ..endpoint(1, 0)
    };
    assert_eq!(
        count(&[endpoint(1, 0), down], Balance::RoundRobin, 51, 100),
        [50, 50]
    );
    assert_eq!(
        count(&[endpoint(1, 0), down], Balance::RoundRobin, 50, 100),
        [100, 0]
    );
}

#[test]
fn pick_tried_endpoint_is_avoided_when_another_is_there() {
    let mut rng = SmallRng::seed_from_u64(1);
    let endpoints = [endpoint(1, 0), endpoint(1, 0)];
    let avoid = Avoid {
        tried: &[0],
        attempts: 1,
    };
    let mut state = State::default();
    for _ in 0..10 {
        let index = pick(
            &endpoints,
            Balance::RoundRobin,
            0,
            avoid,
            &mut state,
            &mut rng,
        );
        assert_eq!(index, Some(1));
    }
    let alone = pick(
        &endpoints[..1],
        Balance::Random,
        0,
        avoid,
        &mut state,
        &mut rng,
    );
    assert_eq!(alone, Some(0));
}

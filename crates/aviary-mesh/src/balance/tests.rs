use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

fn member(weight: u32) -> Member {
    let address = SocketAddr::from(([10, 0, 0, 1], 80));
    Member {
        weight,
        ..Member::new(&Endpoint::new(address), false, None)
    }
}

fn down() -> Member {
    Member {
        healthy: false,
        ..member(1)
    }
}

fn at(priority: u32, member: Member) -> Member {
    Member { priority, ..member }
}

fn placed(zone: &str, weight: u32, member: Member) -> Member {
    Member {
        locality: Some(Arc::new(Locality {
            zone: zone.to_owned(),
            weight,
            ..Locality::default()
        })),
        ..member
    }
}

fn policy(balance: Balance) -> Policy {
    Policy {
        balance,
        ..Policy::default()
    }
}

fn panicking(percent: u32) -> Policy {
    Policy {
        panic_threshold_percent: percent,
        ..policy(Balance::RoundRobin)
    }
}

fn balancer(policy: Policy, members: &[Member]) -> Balancer {
    let mut balancer = Balancer::default();
    balancer.rebuild(policy, members);
    balancer
}

/// How often each endpoint is picked in `draws` draws, with these requests under way.
fn count(policy: Policy, members: &[Member], active: &[u32], draws: usize) -> Vec<usize> {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut balancer = balancer(policy, members);
    let mut counts = vec![0; members.len()];
    let load = |index: usize| active.get(index).copied().unwrap_or(0);
    for _ in 0..draws {
        if let Some(index) = balancer.pick(&Ask::default(), load, &mut rng) {
            counts[index] += 1;
        }
    }
    counts
}

#[test]
fn round_robin_weights_are_exact() {
    let members = [member(5), member(1), member(1)];
    assert_eq!(
        count(policy(Balance::RoundRobin), &members, &[], 70),
        [50, 10, 10]
    );
}

#[test]
fn round_robin_changed_size_goes_on() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut balancer = Balancer::default();
    let mut next = |count: usize| {
        balancer.rebuild(policy(Balance::RoundRobin), &vec![member(1); count]);
        balancer.pick(&Ask::default(), |_| 0, &mut rng)
    };
    assert_eq!(
        [next(3), next(3), next(2), next(2)],
        [Some(0), Some(1), Some(0), Some(1)]
    );
}

#[test]
fn random_weights_are_followed() {
    let counts = count(policy(Balance::Random), &[member(3), member(1)], &[], 4_000);
    assert!((2_850..3_150).contains(&counts[0]), "{counts:?}");
}

#[test]
fn least_request_busy_endpoint_is_picked_only_when_drawn_twice() {
    let members = [member(1), member(1)];
    let counts = count(policy(Balance::LeastRequest), &members, &[0, 9], 4_000);
    assert!((900..1_100).contains(&counts[1]), "{counts:?}");
}

#[test]
fn pick_unhealthy_endpoint_is_left_out() {
    let balances = [
        Balance::LeastRequest,
        Balance::RoundRobin,
        Balance::Random,
        Balance::RING,
        Balance::MAGLEV,
    ];
    for balance in balances {
        let picks = |members: &[Member]| count(policy(balance), members, &[], 100);
        assert_eq!(picks(&[member(1), down()]), [100, 0], "{balance:?}");
        assert_eq!(picks(&[down(), down()]), [0, 0], "{balance:?}");
        assert_eq!(picks(&[]), [0; 0], "{balance:?}");
    }
}

#[test]
fn pick_below_panic_threshold_ignores_health() {
    let members = [member(1), down()];
    assert_eq!(count(panicking(51), &members, &[], 100), [50, 50]);
    assert_eq!(count(panicking(50), &members, &[], 100), [100, 0]);
    assert_eq!(count(panicking(50), &[down(), down()], &[], 100), [50, 50]);
}

#[test]
fn pick_tried_endpoint_is_avoided_when_another_is_there() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut ask = Ask {
        avoid: Avoid {
            tried: &[0],
            attempts: 1,
        },
        ..Ask::default()
    };
    let mut two = balancer(policy(Balance::RoundRobin), &[member(1), member(1)]);
    for _ in 0..10 {
        assert_eq!(two.pick(&ask, |_| 0, &mut rng), Some(1));
    }
    let mut alone = balancer(policy(Balance::Random), &[member(1)]);
    assert_eq!(alone.pick(&ask, |_| 0, &mut rng), Some(0));
    // A ring goes on to the next places, which may be of the same endpoint.
    ask.avoid.attempts = 20;
    ask.hash = Some(7);
    let other = Member {
        address: SocketAddr::from(([10, 0, 0, 2], 80)),
        ..member(1)
    };
    let mut ring = balancer(policy(Balance::RING), &[member(1), other]);
    assert_eq!(ring.pick(&ask, |_| 0, &mut rng), Some(1));
}

/// Endpoints, the threshold of panic, and the shares expected.
type Case<'a> = (&'a [Member], u32, &'a [(u32, bool)]);

#[test]
fn priorities_take_over_what_is_missing() {
    // 140 % of one in two is 70 %.
    let members = [
        at(0, member(1)),
        at(0, down()),
        at(1, member(1)),
        at(1, member(1)),
    ];
    let shares = |members: &[Member], threshold| {
        load::shares(members, 140, threshold)
            .iter()
            .map(|share| (share.percent, share.panic))
            .collect::<Vec<_>>()
    };
    assert_eq!(shares(&members, 50), [(70, false), (30, false)]);
    let cases: [Case<'_>; 6] = [
        // Enough is healthy in sum: no panic.
        (
            &[at(0, down()), at(1, member(1))],
            50,
            &[(0, false), (100, false)],
        ),
        // All panic: by their numbers, and what rounding leaves goes to the first.
        (
            &[
                at(0, member(1)),
                at(0, down()),
                at(0, down()),
                at(1, member(1)),
                at(1, down()),
                at(1, down()),
                at(1, down()),
                at(1, down()),
            ],
            50,
            &[(38, true), (62, true)],
        ),
        // Not enough in sum: only the level below the threshold panics.
        (
            &[
                at(0, member(1)),
                at(0, down()),
                at(0, down()),
                at(0, down()),
                at(1, member(1)),
                at(1, down()),
                at(1, down()),
            ],
            30,
            &[(44, true), (56, false)],
        ),
        (
            &[at(0, down()), at(1, down())],
            0,
            &[(100, false), (0, false)],
        ),
        (
            &[at(0, down()), at(1, down())],
            1,
            &[(50, true), (50, true)],
        ),
        (&[at(1, member(1))], 50, &[(0, false), (100, false)]),
    ];
    for (members, threshold, expected) in cases {
        assert_eq!(shares(members, threshold), expected, "{members:?}");
    }
    let counts = count(policy(Balance::Random), &members, &[], 10_000);
    assert!((6_800..7_200).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[1], 0);
}

#[test]
fn localities_get_the_share_of_their_weight_and_health() {
    let weighted = Policy {
        locality_weighted: true,
        ..policy(Balance::Random)
    };
    let members = [
        placed("a", 3, member(1)),
        placed("b", 1, member(1)),
        placed("b", 1, member(1)),
        placed("c", 0, member(1)),
    ];
    let counts = count(weighted, &members, &[], 8_000);
    assert!((5_800..6_200).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[3], 0);
    // A locality keeps 140 % of what is healthy of it.
    let half = [
        placed("a", 1, member(1)),
        placed("a", 1, down()),
        placed("b", 1, member(1)),
    ];
    let counts = count(weighted, &half, &[], 8_000);
    let expected = 8_000 * 70 / 170;
    assert!(counts[0].abs_diff(expected) < 200, "{counts:?}");
    // Without the setting the weights mean nothing.
    let counts = count(policy(Balance::RoundRobin), &members, &[], 400);
    assert_eq!(counts, [100, 100, 100, 100]);
}

#[test]
fn slow_start_share_grows_with_age() {
    let slow = SlowStart {
        window: Duration::from_mins(1),
        aggression: 1.0,
        min_weight_percent: 10.0,
    };
    let share = |balance, age: u64| {
        let policy = Policy {
            slow_start: Some(slow),
            ..policy(balance)
        };
        let now = Duration::from_secs(1_000);
        let new = Member {
            since: Some(now.saturating_sub(Duration::from_secs(age))),
            ..member(1)
        };
        let mut balancer = balancer(policy, &[member(1), new]);
        let mut rng = SmallRng::seed_from_u64(1);
        let ask = Ask {
            now,
            ..Ask::default()
        };
        let picks = (0..10_000).filter_map(|_| balancer.pick(&ask, |_| 0, &mut rng));
        picks.sum::<usize>()
    };
    // The new one has a tenth, a half and all of its weight.
    for (age, expected) in [(0, 909), (30, 3_333), (60, 5_000)] {
        for balance in [Balance::RoundRobin, Balance::LeastRequest] {
            let share = share(balance, age);
            assert!(share.abs_diff(expected) < 200, "{balance:?} {age} {share}");
        }
    }
}

/// `127.0.0.1:90` to `127.0.0.1:95`.
fn six() -> Vec<Member> {
    (90..96)
        .map(|port| Member {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            ..member(1)
        })
        .collect()
}

fn hashed(balancer: &mut Balancer, hash: u64, attempts: u32, tried: &[usize]) -> Option<usize> {
    let ask = Ask {
        hash: Some(hash),
        avoid: Avoid { tried, attempts },
        ..Ask::default()
    };
    balancer.pick(&ask, |_| 0, &mut SmallRng::seed_from_u64(1))
}

#[test]
fn ring_places_are_envoys() {
    // Source: Envoy `ring_hash_lb_test.cc`, `Basic`.
    let ring = [
        (94, 833_437_586_790_550_860),
        (92, 928_266_305_478_181_108),
        (90, 1_033_482_794_131_418_490),
        (95, 3_551_244_743_356_806_947),
        (93, 3_851_675_632_748_031_481),
        (91, 5_583_722_120_771_150_861),
        (91, 6_311_230_543_546_372_928),
        (93, 7_700_377_290_971_790_572),
        (95, 13_144_177_310_400_110_813),
        (92, 13_444_792_449_719_432_967),
        (94, 15_516_499_411_664_133_160),
        (90, 16_117_243_373_044_804_889_u64),
    ];
    let balance = Balance::RingHash {
        min: 12,
        max: 8 << 20,
        by_hostname: false,
    };
    let mut balancer = balancer(policy(balance), &six());
    for (port, hash) in ring {
        assert_eq!(
            hashed(&mut balancer, hash, 0, &[]),
            Some(port - 90),
            "{port}"
        );
    }
    assert_eq!(hashed(&mut balancer, 0, 0, &[]), Some(4));
    assert_eq!(hashed(&mut balancer, u64::MAX, 0, &[]), Some(4));
    assert_eq!(hashed(&mut balancer, ring[0].1 + 1, 0, &[]), Some(2));
    // The second attempt goes on along the ring.
    assert_eq!(hashed(&mut balancer, 0, 2, &[4, 2]), Some(0));
}

#[test]
fn maglev_table_is_envoys() {
    // Source: Envoy `maglev_lb_test.cc`, `Basic`.
    let balance = Balance::Maglev {
        table: 7,
        by_hostname: false,
    };
    let mut balancer = balancer(policy(balance), &six());
    for (hash, expected) in (0..14).zip([2, 4, 0, 1, 5, 0, 3].into_iter().cycle()) {
        assert_eq!(
            hashed(&mut balancer, hash, 0, &[]),
            Some(expected),
            "{hash}"
        );
    }
}

#[test]
fn hashing_follows_weights() {
    let mut members = six();
    members.truncate(2);
    members[1].weight = 3;
    for balance in [Balance::RING, Balance::MAGLEV] {
        let counts = count(policy(balance), &members, &[], 10_000);
        let share = counts[1];
        assert!((7_000..8_000).contains(&share), "{balance:?} {share}");
    }
}

#[test]
fn hashing_by_hostname_ignores_the_address() {
    let named = |address: [u8; 4]| Member {
        hostname: Some("a.example".into()),
        address: SocketAddr::from((address, 80)),
        ..member(1)
    };
    let balance = Balance::Maglev {
        table: 65_537,
        by_hostname: true,
    };
    let picks = |first: [u8; 4]| {
        let other = Member {
            hostname: Some("b.example".into()),
            ..member(1)
        };
        let mut balancer = balancer(policy(balance), &[named(first), other]);
        (0..100)
            .map(|hash| hashed(&mut balancer, hash * 977, 0, &[]))
            .collect::<Vec<_>>()
    };
    assert_eq!(picks([1, 1, 1, 1]), picks([2, 2, 2, 2]));
}

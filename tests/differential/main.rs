//! The same configuration and the same requests to stock Envoy and to ours: whatever the two do not
//! do alike is a bug or stands in [`differences`]. Run by `cargo xtask test`.
//!
//! `AVIARY_TEST_PROGRAMS` is the folder of `aviary`, `AVIARY_TEST_ENVOY` the program of Envoy;
//! without the latter nothing is compared. `AVIARY_TEST_SEED` draws other route tables and requests,
//! and `AVIARY_TEST_REQUESTS` more of them.
#![allow(clippy::print_stdout, reason = "tests print what they measured")]
#![expect(
    clippy::too_many_lines,
    clippy::format_push_string,
    clippy::assigning_clones,
    clippy::match_bool,
    reason = "tables of requests, and small texts made of parts"
)]

mod client;
mod compare;
mod config;
mod differences;
mod features;
mod message;
mod random;
mod request;
mod run;
mod server;
mod shares;
mod side;

use std::collections::BTreeMap;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde_json::Value;

use client::Speech;
use request::Request;
use run::Pair;

/// Virtual hosts in each random table.
const HOSTS: usize = 24;

fn number(variable: &str, otherwise: u64) -> u64 {
    let value = std::env::var(variable).ok();
    value.map_or(otherwise, |value| value.parse().expect("a number"))
}

fn random_tables(seed: u64, count: usize) -> (Vec<Value>, Vec<Request>) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let (hosts, words): (Vec<_>, Vec<_>) = (0..HOSTS)
        .map(|host| random::host(&format!("h{host}.example"), &mut rng))
        .unzip();
    let requests = (0..count)
        .map(|id| request::random(id, &words[id % words.len()], &mut rng))
        .collect();
    (hosts, requests)
}

/// What clients speak, and what is spoken to the servers.
const SPEECHES: [(Speech, Speech); 4] = [
    (Speech::Http1, Speech::Http1),
    (Speech::Http2, Speech::Http1),
    (Speech::Http1, Speech::Http2),
    (Speech::Http2, Speech::Http2),
];

#[test]
fn proxies_with_the_same_configuration_act_alike() {
    if !run::has_envoy() {
        return;
    }
    let seed = number("AVIARY_TEST_SEED", 1);
    let count = number("AVIARY_TEST_REQUESTS", 3000);
    let mut explained = BTreeMap::<_, usize>::new();
    let mut unexplained = String::new();
    for ((down, up), seed) in SPEECHES.into_iter().zip(seed..) {
        let count = usize::try_from(count).unwrap_or(usize::MAX) / SPEECHES.len();
        for (hosts, requests) in [features::all(), random_tables(seed, count)] {
            let pair = Pair::start(&hosts, down, up);
            let found = run::both(&pair, &requests);
            for (name, times) in found.explained {
                *explained.entry(name).or_default() += times;
            }
            if !found.unexplained.is_empty() {
                unexplained += &format!("{down:?} to {up:?}:\n{}", found.unexplained);
            }
        }
    }
    assert!(
        unexplained.is_empty(),
        "they do not agree (AVIARY_TEST_SEED={seed}):\n{unexplained}"
    );
    for difference in differences::all() {
        let times = explained.get(difference.name).copied().unwrap_or_default();
        println!("{times:6} × {}", difference.name);
        assert!(
            times > 0,
            "`{}` ({}) does not occur any more: take it out of the table",
            difference.name,
            difference.reason
        );
    }
}

#[test]
fn shares_are_what_the_configuration_asks_for() {
    if !run::has_envoy() {
        return;
    }
    let pair = Pair::start(&[shares::host()], Speech::Http1, Speech::Http1);
    let wrong = shares::judge(&pair);
    assert!(wrong.is_empty(), "{wrong}");
}

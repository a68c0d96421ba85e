//! The same configuration and the same requests to stock Envoy and to ours: whatever the two do not
//! do alike is a bug or stands in [`differences`]. Run by `cargo xtask test`.
//!
//! `AVIARY_TEST_PROGRAMS` is the folder of `aviary`, `AVIARY_TEST_ENVOY` the program of Envoy;
//! without the latter nothing is compared. `AVIARY_TEST_SEED` and `AVIARY_TEST_REQUESTS` make longer
//! runs.
#![allow(clippy::print_stdout, reason = "tests print what they measured")]

mod compare;
mod config;
mod differences;
mod features;
mod random;
mod request;
mod run;
mod side;
mod upstream;
mod wire;

use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde_json::Value;

use differences::DIFFERENCES;
use request::Request;

fn number(variable: &str, otherwise: usize) -> usize {
    let value = std::env::var(variable).ok();
    value.map_or(otherwise, |value| value.parse().expect("a number"))
}

fn random_tables() -> (Vec<Value>, Vec<Request>) {
    let seed = number("AVIARY_TEST_SEED", 1);
    let count = number("AVIARY_TEST_REQUESTS", 3000);
    let mut rng = SmallRng::seed_from_u64(seed as u64);
    let (hosts, words): (Vec<_>, Vec<_>) = (0..24)
        .map(|host| random::host(&format!("h{host}.example"), &mut rng))
        .unzip();
    let requests = (0..count)
        .map(|id| request::random(id, &words[id % words.len()], &mut rng))
        .collect();
    (hosts, requests)
}

#[test]
fn proxies_with_the_same_configuration_act_alike() {
    let mut explained = BTreeSet::new();
    let mut unexplained = String::new();
    for (hosts, requests) in [features::all(), random_tables()] {
        let Some(found) = run::both(&hosts, &requests) else {
            return;
        };
        explained.extend(found.explained);
        unexplained += &found.unexplained;
    }
    assert!(unexplained.is_empty(), "they do not agree:\n{unexplained}");
    for difference in DIFFERENCES {
        assert!(
            explained.contains(difference.name),
            "`{}` ({}) does not occur any more: take it out of the table",
            difference.name,
            difference.reason
        );
    }
}

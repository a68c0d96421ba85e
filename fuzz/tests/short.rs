//! Every target over its corpus and over mutations of it, the same each time.
//!
//! `AVIARY_FUZZ_ROUNDS=100` runs a hundred times as many mutations, with other seeds.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that fails says why"
)]

use std::path::PathBuf;
use std::{env, fs};

use aviary_fuzz::{TARGETS, bootstrap, xds};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Mutations of a target in one round.
const MUTATIONS: u32 = 6000;
/// The same for targets that read whole configurations.
const SLOW_MUTATIONS: u32 = 500;
/// Longest input.
const LONGEST: usize = 8192;

/// Texts that make a difference somewhere.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"/",
    b"//",
    b"/../",
    b"/./",
    b"%2e",
    b"%2F",
    b"%5c",
    b"%00",
    b"%",
    b"?",
    b"#",
    b"*",
    b"0",
    b"-1",
    b"0x1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"ffffffffffffffff",
    b"chunked",
    b"content-length: 1\r\n",
    b"transfer-encoding: chunked\r\n",
    b"host: b\r\n",
    b"connection: close\r\n",
    b"connection: upgrade\r\n",
    b"upgrade: websocket\r\n",
    b"te: trailers\r\n",
    b"expect: 100-continue\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"http://a/",
    b"GET ",
    b"CONNECT ",
    b"OPTIONS * ",
    b"\xff",
    b"\xfe",
    b"\x7f",
    b"cookie:a",
    b"{}",
    b"[]",
    b"'",
    b"regex",
    b"prefix",
    b"exact",
    b"(?i)",
    b".*",
    b"~",
    b"null",
    b"true",
    b"1.5",
    b"\x00\x00\x04\x03\x00",
    b"\x00\x00\x00\x09\x00\x00\x00\x00\x01",
];

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut seeds: Vec<(String, Vec<u8>)> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.display().to_string(), fs::read(path).unwrap())
        })
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} has seeds", folder.display());
    seeds
}

/// One to four changes of a seed.
fn mutate(rng: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = seeds[rng.random_range(0..seeds.len())].clone();
    for _ in 0..rng.random_range(1..=4) {
        let at = rng.random_range(0..=data.len());
        let end = data.len().min(at + rng.random_range(0..=12));
        match rng.random_range(0..7) {
            0 => drop(data.drain(at..end)),
            1 => drop(data.splice(at..at, [rng.random::<u8>()])),
            2 => {
                if let Some(byte) = data.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
            3 => {
                let piece = data[at..end].repeat(rng.random_range(1..40));
                drop(data.splice(at..at, piece));
            }
            4 => {
                let other = &seeds[rng.random_range(0..seeds.len())];
                let from = rng.random_range(0..=other.len());
                let to = other.len().min(from + rng.random_range(0..=64));
                drop(data.splice(at..end, other[from..to].iter().copied()));
            }
            _ => {
                let word = WORDS[rng.random_range(0..WORDS.len())];
                let end = if rng.random() { at } else { end };
                drop(data.splice(at..end, word.iter().copied()));
            }
        }
    }
    data.truncate(LONGEST);
    data
}

/// Tells the input when the target panics.
struct Told<'a>(&'a str, &'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("target {} fails on b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

fn check(target: &str) {
    let (name, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let mut seeds: Vec<Vec<u8>> = corpus(name).into_iter().map(|(_, data)| data).collect();
    if *name == "xds" {
        seeds.extend(resources());
    }
    let mutations = match *name {
        "bootstrap" | "routes" => SLOW_MUTATIONS,
        _ => MUTATIONS,
    };
    let rounds: u32 = env::var("AVIARY_FUZZ_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    for data in &seeds {
        let _told = Told(name, data);
        run(data);
    }
    for round in 0..rounds {
        let mut rng = StdRng::seed_from_u64(u64::from(round));
        for _ in 0..mutations {
            let data = mutate(&mut rng, &seeds);
            let _told = Told(name, &data);
            run(&data);
        }
    }
}

/// The resources of the bootstrap files, as inputs of the target `xds`.
fn resources() -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    for (path, data) in corpus("bootstrap") {
        let text = String::from_utf8(data).unwrap();
        let read = aviary_xds::Bootstrap::read(&text);
        let file = read.unwrap_or_else(|error| panic!("{path}: {error}"));
        inputs.extend(bootstrap::resources(&file).iter().filter_map(xds::input));
    }
    assert!(
        inputs.len() >= 4,
        "the files have resources of several types"
    );
    inputs
}

#[test]
fn corpus_of_routes_has_files_that_are_read() {
    for (path, data) in corpus("routes") {
        let text = String::from_utf8(data).unwrap();
        let (file, requests) = text.split_once("\n---\n").unwrap();
        let read = aviary_xds::Bootstrap::read(file);
        let file = read.unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(!bootstrap::tables(&file).is_empty(), "{path}");
        assert!(
            aviary_fuzz::request::read(requests.as_bytes()).is_some(),
            "{path}"
        );
    }
}

/// One test for each target.
macro_rules! targets {
    ($($name:ident $target:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($target));
            }
        )*

        #[test]
        fn targets_are_all_tested_and_have_a_corpus() {
            let tested = [$(stringify!($target)),*];
            let all: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(all, tested);
        }
    };
}

targets! {
    request_mutated_holds request
    response_mutated_holds response
    chunked_mutated_holds chunked
    http2_frames_mutated_hold http2_frames
    http2_heads_mutated_hold http2_heads
    path_mutated_holds path
    xds_mutated_holds xds
    bootstrap_mutated_holds bootstrap
    routes_mutated_hold routes
}

//! Asking both, and saying what they did not do alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::compare::{Done, Mismatch, compare};
use crate::config::{self, SERVERS, WAYS};
use crate::differences::DIFFERENCES;
use crate::request::Request;
use crate::side::{Side, Which};
use crate::wire::Answer;

/// Copies and log lines may come this long after the answer.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// Mismatches of a kind that are printed; all count.
const PRINTED: usize = 4;

/// Both proxies with the same routes; `None` without an Envoy to compare with.
pub(crate) fn start(hosts: &[Value]) -> Option<[Side; 2]> {
    if std::env::var_os("AVIARY_TEST_ENVOY").is_none() {
        println!("AVIARY_TEST_ENVOY is not set: nothing is compared");
        return None;
    }
    let start = |which| {
        Side::start(which, &SERVERS, WAYS.len(), |listen, upstreams| {
            config::bootstrap(listen, upstreams, hosts)
        })
    };
    Some([start(Which::Envoy), start(Which::Ours)])
}

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Names of the differences that occurred.
    pub(crate) explained: BTreeSet<&'static str>,
    /// What they did not do alike, as text.
    pub(crate) unexplained: String,
}

/// Asks both everything, each request by one of the ways in; `None` without an Envoy.
pub(crate) fn both(hosts: &[Value], requests: &[Request]) -> Option<Found> {
    let sides = start(hosts)?;
    let begin = Instant::now();
    let answers = ask(&sides, requests);
    println!("asked {} requests in {:?}", requests.len(), begin.elapsed());
    settle(&sides, requests);
    let mut explained = BTreeSet::new();
    let mut kinds = BTreeMap::<String, Vec<String>>::new();
    for (request, [envoy, ours]) in requests.iter().zip(answers) {
        let done = |side: &Side, answer: Answer| Done {
            seen: side.upstreams.seen(&request.id),
            log: side.log_line(&request.id).unwrap_or_default(),
            answer,
        };
        let (envoy, ours) = (done(&sides[0], envoy), done(&sides[1], ours));
        for mismatch in compare(request, &envoy, &ours) {
            let known = DIFFERENCES
                .iter()
                .find(|it| (it.explains)(request, &mismatch));
            if let Some(known) = known {
                explained.insert(known.name);
            } else {
                kinds
                    .entry(mismatch.what.clone())
                    .or_default()
                    .push(told(request, &mismatch));
            }
        }
    }
    let mut text = String::new();
    for (what, all) in &kinds {
        let _ = writeln!(text, "{} × {what}", all.len());
        text.extend(all.iter().take(PRINTED).map(String::as_str));
    }
    Some(Found {
        explained,
        unexplained: text,
    })
}

fn told(request: &Request, mismatch: &Mismatch) -> String {
    let bytes = request.bytes();
    let Mismatch { envoy, ours, .. } = mismatch;
    format!(
        "    Envoy `{envoy}`, ours `{ours}`\n        {}: {}\n",
        WAYS[request.way()].0,
        String::from_utf8_lossy(&bytes).escape_debug()
    )
}

/// Each way in has a connection to each proxy and a thread that asks both in turn.
fn ask(sides: &[Side; 2], requests: &[Request]) -> Vec<[Answer; 2]> {
    let mut answers: Vec<_> = requests
        .iter()
        .map(|_| [Answer::default(), Answer::default()])
        .collect();
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WAYS.len())
            .map(|way| {
                scope.spawn(move || {
                    let [mut envoy, mut ours] = [&sides[0], &sides[1]].map(|side| side.client(way));
                    let mine = requests
                        .iter()
                        .enumerate()
                        .filter(|(_, it)| it.way() == way);
                    mine.map(|(index, request)| {
                        let bytes = request.bytes();
                        (index, [envoy.ask(&bytes), ours.ask(&bytes)])
                    })
                    .collect::<Vec<_>>()
                })
            })
            .collect();
        let parts = threads
            .into_iter()
            .map(|thread| thread.join().expect("asks to its end"));
        parts.flatten().collect::<Vec<_>>()
    });
    for (index, pair) in parts {
        answers[index] = pair;
    }
    answers
}

/// Waits for copies and log lines that are still under way.
fn settle(sides: &[Side; 2], requests: &[Request]) {
    let start = Instant::now();
    let agree = |request: &Request| {
        let [envoy, ours] = [&sides[0], &sides[1]].map(|side| {
            (
                side.upstreams.seen(&request.id).len(),
                side.log_line(&request.id).is_some(),
            )
        });
        envoy == ours
    };
    let mut waiting: Vec<_> = requests.iter().collect();
    while start.elapsed() < AFTERWARDS && !waiting.is_empty() {
        waiting.retain(|request| !agree(request));
        std::thread::yield_now();
    }
}

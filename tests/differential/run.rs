//! Asking both, and saying what they did not do alike.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::Speech;
use crate::compare::{Done, Mismatch, compare};
use crate::config::{self, SERVERS, WAYS};
use crate::differences;
use crate::message::Answer;
use crate::request::Request;
use crate::server::Servers;
use crate::side::{Side, Which};

/// Copies and log lines are waited for until none came for this long …
const QUIET: Duration = Duration::from_millis(300);
/// … or for this long, where the two do not agree.
const LONG_QUIET: Duration = Duration::from_secs(2);

/// Mismatches of a kind that are printed; all count.
const PRINTED: usize = 6;

/// Both proxies with the same routes and the same servers behind them.
pub(crate) struct Pair {
    pub(crate) sides: [Side; 2],
    pub(crate) servers: Servers,
    /// What their clients speak.
    pub(crate) speech: Speech,
}

/// What both answered; `None` when it could not be asked.
type Answers = Option<[Answer; 2]>;

impl Pair {
    /// Starts both; `down` is what their clients speak, `up` what they speak to the servers.
    pub(crate) fn start(hosts: &[Value], down: Speech, up: Speech) -> Self {
        let servers = Servers::start(&SERVERS);
        let start = |which| {
            Side::start(which, config::listeners(), |listen| {
                config::bootstrap(listen, &servers, hosts, up)
            })
        };
        Self {
            sides: [start(Which::Envoy), start(Which::Ours)],
            servers,
            speech: down,
        }
    }

    /// Each way in has a connection to each proxy and a thread that asks both in turn.
    pub(crate) fn ask(&self, requests: &[Request]) -> Vec<Answers> {
        let mut answers: Vec<_> = requests.iter().map(|_| None).collect();
        let parts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..WAYS.len())
                .map(|way| {
                    let mine = requests.iter().enumerate();
                    let mine = mine.filter(move |(_, it)| it.way() == way);
                    scope.spawn(move || self.ask_by(way, mine))
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

    fn ask_by<'a>(
        &self,
        way: usize,
        requests: impl Iterator<Item = (usize, &'a Request)>,
    ) -> Vec<(usize, Answers)> {
        let mut clients = self
            .sides
            .each_ref()
            .map(|side| side.client(self.speech, way));
        let mut ask = |request: &Request| {
            let [envoy, ours] = &mut clients;
            let envoy = envoy.ask(request, Which::Envoy.mark())?;
            Some([envoy, ours.ask(request, Which::Ours.mark())?])
        };
        requests.map(|(index, it)| (index, ask(it))).collect()
    }

    /// Waits for copies and log lines that are still under way.
    pub(crate) fn settle(&self, requests: &[Request]) {
        let count = || self.servers.count() + self.sides.iter().map(Side::lines).sum::<usize>();
        let told = |request: &Request, side: &Side| {
            let seen = self.servers.seen(side.which.mark(), &request.id).len();
            (seen, side.log(&request.id).len())
        };
        let [envoy, ours] = &self.sides;
        let agree = || requests.iter().all(|it| told(it, envoy) == told(it, ours));
        let (mut last, mut before) = (Instant::now(), count());
        while last.elapsed() < LONG_QUIET {
            std::thread::park_timeout(Duration::from_millis(50));
            let now = count();
            if now != before {
                (last, before) = (Instant::now(), now);
            } else if last.elapsed() > QUIET && agree() {
                return;
            }
        }
    }
}

/// Whether there is an Envoy to compare with; says so when not.
pub(crate) fn has_envoy() -> bool {
    let has = std::env::var_os("AVIARY_TEST_ENVOY").is_some();
    if !has {
        println!("AVIARY_TEST_ENVOY is not set: nothing is compared");
    }
    has
}

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Names of the differences that occurred, and how often.
    pub(crate) explained: BTreeMap<&'static str, usize>,
    /// What they did not do alike, as text.
    pub(crate) unexplained: String,
}

/// Asks both everything, each request by one of the ways in.
pub(crate) fn both(pair: &Pair, requests: &[Request]) -> Found {
    let begin = Instant::now();
    let answers = pair.ask(requests);
    let asked = answers.iter().flatten().count();
    println!("asked {asked} requests in {:?}", begin.elapsed());
    pair.settle(requests);
    let mut found = Found::default();
    let mut kinds = BTreeMap::<String, Vec<(String, String)>>::new();
    for (request, answers) in requests.iter().zip(answers) {
        let Some([envoy, ours]) = answers else {
            continue;
        };
        let done = |side: &Side, answer: Answer| Done {
            seen: pair.servers.seen(side.which.mark(), &request.id),
            log: side.log(&request.id),
            answer,
        };
        let (envoy, ours) = (done(&pair.sides[0], envoy), done(&pair.sides[1], ours));
        for mismatch in compare(request, &envoy, &ours) {
            let known = differences::all().find(|it| (it.explains)(request, &mismatch));
            if let Some(known) = known {
                *found.explained.entry(known.name).or_default() += 1;
            } else {
                let kind = kinds.entry(mismatch.what.clone()).or_default();
                kind.push((told(request, &mismatch), logs(&envoy, &ours)));
            }
        }
    }
    for (what, all) in &kinds {
        let _ = writeln!(found.unexplained, "{} × {what}", all.len());
        // Of equal ones, the log lines of one.
        let distinct: BTreeMap<_, _> = all.iter().map(|(told, logs)| (told, logs)).collect();
        for (told, logs) in distinct.into_iter().take(PRINTED) {
            found.unexplained.extend([told.as_str(), logs.as_str()]);
        }
    }
    found
}

fn told(request: &Request, mismatch: &Mismatch) -> String {
    let bytes = request.bytes("");
    let Mismatch { envoy, ours, .. } = mismatch;
    format!(
        "    Envoy `{envoy}`, ours `{ours}`\n        {}: {}\n",
        WAYS[request.way()].name,
        String::from_utf8_lossy(&bytes).escape_debug()
    )
}

/// What the logs have of a request: flags and details often give the reason of a mismatch.
fn logs(envoy: &Done, ours: &Done) -> String {
    let sides = [("Envoy", envoy), ("ours", ours)];
    let lines = sides.into_iter().flat_map(|(name, done)| {
        let lines = done.log.iter();
        lines.map(move |line| format!("        log of {name}: {}\n", line.trim_end()))
    });
    lines.collect()
}

//! Tutorial 003, part A, as printed, and what kubectl printed on a real API server step by step.
//!
//! `golden/scenario.txt` has the steps, `golden/NNN-slug.txt` what each gave there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aviary_tests::{Installation, Outcome, Shares, assert_share, eventually, normalize, shape};
use regex::Regex;
use serde_json::Value;

/// Long enough for a rollout of three pods that must each be ready for five seconds.
const SETTLED: Duration = Duration::from_mins(2);
/// Nothing may have moved for so long: events are written beside the objects they are about.
const QUIET: Duration = Duration::from_millis(1200);

/// What the pinned client prints otherwise than the one of the recording, whatever the server.
struct ClientChange {
    steps: &'static [&'static str],
    /// What only the newer client prints.
    pattern: &'static str,
    reason: &'static str,
}

/// The recording is kubectl 1.32's, the tests use 1.36.
const CLIENT_CHANGES: [ClientChange; 3] = [
    ClientChange {
        steps: &[
            "describe-deploy",
            "describe-rs",
            "describe-deploy-after-roll",
            "rollout-history-rev2",
            "canary-describe",
        ],
        pattern: r"(?:Port:\s+\d+/TCP)( \(http\))",
        reason: "the newer client adds the names of ports",
    },
    ClientChange {
        steps: &[
            "canary-undo-paused",
            "undo",
            "undo-to-revision",
            "undo-to-missing",
        ],
        pattern: r"(?m)^(Warning: resource deployments/micro-api was previously managed with 'kubectl apply'.*\n)",
        reason: "the newer client warns of an undo beside `kubectl apply`",
    },
    ClientChange {
        steps: &["delete-pod-recreate"],
        pattern: r"deleted( from default namespace)",
        reason: "the newer client names the namespace of what it deleted",
    },
];

/// One line of the scenario.
struct Step {
    slug: String,
    flags: Vec<String>,
    command: String,
}

impl Step {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }
}

fn scenario(folder: &Path) -> Result<Vec<Step>> {
    let text = std::fs::read_to_string(folder.join("scenario.txt"))?;
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (head, command) = line.split_once(" :: ").context("a step without command")?;
            let mut words = head.split_whitespace().map(ToOwned::to_owned);
            Ok(Step {
                slug: words.next().context("a step without name")?,
                flags: words.collect(),
                command: command.to_owned(),
            })
        })
        .collect()
}

/// What was recorded, by the step's name.
fn recorded(folder: &Path) -> Result<BTreeMap<String, Outcome>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some((number, slug)) = name.split_once('-') else {
            continue;
        };
        ensure!(number.len() == 3, "{name}: a record is named NNN-slug");
        let text = std::fs::read_to_string(&path)?;
        let mut parts = text.splitn(3, '\n').skip(1);
        let code = parts.next().and_then(|line| line.strip_prefix("# exit "));
        let code = code.with_context(|| name.to_owned())?.trim().parse()?;
        let rest = parts.next().unwrap_or_default();
        let (stdout, stderr) = rest.split_once("#stderr#\n").unwrap_or((rest, ""));
        let outcome = Outcome {
            code,
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
        };
        all.insert(slug.to_owned(), outcome);
    }
    Ok(all)
}

/// Takes out what only the newer client prints, and says so. A change that the list expects must be there.
fn without_client_changes(slug: &str, mut outcome: Outcome) -> Result<Outcome> {
    for change in CLIENT_CHANGES
        .iter()
        .filter(|change| change.steps.contains(&slug))
    {
        let pattern = Regex::new(change.pattern)?;
        let strip = |text: &str| {
            pattern
                .replace_all(text, |found: &regex::Captures<'_>| {
                    found[0].replacen(&found[1], "", 1)
                })
                .into_owned()
        };
        let (stdout, stderr) = (strip(&outcome.stdout), strip(&outcome.stderr));
        ensure!(
            stdout != outcome.stdout || stderr != outcome.stderr,
            "{slug}: no longer so: {}",
            change.reason
        );
        println!(
            "{slug}: compared without a difference of clients: {}",
            change.reason
        );
        outcome = Outcome {
            stdout,
            stderr,
            ..outcome
        };
    }
    Ok(outcome)
}

/// How `seen` differs from `wanted`; empty if not.
fn differences(step: &Step, wanted: &Outcome, seen: &Outcome) -> String {
    let streams = [
        (&wanted.stdout, &seen.stdout),
        (&wanted.stderr, &seen.stderr),
    ];
    if step.has("v") {
        let differ = streams
            .iter()
            .any(|(wanted, seen)| shape(wanted) != shape(seen));
        return if differ {
            format!("{wanted:?}\n{seen:?}\n")
        } else {
            String::new()
        };
    }
    let mut text = String::new();
    if wanted.code != seen.code {
        text = format!("exit code {} instead of {}\n", seen.code, wanted.code);
    }
    for (wanted, seen) in streams {
        let (wanted, seen) = (normalize(wanted), normalize(seen));
        if wanted == seen {
            continue;
        }
        for (one, other, sign) in [(&wanted, &seen, "  - "), (&seen, &wanted, "  + ")] {
            let other: Vec<&str> = other.lines().collect();
            for line in one.lines().filter(|line| !other.contains(line)) {
                text.extend([sign, line, "\n"]);
            }
        }
        text += "  (lines in another order or number)\n";
    }
    text
}

/// The objects that a rollout moves.
fn objects(mesh: &Installation) -> Result<Vec<Value>> {
    let kinds = "deployments.apps,replicasets.apps,pods,endpointslices.discovery.k8s.io";
    let list = mesh
        .kubectl(&format!("get {kinds} -A -o json"))
        .ok()?
        .stdout;
    let list: Value = serde_json::from_str(&list)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Whether nothing is left to do for an object.
fn is_settled(object: &Value) -> bool {
    let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let count = |name: &str| status[name].as_i64().unwrap_or(0);
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let observed = || status["observedGeneration"] == meta["generation"];
    let all = |names: &[&str]| names.iter().all(|name| count(name) == wanted);
    match object["kind"].as_str() {
        Some("Deployment") if spec["paused"] == true => {
            observed() && count("replicas") == count("availableReplicas")
        }
        Some("Deployment") => {
            observed() && all(&["replicas", "updatedReplicas", "availableReplicas"])
        }
        Some("ReplicaSet") => {
            observed() && all(&["replicas", "readyReplicas", "availableReplicas"])
        }
        Some("Pod") => meta["deletionTimestamp"].is_null() && status["phase"] != "Pending",
        _ => true,
    }
}

/// Waits until all rollouts are done and nothing moves.
fn settle(mesh: &Installation) -> Result<()> {
    let mut last = (objects(mesh)?, Instant::now());
    eventually("rollouts are done and nothing moves", SETTLED, || {
        let now = objects(mesh)?;
        if now != last.0 {
            last = (now, Instant::now());
        }
        Ok(last.0.iter().all(is_settled) && last.1.elapsed() >= QUIET)
    })?;
    Ok(())
}

/// Who answers behind the `ClusterIP`: `new` (by `V3|`), `old`, or `failure`; one connection each.
fn answers(mesh: &Installation, count: usize) -> Result<Shares> {
    let address = "get svc micro-api -o jsonpath={.spec.clusterIP}";
    let address = mesh.kubectl(address).ok()?.stdout;
    let url = format!("http://{address}:19090/test/test#[1-{count}]");
    let curl = [
        "curl",
        "-s",
        "-H",
        "Connection: close",
        "-w",
        " %{http_code}\n",
        &url,
    ];
    let text = mesh.in_node(&curl).ok()?.stdout;
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    ensure!(lines.len() == count, "one line for each answer\n{text}");
    println!("first answers: {:?}", &lines[..4.min(lines.len())]);
    Ok(Shares::count(&lines, |line| {
        let kind = match line {
            line if !line.ends_with(" 200") => "failure",
            line if line.contains("\"V3|") => "new",
            _ => "old",
        };
        kind.to_owned()
    }))
}

/// Number of pods of the app without and with the canary's label.
fn pods(mesh: &Installation) -> Result<(usize, usize)> {
    let count = |selector: &str| -> Result<usize> {
        let list = mesh
            .kubectl(&format!("get pods -o name -l {selector}"))
            .ok()?;
        Ok(list.stdout.lines().count())
    };
    Ok((
        count("app=micro-api,track!=canary")?,
        count("app=micro-api,track=canary")?,
    ))
}

/// What the tutorial sees by curl between the commands.
fn look_at_traffic(mesh: &Installation, after: &str) -> Result<()> {
    match after {
        "canary-get-svc" => {
            assert_eq!(pods(mesh)?, (2, 2), "old and new pods of the paused canary");
            let shares = answers(mesh, 40)?;
            assert_share(&shares, "failure", 0.0);
            assert_share(&shares, "new", 0.5);
        }
        "resumed-get-pods" => {
            assert_eq!(pods(mesh)?, (0, 3), "old and new pods after the canary");
            assert_share(&answers(mesh, 40)?, "new", 1.0);
        }
        _ => {}
    }
    Ok(())
}

#[test]
fn rolling_update_as_printed_agrees_with_the_recording() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let records = recorded(&folder)?;
    let mesh = Installation::start()?;
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    let places = [
        (manifests.display().to_string(), "$M"),
        (mesh.home().display().to_string(), "$HOME"),
    ];
    let (mut agree, mut passed_over) = (0, 0);
    let mut failures = Vec::new();
    for step in scenario(&folder)? {
        if step.has("s") {
            settle(&mesh).with_context(|| format!("before {}", step.slug))?;
        }
        // The flag `t=` needs nothing here: the only command that has it ends by its own time limit.
        let mut seen = mesh.shell(&step.command)?;
        for (place, name) in &places {
            seen.stdout = seen.stdout.replace(place, name);
            seen.stderr = seen.stderr.replace(place, name);
        }
        if step.has("x") {
            passed_over += 1;
        } else {
            let wanted = records.get(&step.slug).with_context(|| step.slug.clone())?;
            let difference = without_client_changes(&step.slug, seen).map_or_else(
                |error| error.to_string(),
                |seen| differences(&step, wanted, &seen),
            );
            if difference.is_empty() {
                agree += 1;
            } else {
                println!("{} differs:\n{difference}", step.slug);
                failures.push(step.slug.clone());
            }
        }
        look_at_traffic(&mesh, &step.slug)?;
    }
    println!(
        "{agree} steps agree with the recording, {failures:?} differ, {passed_over} not compared"
    );
    assert!(
        failures.is_empty(),
        "{failures:?}: kubectl prints otherwise than on a real server"
    );
    assert_eq!(agree + passed_over, records.len());
    Ok(())
}

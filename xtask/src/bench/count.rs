//! User instructions and system calls per request.
//!
//! One connection asks, one request after the other; Valgrind's callgrind counts instructions and
//! strace lists system calls.
//! Neither knows time, so a busy machine does not disturb them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::bench::process::Process;
use crate::bench::proxies::Proxy;
use crate::bench::scenario::{Requests, Scenario, Work};
use crate::bench::stage::{Port, Stage};
use crate::run::{pass, target};
use crate::tools;

/// Requests before anything is counted.
const WARM_UP: u32 = 300;
/// Requests that are counted.
const COUNTED: u32 = 1000;
/// How long a proxy may take until it answers: Valgrind makes it some fifty times slower.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// Calls rarer than this per request are not listed.
const RARE: f64 = 0.02;

/// What one request costs one proxy.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Counts {
    pub(crate) scenario: &'static str,
    pub(crate) proxy: &'static str,
    /// In user space.
    pub(crate) instructions: Option<f64>,
    /// By name.
    pub(crate) system_calls: Option<BTreeMap<String, f64>>,
    /// Why one of them is missing.
    pub(crate) failures: Vec<String>,
}

impl Counts {
    /// System calls of all names.
    pub(crate) fn calls(&self) -> Option<f64> {
        Some(self.system_calls.as_ref()?.values().sum())
    }

    /// In a line.
    pub(crate) fn brief(&self) -> String {
        let instructions = self.instructions.map(|n| format!("{n:.0} instructions"));
        let calls = self.calls().map(|n| format!("{n:.2} system calls"));
        let known = [instructions, calls].into_iter().flatten();
        known
            .chain(self.failures.iter().cloned())
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// Counts both.
pub(crate) fn run(stage: &Stage, proxy: &Proxy, scenario: &Scenario) -> Counts {
    let mut failures = Vec::new();
    let mut failed = |what: &str, error: anyhow::Error| failures.push(format!("{what}: {error:#}"));
    let instructions = instructions(stage, proxy, scenario)
        .map_err(|error| failed("callgrind", error))
        .ok();
    stage.wait_for_ports();
    let system_calls = system_calls(stage, proxy, scenario)
        .map_err(|error| failed("strace", error))
        .ok();
    stage.wait_for_ports();
    Counts {
        scenario: scenario.name,
        proxy: proxy.name,
        instructions,
        system_calls,
        failures,
    }
}

fn one_at_a_time(scenario: &Scenario) -> Result<Requests> {
    match scenario.work {
        Work::Closed(asked) => Ok(Requests {
            connections: 1,
            streams: 1,
            ..asked
        }),
        _ => bail!("{} has no requests to count", scenario.name),
    }
}

fn instructions(stage: &Stage, proxy: &Proxy, scenario: &Scenario) -> Result<f64> {
    let valgrind = tools::debian("usr/bin/valgrind", &tools::VALGRIND)?;
    let wrap = [
        "env".to_owned(),
        format!(
            "VALGRIND_LIB={}",
            valgrind.root.join("usr/libexec/valgrind").display()
        ),
        valgrind.program.display().to_string(),
        "--quiet".into(),
        "--tool=callgrind".into(),
        format!("--vgdb-prefix={}", stage.folder.join("vgdb").display()),
        format!(
            "--callgrind-out-file={}/callgrind.%p",
            stage.folder.display()
        ),
    ];
    let processes = proxy.start(stage, scenario, &wrap, START_TIMEOUT)?;
    let callgrind = Callgrind {
        folder: &stage.folder,
        vgdb: valgrind.program.with_file_name("vgdb"),
        pids: processes.iter().flat_map(Process::tree).collect(),
    };
    let mut tool = stage.start(
        "count",
        stage.address(Port::Listen),
        one_at_a_time(scenario)?,
    )?;
    tool.order(WARM_UP)?;
    callgrind.zero()?;
    let start = Instant::now();
    tool.order(COUNTED)?;
    let taken = start.elapsed();
    let busy = callgrind.dump()?;
    callgrind.keep(&format!("{}-{}", proxy.name, scenario.name))?;
    // Timers and the like, over the same time.
    callgrind.zero()?;
    pass(taken);
    let idle = callgrind.dump()?;
    if busy == 0 {
        bail!("no instructions were counted");
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let net = busy as f64 - idle as f64;
    Ok(net / f64::from(COUNTED))
}

/// Processes under callgrind.
#[derive(Debug)]
struct Callgrind<'a> {
    folder: &'a Path,
    vgdb: PathBuf,
    pids: Vec<u32>,
}

impl Callgrind<'_> {
    fn order(&self, order: &str) -> Result<()> {
        for pid in &self.pids {
            let status = Command::new(&self.vgdb)
                .arg(format!(
                    "--vgdb-prefix={}",
                    self.folder.join("vgdb").display()
                ))
                .arg(format!("--pid={pid}"))
                .arg(order)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .context("cannot run vgdb")?;
            if !status.success() {
                bail!("vgdb cannot reach the process (is ptrace allowed?)");
            }
        }
        Ok(())
    }

    fn zero(&self) -> Result<()> {
        self.order("zero")
    }

    /// Instructions of all processes since they were last zero.
    fn dump(&self) -> Result<u64> {
        for file in self.files()? {
            fs::remove_file(file)?;
        }
        self.order("dump")?;
        let mut sum = 0;
        for file in self.files()? {
            let text = fs::read(&file)?;
            let text = String::from_utf8_lossy(&text);
            let total = text
                .lines()
                .find_map(|line| line.strip_prefix("totals: "))
                .context("a profile without totals")?;
            sum += total.trim().parse::<u64>()?;
        }
        Ok(sum)
    }

    /// Keeps the last profile for `callgrind_annotate`.
    fn keep(&self, name: &str) -> Result<()> {
        let folder = target().join("bench/profiles");
        fs::create_dir_all(&folder)?;
        for (number, file) in self.files()?.iter().enumerate() {
            fs::copy(file, folder.join(format!("{name}.{number}.callgrind")))?;
        }
        Ok(())
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.folder)? {
            let entry = entry?;
            if entry
                .file_name()
                .to_string_lossy()
                .starts_with("callgrind.")
            {
                files.push(entry.path());
            }
        }
        Ok(files)
    }
}

fn system_calls(
    stage: &Stage,
    proxy: &Proxy,
    scenario: &Scenario,
) -> Result<BTreeMap<String, f64>> {
    let strace = tools::debian("usr/bin/strace", &tools::STRACE)?;
    let list = stage.folder.join("strace.txt");
    let wrap = [
        strace.program.display().to_string(),
        "-f".into(),
        "-qq".into(),
        // A request to end goes on to the proxy.
        "-I2".into(),
        "-o".into(),
        list.display().to_string(),
        "--".into(),
    ];
    let _processes = proxy.start(stage, scenario, &wrap, START_TIMEOUT)?;
    let asked = one_at_a_time(scenario)?;
    let mut tool = stage.start("count", stage.address(Port::Listen), asked)?;
    tool.order(WARM_UP)?;
    let before = fs::metadata(&list)?.len();
    tool.order(COUNTED)?;
    let text = fs::read(&list)?;
    let counted = text.get(usize::try_from(before)?..).unwrap_or_default();
    let mut calls = BTreeMap::new();
    for name in String::from_utf8_lossy(counted).lines().filter_map(call) {
        *calls.entry(name.to_owned()).or_insert(0.0) += 1.0 / f64::from(COUNTED);
    }
    calls.retain(|_, number| *number >= RARE);
    if calls.is_empty() {
        bail!("no system call was seen");
    }
    Ok(calls)
}

/// The system call that a line of strace begins.
fn call(line: &str) -> Option<&str> {
    let line = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    let (name, _) = line.split_once('(')?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::call;

    #[test]
    fn call_is_counted_where_it_begins() {
        assert_eq!(call("123   read(5, \"x\", 1) = 1"), Some("read"));
        assert_eq!(call("epoll_wait(3, <unfinished ...>"), Some("epoll_wait"));
        assert_eq!(call("12 <... epoll_wait resumed>) = 1"), None);
        assert_eq!(call("12 +++ exited with 0 +++"), None);
    }
}

//! A program under test: started on a core, looked at through `/proc`, stopped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::run::pass;

/// How long a program may take to end when it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a log a failure quotes.
const LOG_QUOTE: usize = 400;

/// A running program with all its children; dropping it ends them.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// CPU time of process trees.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// Time on a core, by the scheduler, in ns.
    pub(crate) ns: u64,
    /// The kernel's ticks in the program and in the kernel.
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
}

impl Process {
    /// Starts a program whose talk goes to `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot run {command:?}"))?;
        Ok(Self { child, log })
    }

    /// Why it ended, if it did, with the end of what it said.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("ended with {status}: {}", self.last_words()))
    }

    /// All that it said.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The end of what it said.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let end = log.get(log.len().saturating_sub(LOG_QUOTE)..);
        let text = String::from_utf8_lossy(end.unwrap_or(&log)).into_owned();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The program and its descendants.
    pub(crate) fn tree(&self) -> Vec<u32> {
        let mut children = BTreeMap::<u32, Vec<u32>>::new();
        for pid in numbers(Path::new("/proc")) {
            if let Some(stat) = Stat::of(pid) {
                children.entry(stat.parent).or_default().push(pid);
            }
        }
        let (mut todo, mut tree) = (vec![self.child.id()], Vec::new());
        while let Some(pid) = todo.pop() {
            tree.push(pid);
            todo.extend(children.remove(&pid).unwrap_or_default());
        }
        tree
    }

    fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let tree = self.tree();
        signal(self.child.id(), Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < END_TIMEOUT {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            pass(Duration::from_millis(10));
        }
        for pid in tree {
            signal(pid, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// CPU time so far of all threads of these processes.
pub(crate) fn cpu(processes: &[Process]) -> Cpu {
    let mut cpu = Cpu::default();
    for pid in processes.iter().flat_map(Process::tree) {
        for task in numbers(&PathBuf::from(format!("/proc/{pid}/task"))) {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat"));
            cpu.ns += first_number(&text.unwrap_or_default());
        }
        if let Some(stat) = Stat::of(pid) {
            cpu.user_ticks += stat.user_ticks;
            cpu.system_ticks += stat.system_ticks;
        }
    }
    cpu
}

/// Memory of these processes in KiB; pages that several share are counted once.
pub(crate) fn memory_kib(processes: &[Process]) -> u64 {
    let mut kib = 0;
    for pid in processes.iter().flat_map(Process::tree) {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        kib += first_number(line.unwrap_or_default());
    }
    kib
}

/// Busy, stolen and all ticks of a core so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Core {
    pub(crate) busy: u64,
    pub(crate) stolen: u64,
    pub(crate) all: u64,
}

impl Core {
    /// The ticks of core `number`.
    pub(crate) fn read(number: usize) -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let name = format!("cpu{number} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        let ticks: Vec<u64> = line
            .unwrap_or_default()
            .split_whitespace()
            .take(8)
            .map(first_number)
            .collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or_default();
        let all = ticks.iter().sum();
        // Fields: user nice system idle iowait irq softirq steal.
        Self {
            busy: all - at(3) - at(4),
            stolen: at(7),
            all,
        }
    }
}

#[derive(Debug)]
struct Stat {
    parent: u32,
    user_ticks: u64,
    system_ticks: u64,
}

impl Stat {
    /// Source: `proc_pid_stat(5)`; the name in parentheses may hold anything.
    fn of(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            user_ticks: fields.get(11)?.parse().ok()?,
            system_ticks: fields.get(12)?.parse().ok()?,
        })
    }
}

fn numbers(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn first_number(text: &str) -> u64 {
    let word = text.split_whitespace().next().unwrap_or_default();
    word.parse().unwrap_or_default()
}

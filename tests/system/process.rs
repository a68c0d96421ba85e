//! What runs on this machine, and what an installation leaves of itself when it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A process, told apart from later ones of the same number by its start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    /// Number.
    pub(crate) pid: i64,
    /// Start, in clock ticks since boot.
    pub(crate) started: u64,
    /// Arguments, parted by blanks.
    pub(crate) command: String,
}

/// What an installation occupies while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Footprint {
    home: PathBuf,
    processes: BTreeSet<Process>,
    /// Inodes of the host's TCP sockets that its processes listen on.
    listening: BTreeSet<String>,
    /// Identities of the network, process and mount namespaces that it made.
    namespaces: BTreeSet<String>,
    /// Start of the newest process of all. The numbers of namespaces are used again, so that one of
    /// a later process tells nothing; it could not have one of ours without an earlier process.
    seen: u64,
}

impl Footprint {
    /// That of the installation under `home` with this supervisor.
    pub(crate) fn of(home: &Path, supervisor: i64) -> Self {
        let processes = tree(supervisor);
        let open: BTreeSet<String> = processes
            .iter()
            .flat_map(|process| open_sockets(process.pid))
            .collect();
        let ours = namespaces("self");
        let namespaces = processes
            .iter()
            .flat_map(|process| namespaces(&process.pid.to_string()))
            .filter(|namespace| !ours.contains(namespace))
            .collect();
        Self {
            home: home.to_owned(),
            processes,
            listening: listening().intersection(&open).cloned().collect(),
            namespaces,
            seen: all()
                .map(|process| process.started)
                .max()
                .unwrap_or_default(),
        }
    }

    /// How many processes, listening sockets and namespaces there were.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        (
            self.processes.len(),
            self.listening.len(),
            self.namespaces.len(),
        )
    }

    /// Which of its processes still run.
    pub(crate) fn survivors(&self) -> Vec<String> {
        let ours = all().filter(|process| self.processes.contains(process));
        ours.map(|process| format!("{process:?}")).collect()
    }

    /// What of it is still there.
    pub(crate) fn left_over(&self) -> Vec<String> {
        let home = self.home.display().to_string();
        let mut left = Vec::new();
        for process in all() {
            let pid = process.pid.to_string();
            if self.processes.contains(&process) || mentions(&pid, &home) {
                left.push(format!("process {process:?}"));
            }
            for namespace in namespaces(&pid) {
                if process.started <= self.seen && self.namespaces.contains(&namespace) {
                    left.push(format!("namespace {namespace} of {process:?}"));
                }
            }
        }
        for inode in listening().intersection(&self.listening) {
            left.push(format!("listening TCP socket {inode}"));
        }
        for table in ["/proc/self/mounts", "/proc/net/unix"] {
            let text = fs::read_to_string(table).unwrap_or_default();
            let lines = text.lines().filter(|line| line.contains(&home));
            left.extend(lines.map(|line| format!("{table}: {line}")));
        }
        left
    }
}

/// A process and all that descend from it.
pub(crate) fn tree(root: i64) -> BTreeSet<Process> {
    let mut children: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for pid in pids() {
        if let Some((parent, _)) = stat(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut next = vec![root];
    while let Some(pid) = next.pop() {
        found.extend(process(pid));
        next.extend(children.get(&pid).into_iter().flatten());
    }
    found
}

/// The proxies among the descendants of a process: the pod of each, and its number.
pub(crate) fn proxies(root: i64) -> Vec<(String, i64)> {
    let all = tree(root).into_iter();
    let proxies = all.filter(|process| process.command.contains("/aviary proxy "));
    let pod = |process: Process| {
        let text = fs::read(format!("/proc/{}/environ", process.pid)).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let name = text
            .split('\0')
            .find_map(|it| it.strip_prefix("POD_NAME="))?;
        Some((name.to_owned(), process.pid))
    };
    proxies.filter_map(pod).collect()
}

fn all() -> impl Iterator<Item = Process> {
    pids().into_iter().filter_map(process)
}

fn pids() -> Vec<i64> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn process(pid: i64) -> Option<Process> {
    let (_, started) = stat(pid)?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    Some(Process {
        pid,
        started,
        command,
    })
}

/// Parent and start. Source: proc(5), fields 4 and 22.
fn stat(pid: i64) -> Option<(i64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(19)?.parse().ok()?))
}

/// Whether a process was started with `text` among its arguments or in its environment.
fn mentions(pid: &str, text: &str) -> bool {
    ["cmdline", "environ"].iter().any(|name| {
        let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).contains(text)
    })
}

fn namespaces(pid: &str) -> Vec<String> {
    let link = |name| fs::read_link(format!("/proc/{pid}/ns/{name}")).ok();
    let links = ["net", "pid", "mnt"].into_iter().filter_map(link);
    links.map(|link| link.display().to_string()).collect()
}

/// Inodes of the sockets that a process has open.
fn open_sockets(pid: i64) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links
        .filter_map(|link| {
            let text = link.display().to_string();
            Some(text.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect()
}

/// Inodes of the host's listening TCP sockets. Source: proc(5), state 0A and the tenth field.
fn listening() -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: String = tables
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .collect();
    text.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&"0A"))
        .filter_map(|fields| fields.get(9).map(|inode| (*inode).to_owned()))
        .collect()
}

//! What the system says of the process' memory and descriptors.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Gate;
use super::pressure::{self, Level};

/// Memory is looked at this often, and this often once it is short.
const CALM_PERIOD: Duration = Duration::from_secs(1);
const SHORT_PERIOD: Duration = Duration::from_millis(100);

/// Descriptors assumed when the system sets no limit.
const DESCRIPTORS: u64 = 1 << 20;

/// Where control groups are.
const GROUPS: &str = "/sys/fs/cgroup";

/// Raises the limit of descriptors to what the system allows, and gives it.
pub(super) fn raise_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit of descriptors");
            limit.current
        }
    };
    current.unwrap_or(DESCRIPTORS)
}

/// A limit of memory, and how what is used of it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Meter {
    /// The process' own resident memory.
    Process { limit: u64 },
    /// The control group's memory, without what the kernel can give back at once.
    Group { limit: u64, folder: PathBuf },
}

impl Meter {
    fn limit(&self) -> u64 {
        match self {
            Self::Process { limit } | Self::Group { limit, .. } => *limit,
        }
    }

    /// Bytes in use; `None` when the system does not say.
    fn used(&self) -> Option<u64> {
        match self {
            Self::Process { .. } => resident(&fs::read_to_string("/proc/self/status").ok()?),
            Self::Group { folder, .. } => {
                let used = number(&folder.join("memory.current"))?;
                let stat = fs::read_to_string(folder.join("memory.stat")).ok()?;
                Some(used.saturating_sub(reclaimable(&stat)))
            }
        }
    }
}

/// Keeps the gate's level right until it is dropped. `limit` is in bytes; the limit of the control
/// group counts as well.
pub(crate) async fn watch(gate: Arc<Gate>, limit: Option<u64>) {
    let meters = meters(limit);
    if meters.is_empty() {
        return;
    }
    for meter in &meters {
        tracing::info!(limit = meter.limit(), "memory is limited");
    }
    let mut level = Level::Calm;
    loop {
        let next = meters
            .iter()
            .filter_map(|meter| Some(pressure::level(meter.used()?, meter.limit(), level)))
            .max()
            .unwrap_or_default();
        if next != level {
            tracing::warn!(from = ?level, to = ?next, "memory pressure changed");
            level = next;
            gate.set_level(level);
        }
        let period = if level == Level::Calm {
            CALM_PERIOD
        } else {
            SHORT_PERIOD
        };
        tokio::time::sleep(period).await;
    }
}

fn meters(limit: Option<u64>) -> Vec<Meter> {
    let own = limit.map(|limit| Meter::Process { limit });
    let group = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|text| group_meter(Path::new(GROUPS), group_of(&text)?));
    own.into_iter().chain(group).collect()
}

/// The path of the process' group in `/proc/self/cgroup`, in the unified hierarchy.
fn group_of(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("0::/"))
}

/// The tightest limit of a group and those it is in.
fn group_meter(root: &Path, group: &str) -> Option<Meter> {
    let mut folder = root.join(group);
    let mut tightest: Option<Meter> = None;
    while folder.starts_with(root) {
        if let Some(limit) = number(&folder.join("memory.max"))
            && tightest.as_ref().is_none_or(|it| limit < it.limit())
        {
            tightest = Some(Meter::Group {
                limit,
                folder: folder.clone(),
            });
        }
        if !folder.pop() {
            break;
        }
    }
    tightest
}

/// A file with one number; `None` for `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// Resident memory in the words of `/proc/self/status`, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Page cache that nobody has used lately.
fn reclaimable(stat: &str) -> u64 {
    stat.lines()
        .find_map(|line| line.strip_prefix("inactive_file "))
        .and_then(|value| value.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_meter_takes_the_tightest_limit() {
        let root = std::env::temp_dir().join(format!("aviary-groups-{}", std::process::id()));
        let inner = root.join("pods/one");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(root.join("pods/memory.max"), "1000\n").unwrap();
        fs::write(root.join("pods/memory.current"), "700\n").unwrap();
        fs::write(root.join("pods/memory.stat"), "anon 1\ninactive_file 200\n").unwrap();
        fs::write(root.join("memory.max"), "5000\n").unwrap();
        let meter = group_meter(&root, "pods/one").unwrap();
        assert_eq!((meter.limit(), meter.used()), (1000, Some(500)));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn used_of_this_process_is_read() {
        let meter = Meter::Process { limit: 1 };
        assert!(meter.used().unwrap() > 100_000);
        assert_eq!(
            group_of("1:cpu:/x\n0::/user.slice/a\n"),
            Some("user.slice/a")
        );
    }

    #[test]
    fn raise_descriptors_reaches_the_hard_limit() {
        let raised = raise_descriptors();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert_eq!(raised, now.maximum.unwrap_or(DESCRIPTORS));
    }
}

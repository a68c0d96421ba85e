//! What the agent knows of one container at run time.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::backoff::Backoff;
use crate::init::protocol::{ContainerState, Exit, PodState};

/// All containers by name; a name that is absent never ran.
pub(crate) type Records = BTreeMap<String, Record>;

/// One container.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record {
    /// How often it was started before the present time; the status calls it `restartCount`.
    pub(crate) attempt: u32,
    pub(crate) run: Run,
    /// The startup probe passed, or there is none and it runs.
    pub(crate) started: bool,
    /// The readiness probe passed, or there is none and it has started.
    pub(crate) ready: bool,
    /// The end before the present run.
    pub(crate) last: Option<Ended>,
    /// Delay between ends and the next start.
    pub(crate) crash: Backoff,
    /// Why it could not even be tried, and delay until the next try.
    pub(crate) trouble: Option<Trouble>,
    pub(crate) trouble_backoff: Backoff,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Run {
    #[default]
    Never,
    Running {
        since: Timestamp,
    },
    Ended(Ended),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ended {
    pub(crate) started_at: Timestamp,
    pub(crate) exit: Exit,
}

/// Reason and message of a container that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Record {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.run, Run::Running { .. })
    }

    /// The exit code, if it ended.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        match &self.run {
            Run::Ended(ended) => Some(ended.exit.code),
            _ => None,
        }
    }

    /// The earliest time of the next start; `None` for at once.
    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        self.crash.until().max(self.trouble_backoff.until())
    }

    /// Takes over what init says; true if something changed.
    pub(crate) fn observe(&mut self, state: &ContainerState) -> bool {
        let run = match &state.exit {
            None => Run::Running {
                since: state.started_at,
            },
            Some(exit) => Run::Ended(Ended {
                started_at: state.started_at,
                exit: exit.clone(),
            }),
        };
        if self.run == run && self.attempt == state.attempt {
            return false;
        }
        if let Run::Ended(ended) = &self.run
            && state.attempt > self.attempt
        {
            self.last = Some(ended.clone());
        }
        self.attempt = state.attempt;
        self.trouble = None;
        self.trouble_backoff = Backoff::default();
        if let Run::Ended(ended) = &run {
            self.started = false;
            self.ready = false;
            self.crash.failed(ended.started_at, ended.exit.finished_at);
        }
        self.run = run;
        true
    }
}

/// Takes over a pod's state from init; gives the names whose run changed.
pub(crate) fn observe(records: &mut Records, state: &PodState) -> Vec<String> {
    let mut changed = Vec::new();
    for (name, container) in &state.containers {
        if records.entry(name.clone()).or_default().observe(container) {
            changed.push(name.clone());
        }
    }
    changed
}

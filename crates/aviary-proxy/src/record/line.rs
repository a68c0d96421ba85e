//! One exchange on its way to the logs.

use std::sync::Arc;
use std::time::SystemTime;

use aviary_telemetry::access_log::{Chosen, Entry, Logs, Moment, Texts};

/// An exchange on its way to the logs, in memory that is used again.
#[derive(Debug)]
pub(crate) struct Line {
    /// Its logs; of an earlier exchange, or none yet, until it goes to [`super::Outbox::line`].
    logs: Option<Arc<Logs>>,
    chosen: Chosen,
    pub(crate) entry: Entry,
}

impl Line {
    /// Of something that began then.
    pub(crate) fn new(start: SystemTime) -> Self {
        Self {
            logs: None,
            chosen: Chosen::default(),
            entry: Entry::new(start),
        }
    }

    /// Notes the logs that want it.
    pub(super) fn choose(&mut self, logs: &Arc<Logs>, chosen: Chosen) {
        // Mostly they are those of the exchange before, and nothing that threads share is touched.
        if !self.logs.as_ref().is_some_and(|it| Arc::ptr_eq(it, logs)) {
            self.logs = Some(Arc::clone(logs));
        }
        self.chosen = chosen;
    }

    /// Appends its lines to the texts of their sinks.
    pub(crate) fn write(&self, moment: &mut Moment, texts: &mut impl Texts) {
        if let Some(logs) = &self.logs {
            logs.write(self.chosen, &self.entry, moment, texts);
        }
    }
}

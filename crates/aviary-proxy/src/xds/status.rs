//! How the connection to the control plane is doing.

use std::fmt::Write as _;

use parking_lot::Mutex;

/// Shared between the client and the admin pages.
#[derive(Debug, Default)]
pub(crate) struct Status(Mutex<State>);

/// What is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// A stream is open.
    pub(crate) connected: bool,
    /// Streams opened since the start.
    pub(crate) connects: u64,
    /// Answers received.
    pub(crate) responses: u64,
    /// Configurations put into use.
    pub(crate) updates: u64,
    /// Answers that were refused in part.
    pub(crate) rejects: u64,
    /// What was wrong with the last one that was refused.
    pub(crate) last_reject: Option<String>,
    /// Why the last stream ended.
    pub(crate) last_error: Option<String>,
}

impl Status {
    /// Changes what is known.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock());
    }

    /// Answers received since the start.
    pub(crate) fn responses(&self) -> u64 {
        self.0.lock().responses
    }

    /// For `/config_dump`.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::to_value(&*self.0.lock()).unwrap_or_default()
    }

    /// For `/stats`.
    pub(crate) fn text(&self) -> String {
        let state = self.0.lock().clone();
        let mut text = String::new();
        for (name, value) in [
            ("connected_state", u64::from(state.connected)),
            ("connects", state.connects),
            ("responses", state.responses),
            ("update_success", state.updates),
            ("update_rejected", state.rejects),
        ] {
            let _ = writeln!(text, "control_plane.{name}: {value}");
        }
        text
    }
}

//! The verbs, as desired state.

use serde::{Deserialize, Serialize};

/// What persons ask of a release while it runs. Setting a field twice does nothing.
///
/// What stops or returns traffic to the stable version (`paused`, `aborted`, `takeOver: stable`)
/// counts at once. What moves traffic to the new version or destroys (`approvedStep`, `jumpTo`,
/// `takeOver: new`, `offline`) counts only for the attempt it names: an approval of a plan that was
/// changed since, or of a version superseded since, approves nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Control {
    /// The attempt (`status.attempt`) that the verbs are for; 1 when absent.
    pub attempt: Option<u32>,
    /// Steps up to this one, counted from 1, are approved.
    pub approved_step: Option<u32>,
    /// Freezes everything but the way back.
    pub paused: bool,
    /// All traffic to one side, without further checks; removed again, the last split returns.
    pub take_over: Option<Role>,
    /// All traffic back to the stable version, for good; the new one is drained and its pods end.
    pub aborted: bool,
    /// Retires the side that lost, once the release ended or one side took over: its Deployment is
    /// deleted. Refused while a live rule names that version.
    pub offline: bool,
    /// Counts up to begin anew from the first step, with analysis from zero.
    pub restart: u64,
    /// Step to go to, counted from 1, either way. Remove it before jumping to the same step again.
    pub jump_to: Option<u32>,
    /// Who asks, for the journal.
    pub requested_by: Option<String>,
}

impl Control {
    /// Whether verbs that move traffic to the new version are for this attempt.
    pub fn is_for(&self, attempt: u32) -> bool {
        self.attempt.unwrap_or(1) == attempt
    }
}

/// One of the two versions, by its part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// The one that served before.
    #[default]
    Stable,
    /// The one under trial.
    New,
}

impl Role {
    /// The other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Stable => Self::New,
            Self::New => Self::Stable,
        }
    }

    /// The name of the side in messages and fields.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::New => "new",
        }
    }
}

//! An explanation, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use aviary_mesh::filters::{Passage, Stop};
use aviary_mesh::resolve::{Decision, Outcome, Target};
use aviary_mesh::route::HeaderEdits;
use serde::Serialize;

use super::head::Asked;
use crate::command::proxy_config::rows;

/// What becomes of a request, and why.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// The request.
    pub(super) request: String,
    /// In the order in which they were found.
    pub(super) reasons: Vec<String>,
    /// What is done, in a few words.
    pub(super) outcome: String,
    /// Name of the route taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// Where it goes, with shares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    branches: Vec<Branch>,
    /// What else holds: waits, limits, tries, copies, edits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    settings: Vec<String>,
}

/// A cluster that may get the request.
#[derive(Debug, Clone, Serialize)]
struct Branch {
    /// Of the requests that take this route.
    share: String,
    cluster: String,
    endpoints: Vec<Place>,
}

#[derive(Debug, Clone, Serialize)]
struct Place {
    address: String,
    health: String,
}

impl Report {
    pub(super) fn new(asked: &Asked, reasons: Vec<String>) -> Self {
        Self {
            request: asked.line(),
            reasons,
            outcome: String::new(),
            route: None,
            branches: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Tells the form in which the rules see the request, where that is another.
    pub(super) fn seen(&mut self, asked: &Asked) {
        let line = asked.line();
        if line != self.request {
            self.reasons.push(format!("the rules see {line}"));
        }
    }

    /// It goes no further.
    pub(super) fn ends(&mut self, outcome: &str) {
        outcome.clone_into(&mut self.outcome);
    }

    /// Takes what the filters of the chain do.
    pub(super) fn passes(&mut self, passage: &Passage<'_>) {
        self.settings.extend(
            passage
                .delay
                .map(|delay| format!("waits {} first (fault)", time(delay))),
        );
        match &passage.stop {
            None => {}
            Some(Stop::Abort { status, .. }) => {
                self.ends(&format!("answered with {status} (fault)"));
            }
            Some(Stop::Preflight(_)) => self.ends("answered with 200 (cross-origin preflight)"),
            Some(Stop::Denied { policy }) => self.ends(&match policy {
                Some(policy) => format!("answered with 403 (denied by {policy})"),
                None => "answered with 403 (no policy allows it)".to_owned(),
            }),
        }
    }

    /// Takes a decision, unless a filter ended it; `endpoints` gives addresses and health of a cluster.
    pub(super) fn decided(
        &mut self,
        decision: &Decision<'_>,
        endpoints: impl Fn(&str) -> Vec<(String, String)>,
    ) {
        self.route = decision.route.map(|route| route.name.clone());
        if !self.outcome.is_empty() {
            return;
        }
        self.outcome = match &decision.outcome {
            Outcome::NotFound => "answered with 404".to_owned(),
            Outcome::Direct { status, .. } => format!("answered in place with {status}"),
            Outcome::Redirect { status, location } => {
                format!("redirected ({status}) to {location}")
            }
            Outcome::Forward(target) => {
                self.forwarded(target, endpoints);
                "forwarded".to_owned()
            }
        };
    }

    fn forwarded(
        &mut self,
        target: &Target<'_>,
        endpoints: impl Fn(&str) -> Vec<(String, String)>,
    ) {
        let branches = &target.forward.clusters;
        let shares = rows::shares(branches.iter().map(|it| (it.weight, it.name.as_str())));
        self.branches = shares
            .into_iter()
            .map(|(share, cluster)| Branch {
                share,
                cluster: cluster.to_owned(),
                endpoints: endpoints(cluster)
                    .into_iter()
                    .map(|(address, health)| Place { address, health })
                    .collect(),
            })
            .collect();
        let says = &mut self.settings;
        says.extend(
            target
                .path
                .as_ref()
                .map(|path| format!("path becomes {path}")),
        );
        says.extend(
            target
                .host
                .as_ref()
                .map(|host| format!("host becomes {host}")),
        );
        says.push(match target.timeout {
            Some(timeout) => format!("timeout {}", time(timeout)),
            None => "no timeout".to_owned(),
        });
        says.extend(target.retry.map(|retry| {
            let each = retry.per_try_timeout;
            let each = each.map_or_else(String::new, |it| format!(", {} each", time(it)));
            format!(
                "{} more tries on {}{each}",
                retry.attempts,
                retry.on.join(",")
            )
        }));
        for mirror in &target.forward.mirrors {
            says.push(format!(
                "copy of {} % to {}",
                mirror.percent, mirror.cluster
            ));
        }
        for edits in target.request_edits {
            edited("request", edits, says);
        }
        for edits in target.response_edits {
            edited("reply", edits, says);
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.request);
        for reason in &self.reasons {
            let _ = writeln!(text, "  {reason}");
        }
        let _ = write!(text, "{}", self.outcome);
        for branch in &self.branches {
            let _ = write!(text, "\n  {:>6}  {}", branch.share, branch.cluster);
            for place in &branch.endpoints {
                let health = place.health.trim_start_matches('/');
                let _ = write!(text, "\n            {}  {health}", place.address);
            }
            if branch.endpoints.is_empty() {
                text.push_str("\n            no endpoints");
            }
        }
        for setting in &self.settings {
            let _ = write!(text, "\n  {setting}");
        }
        text
    }
}

fn edited(what: &str, edits: &HeaderEdits, says: &mut Vec<String>) {
    says.extend(
        edits
            .remove
            .iter()
            .map(|name| format!("{what} loses {name}")),
    );
    let set = edits.set.iter();
    says.extend(set.map(|(name, value)| format!("{what} gets {name}: {value}")));
    let add = edits.add.iter();
    says.extend(add.map(|(name, value)| format!("{what} gets one more {name}: {value}")));
}

/// `1.5s`, as the configuration writes it.
fn time(time: Duration) -> String {
    format!("{}s", time.as_secs_f64())
}

//! The status for people and programs: counts, weights, waits, verdicts, conditions.

use aviary_api::release::{Condition, GROUP, Phase, Role, VERSION, VerdictStatus, Weights};
use serde_json::{Value, json};

use super::Run;
use crate::kind::{DEPLOYMENT, RELEASE};
use crate::object::to_value;
use crate::plan::Action;

impl Run<'_> {
    /// Brings everything in the status up to date that decides nothing.
    pub(super) fn report(&mut self) {
        self.status.observed_generation = self.release.metadata.generation.unwrap_or(0);
        self.status.proxies = self.acknowledgements();
        for role in [Role::Stable, Role::New] {
            let ready = self.endpoints(role);
            let version = match role {
                Role::Stable => &mut self.status.stable,
                Role::New => &mut self.status.new,
            };
            if let Some(version) = version {
                version.ready = ready;
            }
        }
        self.status.verdicts = self.verdicts();
        self.status.weights = self.weights();
        self.refuse_offline();
        self.status.waits = self
            .plan
            .waits
            .iter()
            .map(|wait| wait.message.clone())
            .collect();
        self.report_conditions();
    }

    /// Says why `offline` does nothing while both versions may have traffic.
    fn refuse_offline(&mut self) {
        let phase = self.status.phase;
        let open = phase == Phase::Preparing || phase.is_stepping();
        if open && self.wants_offline() {
            self.plan
                .wait("an end or a takeover, before a version goes offline");
        }
    }

    /// The last verdict of each check under the present overlay; missing is unavailable.
    pub(super) fn verdicts(&self) -> Vec<VerdictStatus> {
        if !self.status.phase.is_stepping() {
            return self.status.verdicts.clone();
        }
        let checks = self.spec.analysis.iter().flat_map(|it| &it.checks);
        checks
            .map(|check| {
                let found = self.measurement(&check.name);
                found.map_or_else(
                    || VerdictStatus {
                        check: check.name.clone(),
                        ..VerdictStatus::default()
                    },
                    |found| found.verdict.clone(),
                )
            })
            .collect()
    }

    fn weights(&self) -> Weights {
        let wanted = self.new_parts();
        let count = self.acknowledgements();
        let live = self.view.proxies.is_some() && count.acked == count.total;
        let acknowledged = if live {
            wanted
        } else {
            self.status.weights.acknowledged
        };
        let revision = self.overlay().map(|overlay| overlay.revision);
        let observed = self
            .view
            .observed
            .filter(|it| Some(it.revision) == revision);
        // In tenths of a percent: chance alone must not make a write every second.
        let observed = observed.map(|observed| observed.parts / 1000 * 1000);
        let seen = observed.map_or_else(|| "-".to_owned(), percent);
        Weights {
            wanted,
            acknowledged,
            observed,
            summary: format!("{} / {} / {seen}", percent(wanted), percent(acknowledged)),
        }
    }

    fn report_conditions(&mut self) {
        let phase = format!("{:?}", self.status.phase);
        let waits = self.status.waits.join("; ");
        let count = self.status.proxies;
        let (accepted, why, message) = match self.refused.take() {
            Some((reason, message)) => ("False", reason.to_owned(), message),
            None => ("True", "Accepted".to_owned(), String::new()),
        };
        self.condition("Accepted", accepted, why, message);
        let known = self.view.proxies.is_some() && self.status.overlay.is_some();
        let live = known && count.acked == count.total;
        let word = if live { "True" } else { "False" };
        let message = format!("{} of {} proxies", count.acked, count.total);
        self.condition("Live", word, "Acknowledgements".to_owned(), message);
        let retired = self.status.progress.drain.as_ref().map(|drain| drain.role);
        let succeeded = match (self.status.phase, retired) {
            (Phase::Completed, _) | (Phase::Offline, Some(Role::Stable)) => "True",
            (Phase::RolledBack | Phase::Offline, _) => "False",
            _ => "Unknown",
        };
        self.condition("Succeeded", succeeded, phase, waits);
    }

    fn condition(&mut self, type_: &str, status: &str, reason: String, message: String) {
        let now = self.stamp();
        let all = &mut self.status.conditions;
        let index = all.iter().position(|it| it.type_ == type_);
        let index = index.unwrap_or_else(|| {
            all.push(Condition {
                type_: type_.to_owned(),
                ..Condition::default()
            });
            all.len() - 1
        });
        let condition = &mut all[index];
        if condition.status != status {
            status.clone_into(&mut condition.status);
            condition.last_transition_time = Some(now);
        }
        condition.reason = reason;
        condition.message = message;
    }

    /// Writes the status if it changed, and in any case before Deployments are touched: the write
    /// is refused if the release went on since it was read, and then nothing else is done.
    pub(super) fn write(&mut self) {
        let same = self.release.status.as_ref() == Some(&self.status);
        let fenced = self.plan.actions.iter().any(touches_deployment);
        if same && !fenced {
            return;
        }
        let meta = &self.release.metadata;
        let object = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": "Release",
            // Without the spec, which a write of the status does not touch.
            "metadata": {
                "name": meta.name,
                "namespace": meta.namespace,
                "uid": meta.uid,
                "resourceVersion": meta.resource_version,
            },
            "status": without_nulls(to_value(&self.status)),
        });
        let write = Action::UpdateStatus {
            kind: RELEASE,
            object,
        };
        if self.moved || fenced {
            self.plan.actions.insert(0, write);
        } else {
            self.plan.actions.push(write);
        }
    }
}

fn touches_deployment(action: &Action) -> bool {
    match action {
        Action::Create { kind, .. } => *kind == DEPLOYMENT,
        Action::Patch { target, .. } | Action::Delete { target, .. } => target.kind == DEPLOYMENT,
        _ => false,
    }
}

/// Parts per million in percent, without zeros at the end.
fn percent(parts: u32) -> String {
    format!("{}", f64::from(parts) / 10_000.0)
}

/// A structural schema does not take null for a field that is absent.
fn without_nulls(mut value: Value) -> Value {
    drop_nulls(&mut value);
    value
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

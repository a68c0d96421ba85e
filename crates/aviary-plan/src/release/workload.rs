//! Deployments of versions: finding, deriving, scaling.

use aviary_api::release::{NewVersion, Role, VERSION_LABEL};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::Run;
use crate::kind::DEPLOYMENT;
use crate::object::{self, to_value};
use crate::plan::Action;

/// Says which release derived a Deployment.
const DERIVED_BY: &str = "aviary.dev/derived-by";

impl Run<'_> {
    /// The Deployments behind the Service with their versions.
    pub(super) fn versions(&self) -> Vec<(&Deployment, &str)> {
        let service = self.view.service.as_ref().and_then(|it| it.spec.as_ref());
        let Some(selector) = service.and_then(|spec| spec.selector.as_ref()) else {
            return Vec::new();
        };
        let all = self.view.deployments.iter();
        all.filter_map(|deployment| {
            let template = &deployment.spec.as_ref()?.template;
            let labels = template.metadata.as_ref()?.labels.as_ref()?;
            let behind = selector.iter().all(|(k, v)| labels.get(k) == Some(v));
            let version = labels.get(VERSION_LABEL)?;
            behind.then_some((&**deployment, version.as_str()))
        })
        .collect()
    }

    /// The Deployment of a side, by the name on record.
    pub(super) fn deployment(&self, role: Role) -> Option<&Deployment> {
        let name = &self.version(role)?.deployment;
        let all = self.view.deployments.iter().map(|deployment| &**deployment);
        all.into_iter()
            .find(|deployment| object::name(&deployment.metadata) == name)
    }

    /// Scales the Deployment of a side; does nothing if it has that size or does not exist.
    pub(super) fn scale(&mut self, role: Role, replicas: u32) {
        let Some(deployment) = self.deployment(role) else {
            return;
        };
        if wanted(deployment) == replicas {
            return;
        }
        let action = Action::Patch {
            target: object::target(&DEPLOYMENT, &deployment.metadata),
            // The version guards against a size that somebody else chose meanwhile.
            patch: json!({
                "metadata": {"resourceVersion": deployment.metadata.resource_version},
                "spec": {"replicas": replicas},
            }),
        };
        self.plan.actions.push(action);
    }

    /// Makes or scales the new version's Deployment.
    pub(super) fn bring_up_new(&mut self) {
        let Some(new) = self.status.new.clone() else {
            return;
        };
        if let Some(deployment) = self.deployment(Role::New) {
            let present = wanted(deployment);
            if present == 0 || self.spec.new.replicas.is_some_and(|it| it != present) {
                self.scale(Role::New, new.replicas);
            }
            return;
        }
        let Some(stable) = self
            .deployment(Role::Stable)
            .filter(|_| self.spec.new.is_derived())
        else {
            self.plan
                .wait(format!("the Deployment `{}`", new.deployment));
            return;
        };
        let derived = derive(stable, &self.spec.new, &new.deployment, new.replicas);
        let derived = Deployment {
            metadata: ObjectMeta {
                annotations: Some([(DERIVED_BY.to_owned(), self.release.name().to_owned())].into()),
                ..derived.metadata
            },
            ..derived
        };
        self.plan.actions.push(Action::Create {
            kind: DEPLOYMENT,
            object: to_value(&derived),
            event: None,
        });
    }

    /// Deletes the Deployment of the side that lost, unless a rule came to name it meanwhile.
    pub(super) fn delete_loser(&mut self) {
        let loser = self.status.progress.drain.as_ref().map(|drain| drain.role);
        if let Some(deployment) = loser.and_then(|role| self.deployment(role))
            && self.holds_claim()
        {
            let target = object::target(&DEPLOYMENT, &deployment.metadata);
            if self.is_named() {
                return;
            }
            let action = Action::Delete {
                target,
                propagation: None,
                unless_any: Vec::new(),
                event: None,
            };
            self.plan.actions.push(action);
        }
    }

    /// Whether the new version's Deployment exists with another image than the spec derives.
    pub(super) fn image_differs(&self, deployment: &Deployment) -> bool {
        let Some(image) = &self.spec.new.image else {
            return false;
        };
        let template = deployment
            .spec
            .as_ref()
            .and_then(|it| it.template.spec.as_ref());
        let containers = template.map(|it| it.containers.as_slice());
        let found = containers.and_then(|all| chosen(all, &self.spec.new));
        found.is_some_and(|(_, container)| container.image.as_ref() != Some(image))
    }
}

/// Pods that a Deployment wants; 1 if it does not say (Kubernetes' default).
pub(super) fn wanted(deployment: &Deployment) -> u32 {
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    u32::try_from(replicas.unwrap_or(1)).unwrap_or(0)
}

/// Name of a Deployment that is derived: the stable one's with the other version at its end.
pub(super) fn derived_name(stable: &str, stable_version: &str, new_version: &str) -> String {
    let base = stable
        .strip_suffix(stable_version)
        .and_then(|base| base.strip_suffix('-'))
        .unwrap_or(stable);
    format!("{base}-{new_version}")
}

/// A Deployment as `stable` is, with another version, image and environment.
fn derive(stable: &Deployment, new: &NewVersion, name: &str, replicas: u32) -> Deployment {
    let mut labels = stable.metadata.labels.clone().unwrap_or_default();
    labels.insert(VERSION_LABEL.to_owned(), new.version.clone());
    let mut spec: DeploymentSpec = stable.spec.clone().unwrap_or_default();
    spec.replicas = Some(i32::try_from(replicas).unwrap_or(i32::MAX));
    let version = || (VERSION_LABEL.to_owned(), new.version.clone());
    // The selectors of two Deployments must not overlap, so the version is always part of it.
    spec.selector
        .match_labels
        .get_or_insert_default()
        .extend([version()]);
    let template = spec.template.metadata.get_or_insert_default();
    template.labels.get_or_insert_default().extend([version()]);
    if let Some(pod) = &mut spec.template.spec
        && let Some((index, _)) = chosen(&pod.containers, new)
    {
        let container = &mut pod.containers[index];
        container.image.clone_from(&new.image);
        set_environment(container, new);
    }
    Deployment {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: stable.metadata.namespace.clone(),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

/// The container that gets image and environment.
fn chosen<'a>(all: &'a [Container], new: &NewVersion) -> Option<(usize, &'a Container)> {
    let mut all = all.iter().enumerate();
    match &new.container {
        Some(name) => all.find(|(_, container)| container.name == *name),
        None => all.next(),
    }
}

fn set_environment(container: &mut Container, new: &NewVersion) {
    if new.env.is_empty() {
        return;
    }
    let env = container.env.get_or_insert_default();
    for variable in &new.env {
        env.retain(|old| old.name != variable.name);
        env.push(EnvVar {
            name: variable.name.clone(),
            value: Some(variable.value.clone()),
            value_from: None,
        });
    }
}

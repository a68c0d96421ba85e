//! The objects: releases, Deployments with their pods, the Lease.

use std::collections::BTreeMap;
use std::sync::Arc;

use aviary_api::release::Release;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rand::Rng;
use rand::rngs::StdRng;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Counts;
use crate::release::workload::wanted;

pub(super) struct Store {
    version: u64,
    pub(super) releases: BTreeMap<String, Arc<Release>>,
    pub(super) deployments: BTreeMap<String, Arc<Deployment>>,
    /// Ready pods by Deployment.
    pub(super) ready: BTreeMap<String, u32>,
    pub(super) lease: Option<Arc<Lease>>,
    pub(super) service: Arc<Service>,
    pub(super) references: BTreeMap<String, Vec<String>>,
}

pub(super) fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of its kind")
}

/// The `version` label of a Deployment's pods.
pub(super) fn label(deployment: &Deployment) -> &str {
    let spec = deployment.spec.as_ref().expect("a spec");
    let labels = spec
        .template
        .metadata
        .as_ref()
        .and_then(|it| it.labels.as_ref());
    &labels.expect("labels")["version"]
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            version: 0,
            releases: BTreeMap::new(),
            deployments: BTreeMap::new(),
            ready: BTreeMap::new(),
            lease: None,
            service: Arc::new(read(
                json!({"metadata": {"name": "reviews"}, "spec": {"selector": {"app": "reviews"}}}),
            )),
            references: BTreeMap::new(),
        }
    }

    /// Marks a write; false if it was based on an older object.
    pub(super) fn stamp(&mut self, meta: &mut ObjectMeta, before: Option<&ObjectMeta>) -> bool {
        if let Some(before) = before
            && meta.resource_version != before.resource_version
        {
            return false;
        }
        self.version += 1;
        meta.resource_version = Some(self.version.to_string());
        if meta.uid.is_none() {
            meta.uid = Some(format!("uid-{}", self.version));
        }
        true
    }

    pub(super) fn deploy(&mut self, name: &str, version: &str, replicas: u32) {
        let deployment = json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "reviews", "version": version}},
                "template": {
                    "metadata": {"labels": {"app": "reviews", "version": version}},
                    "spec": {"containers": [{"name": "c", "image": format!("reviews:{}", version.trim_start_matches('v'))}]},
                },
            },
        });
        let mut deployment: Deployment = read(deployment);
        self.stamp(&mut deployment.metadata, None);
        self.deployments
            .insert(name.to_owned(), Arc::new(deployment));
        self.ready.insert(name.to_owned(), replicas);
    }

    pub(super) fn create(&mut self, release: &Value) {
        let mut release: Release = read(release.clone());
        self.stamp(&mut release.metadata, None);
        release.metadata.generation = Some(1);
        self.releases
            .insert(release.name().to_owned(), Arc::new(release));
    }

    /// A person's change of a spec.
    pub(super) fn edit(&mut self, name: &str, change: impl FnOnce(&mut Release)) {
        if let Some(release) = self.releases.remove(name) {
            let mut release = Arc::unwrap_or_clone(release);
            change(&mut release);
            let generation = release.metadata.generation.unwrap_or(0);
            release.metadata.generation = Some(generation + 1);
            self.stamp(&mut release.metadata, None);
            self.releases.insert(name.to_owned(), Arc::new(release));
        }
    }

    /// Pods come and go.
    pub(super) fn kubelet(&mut self, rng: &mut StdRng) {
        for (name, deployment) in &self.deployments {
            let ready = self.ready.entry(name.clone()).or_default();
            let wanted = wanted(deployment);
            if *ready > wanted {
                *ready = wanted;
            } else if *ready < wanted && rng.random_bool(0.5) {
                *ready += 1;
            }
        }
        self.ready
            .retain(|name, _| self.deployments.contains_key(name));
    }

    /// All pods of a version under trial crash; gives that version.
    pub(super) fn crash_new(&mut self) -> Option<String> {
        let release = self.releases.values().next()?;
        let new = release.status.as_ref()?.new.as_ref()?;
        *self.ready.get_mut(&new.deployment)? = 0;
        Some(new.version.clone())
    }

    /// Ready pods by version.
    pub(super) fn endpoints(&self) -> Counts {
        let mut all = Counts::new();
        for (name, ready) in &self.ready {
            if let Some(deployment) = self.deployments.get(name) {
                *all.entry(label(deployment).to_owned()).or_default() += ready;
            }
        }
        all
    }
}

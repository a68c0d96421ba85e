//! What every worker needs.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::RawFd;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::reflector::Store;
use parking_lot::Mutex;

use super::event::Recorder;
use crate::network::address::Pool;
use crate::pod;

/// The agent's parts that workers use; fields as in [`super::Config`].
pub(super) struct Context {
    pub(super) client: kube::Client,
    pub(super) home: PathBuf,
    pub(super) node_name: String,
    pub(super) pod_init: Vec<String>,
    pub(super) proxy: Vec<String>,
    pub(super) programs: PathBuf,
    pub(super) listen_fds: Vec<(u16, RawFd)>,
    pub(super) pool: Mutex<Pool>,
    pub(super) events: Recorder,
    pub(super) services: Store<Service>,
    pub(super) slices: Store<EndpointSlice>,
}

impl Context {
    /// Whether a Service has the pod among its endpoints, in whatever condition.
    pub(super) fn serves(&self, pod: &Pod) -> bool {
        let slices = self.slices.state();
        let endpoints = slices.iter().flat_map(|it| it.endpoints.iter().flatten());
        let mut targets = endpoints.filter_map(|endpoint| endpoint.target_ref.as_ref());
        targets.any(|target| target.uid.as_deref() == Some(pod::uid(pod)))
    }

    /// Images that the user added; read each time, so that `aviary image add` takes effect at the next try.
    pub(super) fn user_images(&self) -> BTreeMap<String, Vec<String>> {
        let path = self.home.join("images.json");
        let Ok(text) = fs::read(&path) else {
            return BTreeMap::new();
        };
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "the image list is not readable; write it with `aviary image add`");
            BTreeMap::new()
        })
    }

    /// Key of the proxies' tokens; empty if the supervisor has not made it, so that the xDS server refuses the proxy.
    pub(super) fn xds_key(&self) -> Vec<u8> {
        let text = fs::read_to_string(self.home.join("pki/xds.key")).unwrap_or_default();
        let digits: Vec<u32> = text.trim().chars().filter_map(|c| c.to_digit(16)).collect();
        digits
            .chunks_exact(2)
            .filter_map(|pair| {
                u8::try_from(pair.iter().fold(0, |byte, digit| byte * 16 + digit)).ok()
            })
            .collect()
    }
}

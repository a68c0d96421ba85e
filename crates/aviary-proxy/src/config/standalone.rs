//! A proxy on its own, told by a file what to do.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use aviary_xds::Bootstrap;

use crate::honoured;

use super::{Config, DRAIN_LIMIT, Life, Ports, ProxyKind, Xds};

/// The name of a proxy whose file gives it none.
const NAME: &str = "standalone";

impl Config {
    /// A proxy on its own with the resources of `bootstrap`, on `workers` threads (at least 1).
    ///
    /// It has the pages of its administration where the file says, and no others.
    ///
    /// # Errors
    /// The place of something that cannot be honoured, and why.
    pub fn standalone(bootstrap: Bootstrap, workers: usize) -> Result<Self, String> {
        let named = |text: &str| if text.is_empty() { NAME } else { text }.to_owned();
        let Bootstrap {
            mut node,
            admin,
            config,
            ads,
        } = bootstrap;
        for listener in config.listeners.values() {
            if let Some(problem) = honoured::listener(listener) {
                let name = &listener.name;
                return Err(format!("static_resources.listeners[`{name}`]: {problem}"));
            }
        }
        for cluster in config.clusters.values() {
            if let Some(problem) = honoured::cluster(cluster) {
                let name = &cluster.name;
                return Err(format!("static_resources.clusters[`{name}`]: {problem}"));
            }
        }
        "aviary".clone_into(&mut node.user_agent_name);
        Ok(Self {
            kind: ProxyKind::Standalone,
            pod: named(&node.id),
            namespace: String::new(),
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            service_account: String::new(),
            workload: named(&node.cluster),
            labels: BTreeMap::new(),
            node,
            fixed: Arc::new(config),
            xds: ads.map(|ads| Xds {
                server: ads.server,
                metadata: ads.metadata,
            }),
            state: None,
            inherited: Vec::new(),
            workers: workers.max(1),
            ports: Ports {
                admin,
                metrics: None,
                readiness: None,
            },
            drain_limit: DRAIN_LIMIT,
            access_log: true,
            life: Life::default(),
        })
    }
}

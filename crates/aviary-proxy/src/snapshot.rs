//! One configuration, ready for use by every worker.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use aviary_mesh::endpoint::WorkloadLabels;
use aviary_mesh::{MeshConfig, compiled};

use crate::record::Wanted;
use crate::tls::Contexts;

/// An immutable configuration; a change makes a new one.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    compiled: compiled::Config,
    workloads: HashMap<IpAddr, Arc<WorkloadLabels>>,
    tls: Contexts,
    wanted: Wanted,
}

impl Snapshot {
    /// Compiles `mesh`, taking over from `previous` what did not change.
    pub(crate) fn new(mesh: Arc<MeshConfig>, previous: Option<&Self>) -> Self {
        let mut workloads = HashMap::new();
        for set in mesh.endpoints.values() {
            for endpoint in &set.endpoints {
                if !endpoint.workload.workload.is_empty() {
                    workloads
                        .entry(endpoint.address.ip())
                        .or_insert_with(|| Arc::clone(&endpoint.workload));
                }
            }
        }
        let tls = Contexts::new(&mesh, previous.map(|previous| &previous.tls));
        let wanted = Wanted::new(&mesh);
        let compiled = compiled::Config::new(mesh, previous.map(|previous| &previous.compiled));
        Self {
            compiled,
            workloads,
            tls,
            wanted,
        }
    }

    /// The compiled configuration.
    pub(crate) fn config(&self) -> &compiled::Config {
        &self.compiled
    }

    /// What it was made from.
    pub(crate) fn mesh(&self) -> &Arc<MeshConfig> {
        self.compiled.mesh()
    }

    /// What handshakes are made with.
    pub(crate) fn tls(&self) -> &Contexts {
        &self.tls
    }

    /// What its chains want to be told.
    pub(crate) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The workload at an address, when it is an endpoint of any cluster.
    pub(crate) fn workload(&self, address: IpAddr) -> Option<&Arc<WorkloadLabels>> {
        self.workloads.get(&address)
    }
}

//! What the planner looks at.

use std::collections::BTreeMap;
use std::sync::Arc;

use aviary_api::release::{Release, VerdictStatus};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Service;

/// A release, and what is known of its surroundings. Everything may be out of date: writes are
/// guarded by resource versions, and facts of proxies carry the overlay's revision they belong to.
#[derive(Debug)]
pub struct View<'a> {
    /// The release with its status.
    pub release: &'a Release,
    /// The Service it names.
    pub service: Option<Arc<Service>>,
    /// All Deployments of its namespace.
    pub deployments: Vec<Arc<Deployment>>,
    /// The claim on the Service, the Lease named [`super::lease_name`].
    pub lease: Option<Arc<Lease>>,
    /// Every proxy whose workload lives and that has, or may get, a route to the Service, whether
    /// it is connected or not. `None` while the list may be incomplete, such as right after a
    /// start of the control plane: nothing moves then.
    pub proxies: Option<Vec<Proxy>>,
    /// The last measurement of each check.
    pub measurements: Vec<Measurement>,
    /// The split that was measured.
    pub observed: Option<Observed>,
    /// Which live rules of users, such as `reviews.default VirtualService`, name a version.
    pub references: BTreeMap<String, Vec<String>>,
}

/// A proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// Name for people, such as `productpage-v1-7d4.default`.
    pub name: String,
    /// Greatest revision of this release's overlay that it acknowledged; `None` if none.
    pub acked: Option<u64>,
    /// Ready endpoints of each version in the configuration that it acknowledged.
    pub endpoints: BTreeMap<String, u32>,
    /// Its open streams; `None` if it did not report.
    pub streams: Option<Streams>,
}

/// Open requests and connections of a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// Revision of the overlay in force when they were counted.
    pub revision: u64,
    /// How many lead to each version; a version that is absent has none.
    pub open: BTreeMap<String, u64>,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Check, verdicts, numbers.
    pub verdict: VerdictStatus,
    /// Revision of the overlay that the measured requests were routed by.
    pub revision: u64,
    /// Begin of the measured time.
    pub from: Timestamp,
    /// End of the measured time.
    pub at: Timestamp,
}

/// The share of requests that reached the new version, those matched by content left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Revision of the overlay that the requests were routed by.
    pub revision: u64,
    /// Share in parts per million.
    pub parts: u32,
    /// Lower end of its confidence band, in parts per million: chance alone is no overshoot.
    pub least: u32,
}

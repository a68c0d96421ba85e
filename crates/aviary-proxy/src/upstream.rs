//! What is known of clusters at run time: it lives longer than any one configuration.

mod host;
mod lease;
mod pool;
pub(crate) mod report;
mod spoken;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use aviary_mesh::balance::{Ask, Balancer, Member, Policy};
use aviary_mesh::circuit::{Resource, Usage};
use aviary_mesh::cluster::{Limits, Outlier, ServiceLabels};
use aviary_mesh::endpoint::WorkloadLabels;
use aviary_mesh::names::NameMap;
use aviary_mesh::outlier::{self, Ejector};
use aviary_mesh::retry::Budget;
use aviary_mesh::{Cluster, Discovery, Endpoint, MeshConfig};
use rand::Rng;

pub(crate) use host::{Active, Host};
pub(crate) use lease::Lease;
pub(crate) use pool::{ConnectError, words};

/// The clusters of one worker, by name.
#[derive(Default)]
pub(crate) struct Upstreams {
    clusters: RefCell<NameMap<Rc<Upstream>>>,
}

impl Upstreams {
    /// The cluster of that name.
    pub(crate) fn get(&self, name: &str) -> Option<Rc<Upstream>> {
        self.clusters.borrow().get(name).cloned()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Rc<Upstream>> {
        let mut all: Vec<_> = self.clusters.borrow().values().cloned().collect();
        all.sort_by(|left, right| left.name.cmp(&right.name));
        all
    }

    /// Takes over a configuration: what it still has keeps its connections, ejections, counts.
    pub(crate) fn apply(&self, mesh: &MeshConfig, now: Duration) {
        let mut clusters = self.clusters.borrow_mut();
        clusters.retain(|name, upstream| {
            let keep = mesh.clusters.contains_key(name);
            if !keep {
                upstream.retire();
            }
            keep
        });
        for (name, policy) in &mesh.clusters {
            let upstream = clusters
                .entry(name.clone())
                .or_insert_with(|| Rc::new(Upstream::new(Arc::clone(policy), now)));
            let (endpoints, overprovisioning) = match &policy.discovery {
                Discovery::Eds => mesh.endpoints.get(name).map_or((&[][..], 0), |set| {
                    (&set.endpoints[..], set.overprovisioning_percent)
                }),
                Discovery::Static(endpoints) => (&endpoints[..], 0),
                Discovery::OriginalDst | Discovery::Dns(_) => (&[][..], 0),
            };
            upstream.overprovisioning.set(overprovisioning);
            upstream.update(policy, endpoints.to_vec(), now);
        }
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self, now: Duration) {
        for upstream in self.clusters.borrow().values() {
            upstream.sweep(now);
        }
    }
}

/// Traffic to unknown destinations is told by the name of its cluster, as Istio does:
/// `PassthroughCluster`, `BlackHoleCluster`. Names with `|` are those of services.
fn service(policy: &Cluster) -> Arc<ServiceLabels> {
    let name = if policy.name.contains('|') {
        ""
    } else {
        &policy.name
    };
    let unknown = || ServiceLabels {
        name: name.to_owned(),
        ..ServiceLabels::default()
    };
    Arc::new(policy.service.clone().unwrap_or_else(unknown))
}

/// Counts of one cluster since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: Cell<u64>,
    pub(crate) retries: Cell<u64>,
    pub(crate) overflows: Cell<u64>,
    pub(crate) connects: Cell<u64>,
    pub(crate) connect_failures: Cell<u64>,
    pub(crate) ejections: Cell<u64>,
}

/// Adds one.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}

/// An endpoint with what runs there.
struct Slot {
    endpoint: Endpoint,
    /// When it came.
    since: Duration,
    host: Rc<Host>,
}

/// One cluster at run time.
pub(crate) struct Upstream {
    name: String,
    policy: RefCell<Arc<Cluster>>,
    service: RefCell<Arc<ServiceLabels>>,
    usage: RefCell<Usage>,
    balancer: RefCell<Balancer>,
    /// Endpoints or their health changed since it was compiled.
    stale: Cell<bool>,
    /// In percent, for the balancer.
    overprovisioning: Cell<u32>,
    ejector: RefCell<Ejector>,
    budget: RefCell<Budget>,
    slots: RefCell<Vec<Slot>>,
    /// Of [`Discovery::OriginalDst`].
    strangers: RefCell<HashMap<SocketAddr, Rc<Host>>>,
    retired: Cell<bool>,
    pub(crate) counters: Counters,
}

/// The endpoint chosen for a request.
#[derive(Clone)]
pub(crate) struct Choice {
    /// Index in the cluster, to avoid it at the next try.
    pub(crate) index: usize,
    /// Where it is.
    pub(crate) host: Rc<Host>,
    /// What is known of the workload there.
    pub(crate) workload: Arc<WorkloadLabels>,
    /// The name that it was given.
    pub(crate) hostname: Option<Arc<str>>,
}

impl Upstream {
    fn new(policy: Arc<Cluster>, now: Duration) -> Self {
        Self {
            name: policy.name.clone(),
            service: RefCell::new(service(&policy)),
            policy: RefCell::new(policy),
            usage: RefCell::default(),
            balancer: RefCell::default(),
            stale: Cell::new(true),
            overprovisioning: Cell::new(0),
            ejector: RefCell::default(),
            budget: RefCell::new(Budget::new(now)),
            slots: RefCell::default(),
            strangers: RefCell::default(),
            retired: Cell::new(false),
            counters: Counters::default(),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its configuration.
    pub(crate) fn policy(&self) -> Arc<Cluster> {
        Arc::clone(&self.policy.borrow())
    }

    /// The service that it leads to, for metrics.
    pub(crate) fn service(&self) -> Arc<ServiceLabels> {
        Arc::clone(&self.service.borrow())
    }

    fn update(&self, policy: &Arc<Cluster>, endpoints: Vec<Endpoint>, now: Duration) {
        self.stale.set(true);
        if policy.outlier.is_none() {
            self.ejector.borrow_mut().clear();
        }
        let renews = self.policy.borrow().tls != policy.tls;
        if !Arc::ptr_eq(&self.policy.borrow(), policy) {
            *self.service.borrow_mut() = service(policy);
            *self.policy.borrow_mut() = Arc::clone(policy);
        }
        let mut slots = self.slots.borrow_mut();
        let mut known: HashMap<_, _> = slots
            .drain(..)
            .map(|slot| (slot.endpoint.address, (slot.host, slot.since)))
            .collect();
        slots.extend(endpoints.into_iter().map(|endpoint| {
            let address = endpoint.address;
            let (host, since) = known
                .remove(&address)
                .unwrap_or_else(|| (Rc::new(Host::new(address)), now));
            if host.mesh_tls.replace(endpoint.mesh_tls) != endpoint.mesh_tls {
                host.renew();
            }
            Slot {
                endpoint,
                since,
                host,
            }
        }));
        for (gone, _) in known.values() {
            gone.retire();
        }
        if renews {
            slots.iter().for_each(|slot| slot.host.renew());
        }
        self.ejector
            .borrow_mut()
            .retain(|address| slots.iter().any(|slot| slot.endpoint.address == address));
    }

    /// Ends what is idle; requests under way go on.
    fn retire(&self) {
        self.retired.set(true);
        for slot in self.slots.borrow().iter() {
            slot.host.retire();
        }
        for host in self.strangers.borrow().values() {
            host.retire();
        }
    }

    fn sweep(&self, now: Duration) {
        const ENVOY_DEFAULT: Duration = Duration::from_hours(1);
        let idle = self.policy.borrow().idle_timeout.unwrap_or(ENVOY_DEFAULT);
        let wear = self.wear(now);
        for slot in self.slots.borrow().iter() {
            slot.host.sweep(idle, wear);
        }
        self.strangers.borrow_mut().retain(|_, host| {
            host.sweep(idle, wear);
            !host.is_unused()
        });
    }

    /// Chooses an endpoint; `None` when there is no healthy one (flag UH).
    ///
    /// `destination` is where the connection meant to go, for clusters that follow it.
    pub(crate) fn pick(
        &self,
        destination: Option<SocketAddr>,
        ask: &Ask<'_>,
        rng: &mut impl Rng,
    ) -> Option<Choice> {
        let policy = self.policy.borrow();
        if policy.discovery == Discovery::OriginalDst {
            let address = destination?;
            let mut strangers = self.strangers.borrow_mut();
            let host = strangers
                .entry(address)
                .or_insert_with(|| Rc::new(Host::new(address)))
                .clone();
            return Some(Choice {
                index: 0,
                host,
                workload: Arc::default(),
                hostname: None,
            });
        }
        let slots = self.slots.borrow();
        if let Some(outlier) = &policy.outlier {
            self.sweep_ejections(outlier, slots.len(), ask.now, rng);
        }
        let mut balancer = self.balancer.borrow_mut();
        if self.stale.replace(false) {
            let ejector = self.ejector.borrow();
            let members: Vec<_> = slots
                .iter()
                .map(|slot| {
                    let ejected = ejector.is_ejected(slot.endpoint.address);
                    let since = policy.slow_start.map(|_| slot.since);
                    Member::new(&slot.endpoint, ejected, since)
                })
                .collect();
            balancer.rebuild(Policy::new(&policy, self.overprovisioning.get()), &members);
        }
        let active = |index: usize| slots.get(index).map_or(0, |slot| slot.host.active());
        let index = balancer.pick(ask, active, rng)?;
        let slot = slots.get(index)?;
        Some(Choice {
            index,
            host: Rc::clone(&slot.host),
            workload: Arc::clone(&slot.endpoint.workload),
            hostname: slot.endpoint.hostname.clone(),
        })
    }

    /// Brings ejected endpoints back whose time is over, and ejects those that stand out.
    fn sweep_ejections(&self, outlier: &Outlier, size: usize, now: Duration, rng: &mut impl Rng) {
        let swept = self.ejector.borrow_mut().poll(outlier, size, now, rng);
        if swept.is_empty() {
            return;
        }
        self.stale.set(true);
        for address in swept.back {
            tracing::info!(cluster = %self.name, %address, "endpoint takes part again");
        }
        for (address, reason) in swept.ejected {
            count(&self.counters.ejections);
            tracing::info!(cluster = %self.name, %address, ?reason, "endpoint ejected");
        }
    }

    /// Tells outlier detection what came of a request.
    pub(crate) fn on_outcome(
        &self,
        address: SocketAddr,
        outcome: outlier::Outcome,
        now: Duration,
        rng: &mut impl Rng,
    ) {
        let policy = self.policy.borrow();
        let Some(outlier) = &policy.outlier else {
            return;
        };
        let size = self.slots.borrow().len();
        let ejected = self
            .ejector
            .borrow_mut()
            .on_response(outlier, size, address, outcome, now, rng);
        if let Some(reason) = ejected {
            self.stale.set(true);
            count(&self.counters.ejections);
            tracing::info!(cluster = %self.name, %address, ?reason, "endpoint ejected");
        }
    }

    /// Takes one of a limited resource; `None` when the cluster has no more to give (flag UO).
    pub(crate) fn acquire(self: &Rc<Self>, resource: Resource) -> Option<Permit> {
        if !self
            .usage
            .borrow_mut()
            .acquire(resource, &self.policy.borrow().limits)
        {
            count(&self.counters.overflows);
            return None;
        }
        Some(Permit {
            upstream: Rc::clone(self),
            resource,
        })
    }

    /// Takes one though the limit may be reached.
    fn acquire_anyway(self: &Rc<Self>, resource: Resource) -> Permit {
        // Without a limit this always succeeds.
        let _ = self
            .usage
            .borrow_mut()
            .acquire(resource, &Limits::default());
        Permit {
            upstream: Rc::clone(self),
            resource,
        }
    }

    /// Counts a request.
    pub(crate) fn on_request(&self) {
        count(&self.counters.requests);
        self.budget.borrow_mut().on_request();
    }

    /// Takes a retry from the budget, which a cluster with a budget of its own does not have.
    pub(crate) fn may_retry(&self, now: Duration) -> bool {
        let limited = self.policy.borrow().limits.retry_budget.is_some();
        limited || self.budget.borrow_mut().withdraw(now)
    }
}

/// One of a limited resource; given back when dropped.
pub(crate) struct Permit {
    upstream: Rc<Upstream>,
    resource: Resource,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.upstream.usage.borrow_mut().release(self.resource);
    }
}

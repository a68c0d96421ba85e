//! The agent: one worker per pod bound to this node, Service addresses, DNS table, node status, logs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;

use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::init::{self, PodSpec};
use crate::network::address::Pool;
use crate::pod;

mod context;
mod event;
mod file;
mod logs;
mod node;
mod services;
mod worker;

use context::Context;
use worker::{Target, Worker};

/// What the agent needs to know; every field is decided by the caller.
pub struct Config {
    /// Client of the API server, with the node's identity. Must reconnect by itself after an outage.
    pub client: kube::Client,
    /// The folder called H in the contract (`$AVIARY_HOME`), absolute.
    pub home: PathBuf,
    /// Name of the Node object, `aviary`.
    pub node_name: String,
    /// Program and first arguments that end in [`crate::pod_init_main`]; the path of the pod's `init.json` is appended.
    pub pod_init: Vec<String>,
    /// Program and arguments of the sidecar and gateway proxy, for example `[<aviary>, "proxy"]`.
    pub proxy: Vec<String>,
    /// Folder that holds the programs `bookinfo` and `micro-api`.
    pub programs: PathBuf,
    /// Listening sockets of the host for gateway pods: container port and inherited descriptor. May be empty.
    pub listen_fds: Vec<(u16, RawFd)>,
}

/// Why the agent could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or socket below the home folder could not be made or read.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Runs the agent until `cancel` fires. Pods keep running when it returns.
///
/// Call it inside the sandbox, that is after [`crate::enter`] returned [`crate::Entered::Inside`].
///
/// # Errors
/// Only for what cannot be repaired by waiting: the home folder or the agent's own socket. An API server that does not
/// answer is waited for.
pub async fn run(config: Config, cancel: CancellationToken) -> Result<(), Error> {
    let pods = config.home.join("pods");
    fs::create_dir_all(&pods).map_err(Error::io(format!("cannot make `{}`", pods.display())))?;
    let mut tasks = JoinSet::new();
    let listener = logs::bind(&config.home)?;
    let (services, slices) = services::watch(&config.client, &mut tasks);
    let mut pool = Pool::default();
    for address in PodSpec::all(&config.home)
        .iter()
        .filter_map(|spec| spec.address)
    {
        pool.reserve(address);
    }
    let events = event::Recorder::start(&config, &mut tasks);
    let context = Arc::new(Context {
        client: config.client,
        home: config.home,
        node_name: config.node_name,
        pod_init: config.pod_init,
        proxy: config.proxy,
        programs: config.programs,
        listen_fds: config.listen_fds,
        pool: Mutex::new(pool),
        events,
        services: services.clone(),
        slices: slices.store(),
    });
    tasks.spawn(services::apply(Arc::clone(&context), services, slices));
    tasks.spawn(node::keep(Arc::clone(&context)));
    tasks.spawn(logs::serve(listener, context.home.clone()));
    tokio::select! {
        () = cancel.cancelled() => {}
        () = follow_pods(context) => {}
    }
    Ok(())
}

/// Keeps one worker per pod of this node, for ever.
async fn follow_pods(context: Arc<Context>) {
    let api: Api<Pod> = Api::all(context.client.clone());
    let filter = watcher::Config::default().fields(&format!("spec.nodeName={}", context.node_name));
    let stream = watcher(api, filter).default_backoff();
    pin_mut!(stream);
    let mut fleet = Fleet {
        context,
        workers: HashMap::new(),
        tasks: JoinSet::new(),
        listed: HashSet::new(),
    };
    loop {
        tokio::select! {
            event = stream.next() => match event {
                Some(Ok(event)) => fleet.handle(event),
                Some(Err(error)) => tracing::warn!(%error, "cannot watch pods; trying again"),
                None => return,
            },
            Some(done) = fleet.tasks.join_next() => match done {
                Ok(uid) => {
                    fleet.workers.remove(&uid);
                }
                Err(error) => tracing::error!(%error, "a pod's worker failed"),
            },
        }
    }
}

/// The workers by pod uid.
struct Fleet {
    context: Arc<Context>,
    workers: HashMap<String, watch::Sender<Target>>,
    tasks: JoinSet<String>,
    /// Pods seen since the present list began.
    listed: HashSet<String>,
}

impl Fleet {
    fn handle(&mut self, event: watcher::Event<Pod>) {
        match event {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(pod) => {
                self.listed.insert(pod::uid(&pod).to_owned());
                self.apply(pod);
            }
            watcher::Event::InitDone => self.drop_unlisted(),
            watcher::Event::Apply(pod) => self.apply(pod),
            watcher::Event::Delete(pod) => {
                if let Some(worker) = self.workers.get(pod::uid(&pod)) {
                    worker.send_modify(|target| target.gone = true);
                }
            }
        }
    }

    fn apply(&mut self, pod: Pod) {
        let uid = pod::uid(&pod).to_owned();
        if let Some(worker) = self.workers.get(&uid) {
            worker.send_modify(|target| target.pod = Arc::new(pod));
            return;
        }
        let (sender, receiver) = watch::channel(Target {
            pod: Arc::new(pod),
            gone: false,
        });
        self.workers.insert(uid.clone(), sender);
        let worker = Worker::new(Arc::clone(&self.context), receiver);
        self.tasks.spawn(async move {
            Box::pin(worker.run()).await;
            uid
        });
    }

    /// Ends what the API server does not know any more.
    fn drop_unlisted(&mut self) {
        for (uid, worker) in &self.workers {
            if !self.listed.contains(uid) {
                worker.send_modify(|target| target.gone = true);
            }
        }
        let known: BTreeMap<String, Option<Ipv4Addr>> = PodSpec::all(&self.context.home)
            .into_iter()
            .map(|spec| (spec.uid, spec.address))
            .collect();
        for (uid, address) in known {
            if !self.listed.contains(&uid) && !self.workers.contains_key(&uid) {
                let context = Arc::clone(&self.context);
                self.tasks.spawn(async move {
                    let folder = init::folder(&context.home, &uid);
                    worker::sandbox::destroy(&context, &folder, address).await;
                    uid
                });
            }
        }
    }
}

//! A pod's namespaces: made before its first container, gone after its last.

use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use tokio::process::Command;

use super::{Context, RETRY, Worker};
use crate::init::client::{Watch, call};
use crate::init::protocol::{Exit, Request};
use crate::init::{self, PodSpec};
use crate::network::{NODE_ADDRESS, NSSWITCH, resolv_conf};
use crate::pod::proxy::{self, Role};
use crate::pod::record::{Ended, Run};
use crate::pod::{self};

/// How long the making of namespaces and links may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Worker {
    /// Makes the pod's namespaces if it has none; false if that failed, which was told then.
    pub(super) async fn ensure_sandbox(&mut self) -> bool {
        if self.states.is_some() {
            return true;
        }
        match self.make_sandbox().await {
            Ok(()) => true,
            Err(message) => {
                let text = format!("Failed to create pod sandbox: {message}");
                self.tell_once("FailedCreatePodSandBox", text);
                self.wake_in(RETRY);
                false
            }
        }
    }

    /// A warning about the pod, the first time that it holds.
    pub(super) fn tell_once(&mut self, reason: &'static str, message: String) {
        if self.told.insert(message.clone()) {
            self.context
                .events
                .warning(&self.pod, None, reason, message);
        }
    }

    async fn make_sandbox(&mut self) -> Result<(), String> {
        let address = if self.on_node_network() {
            None
        } else {
            Some(
                self.context
                    .pool
                    .lock()
                    .take()
                    .map_err(|error| error.to_string())?,
            )
        };
        let made = self.launch(address).await;
        if made.is_err()
            && let Some(address) = address
        {
            self.context.pool.lock().release(address);
        }
        self.states = Some(made?);
        self.address = Some(address.unwrap_or(NODE_ADDRESS));
        self.told.clear();
        Ok(())
    }

    async fn launch(&self, address: Option<Ipv4Addr>) -> Result<Watch, String> {
        let spec = self.spec(address);
        // What an earlier run of the node left is of no use.
        let _ = fs::remove_dir_all(self.folder.join("volumes"));
        self.write_files(&spec)
            .map_err(|error| format!("cannot fill the pod's folder: {error}"))?;
        let (Some(program), log) = (self.context.pod_init.first(), self.folder.join("init.log"))
        else {
            return Err("no program for the pod's init is configured".to_owned());
        };
        let output = || fs::File::create(&log).map_or_else(|_| Stdio::null(), Stdio::from);
        let child = Command::new(program)
            .args(self.context.pod_init.iter().skip(1))
            .arg(self.folder.join("init.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output())
            .status();
        match tokio::time::timeout(PATIENCE, child).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(_)) => {
                return Err(fs::read_to_string(&log)
                    .unwrap_or_default()
                    .trim()
                    .to_owned());
            }
            Ok(Err(error)) => return Err(format!("cannot run `{program}`: {error}")),
            Err(_) => return Err("the pod's init took too long".to_owned()),
        }
        Watch::open(&self.socket).map_err(|error| error.to_string())
    }

    fn spec(&self, address: Option<Ipv4Addr>) -> PodSpec {
        let meta = &self.pod.metadata;
        let name = meta.name.clone().unwrap_or_default();
        let wanted = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.hostname.clone());
        let mut hostname = wanted.unwrap_or_else(|| name.clone());
        // Source: a Linux host name has 64 bytes at most; kubelet cuts at 63.
        hostname.truncate(63);
        let link = address.map(|address| {
            let [_, _, high, low] = address.octets();
            format!("veth{high}-{low}")
        });
        PodSpec {
            uid: pod::uid(&self.pod).to_owned(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name,
            hostname,
            address,
            host_link: link.unwrap_or_default(),
            redirect: proxy::role(&self.pod) == Some(Role::Sidecar) && address.is_some(),
            default_container: pod::containers(&self.pod)
                .first()
                .map(|container| container.name.clone())
                .unwrap_or_default(),
            home: self.context.home.clone(),
        }
    }

    fn write_files(&self, spec: &PodSpec) -> std::io::Result<()> {
        for folder in ["etc", "logs", "volumes", "proxy", "root"] {
            fs::create_dir_all(self.folder.join(folder))?;
        }
        let etc = self.folder.join("etc");
        fs::write(etc.join("hosts"), self.hosts(spec))?;
        fs::write(etc.join("resolv.conf"), resolv_conf(&spec.namespace))?;
        fs::write(etc.join("nsswitch.conf"), NSSWITCH)?;
        let text = serde_json::to_vec(spec)?;
        fs::write(self.folder.join("init.json"), text)
    }

    fn hosts(&self, spec: &PodSpec) -> String {
        let mut text = "# Kubernetes-managed hosts file.\n\
                        127.0.0.1\tlocalhost\n\
                        ::1\tlocalhost ip6-localhost ip6-loopback\n"
            .to_owned();
        let address = spec.address.unwrap_or(NODE_ADDRESS);
        let _ = writeln!(text, "{address}\t{}", spec.hostname);
        let aliases = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.host_aliases.as_deref());
        for alias in aliases.unwrap_or_default() {
            let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
            let _ = writeln!(text, "{}\t{names}", alias.ip);
        }
        text
    }

    /// Init is gone and with it every process of the pod.
    pub(super) fn lost(&mut self, error: &init::Error) {
        tracing::warn!(pod = self.pod.metadata.name, %error, "the pod's processes are gone");
        self.states = None;
        self.volumes = None;
        self.release_address();
        let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
        self.context
            .events
            .normal(&self.pod, None, "SandboxChanged", message);
        let now = Timestamp::now();
        let mut lost = Vec::new();
        for (name, record) in &mut self.records {
            if let Run::Running { since } = record.run {
                let exit = Exit {
                    finished_at: now,
                    code: 137,
                    signal: Some(9),
                    message: Some("the pod's init process ended".to_owned()),
                };
                record.run = Run::Ended(Ended {
                    started_at: since,
                    exit,
                });
                record.started = false;
                record.ready = false;
                lost.push(name.clone());
            }
        }
        for name in lost {
            self.forget_helpers(&name);
        }
    }

    fn release_address(&mut self) {
        let address = self
            .address
            .take()
            .filter(|address| *address != NODE_ADDRESS);
        if let Some(address) = address {
            self.context.pool.lock().release(address);
        }
    }

    /// Ends the pod's processes and namespaces but keeps its logs.
    pub(super) async fn release(&mut self) {
        self.tasks.abort_all();
        if self.states.take().is_some() {
            let _ = call(&self.socket, Request::Stop, Vec::new()).await;
        }
        self.release_address();
    }

    /// Ends the pod's processes and removes all that it had here.
    pub(super) async fn teardown(&mut self) {
        self.release().await;
        remove_folder(&self.folder);
    }
}

/// Ends a pod that no worker knows.
pub(in crate::agent) async fn destroy(context: &Context, folder: &Path, address: Option<Ipv4Addr>) {
    let _ = call(&init::socket(folder), Request::Stop, Vec::new()).await;
    if let Some(address) = address {
        context.pool.lock().release(address);
    }
    remove_folder(folder);
}

fn remove_folder(folder: &Path) {
    if let Err(error) = fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, folder = %folder.display(), "cannot remove a pod's folder");
    }
}

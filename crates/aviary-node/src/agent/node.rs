//! The Node object, its status and its lease.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::context::Context;

/// Source: kubelet's `nodeLeaseDurationSeconds` 40, renewed at a quarter of it.
const RENEW: Duration = Duration::from_secs(10);
/// How long to wait for an API server that does not answer.
const RETRY: Duration = Duration::from_millis(250);
/// Source: kubelet's `nodeStatusReportFrequency`.
const REPORT_EVERY: u32 = 30;

/// Registers the node and renews its lease, for ever.
pub(super) async fn keep(context: Arc<Context>) {
    let mut round = 0_u32;
    loop {
        let report = round.is_multiple_of(REPORT_EVERY);
        let result = async {
            if report {
                register(&context).await?;
            }
            renew(&context).await
        }
        .await;
        match result {
            Ok(()) => {
                round = round.wrapping_add(1);
                tokio::time::sleep(RENEW).await;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot report the node");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn register(context: &Context) -> Result<(), kube::Error> {
    let api: Api<Node> = Api::all(context.client.clone());
    let name = &context.node_name;
    let node: Node = from(json!({
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture(),
        }},
        "spec": {"podCIDR": "10.244.0.0/16", "podCIDRs": ["10.244.0.0/16"]},
    }))?;
    match api.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error),
    }
    let before = api.get(name).await?;
    let patch = json!({"status": status(name, &before, Timestamp::now())});
    api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await?;
    Ok(())
}

async fn renew(context: &Context) -> Result<(), kube::Error> {
    let api: Api<Lease> = Api::namespaced(context.client.clone(), "kube-node-lease");
    let name = &context.node_name;
    let now = format!("{:.6}", Timestamp::now());
    let patch =
        json!({"spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now}});
    match api
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
    {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let lease: Lease = from(json!({"metadata": {"name": name}, "spec": patch["spec"]}))?;
            api.create(&PostParams::default(), &lease).await.map(drop)
        }
        result => result.map(drop),
    }
}

fn from<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, kube::Error> {
    serde_json::from_value(value).map_err(kube::Error::SerdeError)
}

fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn status(name: &str, before: &Node, now: Timestamp) -> Value {
    let memory = read_memory_kib();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let resources =
        json!({"cpu": cpus.to_string(), "memory": format!("{memory}Ki"), "pods": "250"});
    let release = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let conditions: Vec<Value> = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]
    .into_iter()
    .map(|(kind, status, reason, message)| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": seconds(now), "lastTransitionTime": since(before, kind, status, now),
        })
    })
    .collect();
    json!({
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": name},
        ],
        "capacity": resources,
        "allocatable": resources,
        "conditions": conditions,
        "nodeInfo": {
            "architecture": architecture(), "operatingSystem": "linux", "kernelVersion": release,
            "osImage": os_image(), "bootID": boot.trim(), "machineID": "", "systemUUID": "",
            "containerRuntimeVersion": concat!("process://", env!("CARGO_PKG_VERSION")),
            "kubeletVersion": "v1.36.2-aviary", "kubeProxyVersion": "",
        },
    })
}

fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

fn since(before: &Node, kind: &str, status: &str, now: Timestamp) -> String {
    let conditions = before
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref());
    conditions
        .unwrap_or_default()
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == status)
        .and_then(|condition| condition.last_transition_time.as_ref())
        .map_or_else(|| seconds(now), |time| time.0.to_string())
}

fn read_memory_kib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

fn os_image() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("Linux").trim_matches('"').to_owned()
}

//! Parts killed and configuration changed under load cost no request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aviary_tests::{Installation, Load, Outcome, Report, Shares, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use serde_json::Value;

use crate::process::{Process, tree};

const HOST: &str = "micro-api.default.svc.cluster.local";
/// How long a change may take until it is live.
const LIVE: Duration = Duration::from_secs(15);
/// How long a killed part may take until it works again.
const BACK: Duration = Duration::from_secs(30);
/// Requests a second through the gateway.
const RATE: u32 = 200;

/// A meshed pod from which a Service is called by its name.
const CALLER: &str = "apiVersion: v1
kind: Pod
metadata: {name: caller, labels: {app: caller}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: caller, image: caller, command: [sleep, infinity]}]
";

/// Two versions of micro-api behind the gateway and in the mesh, all traffic on v1.
pub(crate) fn micro_api() -> Result<Installation> {
    let mesh = Installation::start()?;
    mesh.kubectl("label namespace default istio-injection=enabled")
        .ok()?;
    for version in ["v1", "v2"] {
        mesh.kubectl(&format!("apply -f micro-api-canary-istio-{version}.yaml"))
            .ok()?;
    }
    mesh.kubectl("apply -f micro-gateway.yaml").ok()?;
    mesh.apply("", CALLER)?;
    mesh.apply("", &subsets(&["v1", "v2"]))?;
    mesh.apply("", &routes(&[("v1", 100)]))?;
    mesh.wait_for("default", &["micro-api-v1", "micro-api-v2"])?;
    mesh.kubectl("wait --for=condition=Ready pod/caller --timeout=60s")
        .ok()?;
    live(&mesh, "v1")?;
    Ok(mesh)
}

/// A DestinationRule; every subset but v1 means the pods of v2.
fn subsets(names: &[&str]) -> String {
    let one = |name: &&str| {
        let version = if *name == "v1" { "v1" } else { "v2" };
        format!("  - {{name: {name}, labels: {{version: {version}}}}}\n")
    };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: micro-api}}\n\
         spec:\n  host: {HOST}\n  subsets:\n{}",
        names.iter().map(one).collect::<String>()
    )
}

/// A VirtualService that holds at the gateway and inside the mesh.
fn routes(shares: &[(&str, u32)]) -> String {
    let one = |(subset, weight): &(&str, u32)| {
        format!("    - {{destination: {{host: {HOST}, subset: {subset}}}, weight: {weight}}}\n")
    };
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: micro-api}}\n\
         spec:\n  hosts: [{HOST}]\n  gateways: [micro-gateway, mesh]\n  http:\n  - route:\n{}",
        shares.iter().map(one).collect::<String>()
    )
}

/// Waits until everything is answered by one version.
pub(crate) fn live(mesh: &Installation, version: &str) -> Result<Duration> {
    let host = format!("Host: {HOST}");
    eventually(&format!("all traffic on {version}"), LIVE, || {
        let pages = mesh.get_many("/test/test", &["-H", &host], 20);
        let shares = Shares::count(&pages, |page| match page.body.contains("V3|") {
            _ if page.status != 200 => "failure".to_owned(),
            true => "v2".to_owned(),
            false => "v1".to_owned(),
        });
        Ok(shares.of(version) == 20)
    })
}

/// Load through the gateway and, at a fourth of its rate, from a meshed pod to the Service.
struct Traffic<'a> {
    mesh: &'a Installation,
    gateway: Load,
    stop: std::path::PathBuf,
}

/// What became of it.
struct Outcomes {
    gateway: Report,
    mesh: Outcome,
}

/// Runs `during` under load and fails if one request failed.
pub(crate) fn under_load(mesh: &Installation, during: impl FnOnce() -> Result<()>) -> Result<()> {
    let traffic = Traffic {
        mesh,
        gateway: Load::start(
            &format!("{}/test/test", mesh.gateway()),
            &[("host", HOST)],
            RATE,
        ),
        // Pods see the folders beside the installation's own, not that one.
        stop: mesh.home().with_extension("stop"),
    };
    let (done, outcomes) = traffic.run(during);
    let (sent, ok) = (outcomes.gateway.sent, outcomes.gateway.ok);
    let calls: Vec<&str> = outcomes.mesh.stdout.lines().collect();
    let failed: Vec<&&str> = calls.iter().filter(|code| **code != "200").collect();
    println!(
        "gateway: {sent} sent, {} failed, p50 {:?}, p99 {:?}; in the mesh: {} sent, {} failed",
        sent - ok,
        outcomes.gateway.quantile(0.5),
        outcomes.gateway.quantile(0.99),
        calls.len(),
        failed.len()
    );
    done?;
    assert_eq!(sent - ok, 0, "{:#?}", outcomes.gateway.failures);
    assert!(failed.is_empty(), "{failed:?}\n{}", refusals(mesh)?);
    ensure!(
        sent > 100 && calls.len() > 20,
        "hardly any load: {}",
        outcomes.mesh.stderr
    );
    Ok(())
}

/// What the caller's sidecar says of the calls that it answered by itself.
fn refusals(mesh: &Installation) -> Result<String> {
    let log = mesh.aviary(["logs", "caller", "-c", "istio-proxy", "--tail", "20000"]);
    let text = log.ok()?.stdout;
    let failed = text.lines().filter(|line| line.contains("\" 50"));
    Ok(failed.collect::<Vec<_>>().join("\n"))
}

impl Traffic<'_> {
    fn run(self, during: impl FnOnce() -> Result<()>) -> (Result<()>, Outcomes) {
        let script = format!(
            "while [ ! -e {} ]; do curl -s --rate {}/s -o /dev/null -w '%{{http_code}}\\n' \
             'http://{HOST}:19090/test/test#[1-50]'; done",
            self.stop.display(),
            RATE / 4
        );
        std::thread::scope(|scope| {
            let calls = scope.spawn(|| {
                self.mesh
                    .aviary(["exec", "caller", "--", "sh", "-c", &script])
            });
            let done = during();
            let written = std::fs::write(&self.stop, "");
            let mesh = calls
                .join()
                .unwrap_or_else(|_| unreachable!("it only runs a program"));
            let gateway = self.gateway.stop();
            let _ = std::fs::remove_file(&self.stop);
            (
                done.and_then(|()| written.context("cannot stop the load")),
                Outcomes { gateway, mesh },
            )
        })
    }
}

#[test]
fn changes_under_load_in_either_order_lose_no_request() -> Result<()> {
    let mesh = micro_api()?;
    let changed = |verb: &str, yaml: &str| -> Result<()> {
        let file = mesh.home().join("change.yaml");
        std::fs::write(&file, yaml)?;
        mesh.kubectl(&format!("{verb} -f {}", file.display()))
            .ok()
            .map(drop)
    };
    let mut count = 0;
    let mut slowest = Duration::ZERO;
    under_load(&mesh, || {
        for _ in 0..5 {
            let both = ["v1", "v2"];
            changed("apply", &routes(&[("v1", 70), ("v2", 30)]))?;
            // The routes name a subset before it exists.
            changed("apply", &routes(&[("v1", 50), ("v2", 30), ("canary", 20)]))?;
            changed("apply", &subsets(&["v1", "v2", "canary"]))?;
            // The routes leave two subsets, which then go.
            changed("apply", &routes(&[("v2", 100)]))?;
            slowest = slowest.max(live(&mesh, "v2")?);
            changed("apply", &subsets(&["v2"]))?;
            changed("apply", &routes(&[("v1", 100)]))?;
            changed("apply", &subsets(&both))?;
            slowest = slowest.max(live(&mesh, "v1")?);
            // A subset goes while routes use it, by `replace` of both.
            changed("replace", &routes(&[("v1", 10), ("v2", 90)]))?;
            changed("replace", &subsets(&["v1", "canary"]))?;
            changed("replace", &routes(&[("v1", 50), ("canary", 50)]))?;
            count += 10;
        }
        changed("apply", &subsets(&["v1", "v2"]))?;
        changed("apply", &routes(&[("v2", 100)]))?;
        slowest = slowest.max(live(&mesh, "v2")?);
        count += 2;
        Ok(())
    })?;
    println!("{count} changes, each live at the latest {slowest:?} after kubectl returned");
    Ok(())
}

/// Creates configuration maps until `stop` and tells those that the server acknowledged.
fn create_until(
    mesh: &Installation,
    writer: usize,
    stop: &AtomicBool,
    acknowledged: &Mutex<BTreeMap<String, u64>>,
) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let name = format!("note-{writer}-{number}");
        let made = mesh.kubectl(&format!(
            "create configmap {name} --from-literal=a=b -o jsonpath={{.metadata.resourceVersion}}"
        ));
        if made.code == 0 {
            acknowledged
                .lock()
                .insert(name, made.stdout.parse().unwrap_or(u64::MAX));
        }
    }
}

fn version_of(object: &Value) -> u64 {
    let text = object["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default();
    text.parse().unwrap_or_default()
}

fn get(mesh: &Installation, what: &str) -> Result<Value> {
    let text = mesh.kubectl(&format!("get {what} -o json")).ok()?.stdout;
    Ok(serde_json::from_str(&text)?)
}

#[test]
fn control_killed_under_load_loses_no_request_and_no_object() -> Result<()> {
    let mesh = micro_api()?;
    let acknowledged = Mutex::new(BTreeMap::new());
    let stop = AtomicBool::new(false);
    under_load(&mesh, || {
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let (mesh, stop, acknowledged) = (&mesh, &stop, &acknowledged);
                scope.spawn(move || create_until(mesh, writer, stop, acknowledged));
            }
            let done = kill_control(&mesh, &acknowledged);
            stop.store(true, Ordering::Relaxed);
            done
        })
    })?;

    let list = get(&mesh, "configmaps")?;
    let items = list["items"].as_array().context("no list")?;
    let kept: BTreeMap<&str, u64> = items
        .iter()
        .map(|item| {
            (
                item["metadata"]["name"].as_str().unwrap_or_default(),
                version_of(item),
            )
        })
        .collect();
    for (name, version) in &*acknowledged.lock() {
        assert_eq!(
            kept.get(name.as_str()),
            Some(version),
            "{name} was acknowledged"
        );
    }
    println!(
        "{} acknowledged writes, all kept",
        acknowledged.lock().len()
    );
    Ok(())
}

fn kill_control(mesh: &Installation, acknowledged: &Mutex<BTreeMap<String, u64>>) -> Result<()> {
    let some = |count| {
        eventually("writes are acknowledged", BACK, || {
            Ok(acknowledged.lock().len() >= count)
        })
    };
    some(10)?;
    let old = mesh.process("control")?;
    let newest = acknowledged
        .lock()
        .values()
        .copied()
        .max()
        .unwrap_or_default();
    let killed = Instant::now();
    mesh.kill("control")?;
    eventually("control is started again", BACK, || {
        Ok(mesh.process("control").is_ok_and(|pid| pid != old))
    })?;
    // The next write, not one of many attempts.
    mesh.apply("", &routes(&[("v2", 100)]))?;
    println!(
        "the next kubectl apply was done {:?} after the kill",
        killed.elapsed()
    );
    let version = version_of(&get(mesh, "virtualservice micro-api")?);
    assert!(version > newest, "resourceVersion {version} after {newest}");
    live(mesh, "v2")?;
    println!(
        "new weights were live {:?} after the kill",
        killed.elapsed()
    );
    let count = acknowledged.lock().len();
    some(count + 5).map(drop)
}

/// What must not change of a pod: its uid, and of each container the restarts and the start.
fn lives(mesh: &Installation) -> Result<BTreeMap<String, Value>> {
    let list = get(mesh, "pods")?;
    let items = list["items"].as_array().context("no list")?;
    let life = |pod: &Value| {
        let status = &pod["status"];
        let lists = ["initContainerStatuses", "containerStatuses"];
        let containers: Vec<Value> = lists
            .iter()
            .flat_map(|list| status[list].as_array().into_iter().flatten())
            .map(|container| {
                let fields = ["name", "containerID", "restartCount", "ready", "state"];
                fields
                    .iter()
                    .map(|field| container[field].clone())
                    .collect()
            })
            .collect();
        let name = pod["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (
            name,
            serde_json::json!([pod["metadata"]["uid"], containers]),
        )
    };
    Ok(items.iter().map(life).collect())
}

/// The processes of pods, without those that come and go with the load.
fn pod_processes(mesh: &Installation) -> Result<Vec<Process>> {
    let other = [" node --publish", " control --api-fd", " up --", "sandbox"];
    let passing = ["curl ", "sh "];
    let all = tree(mesh.process("supervisor")?);
    let lasting = |process: &Process| {
        !other.iter().any(|part| process.command.contains(part))
            && !passing
                .iter()
                .any(|start| process.command.starts_with(start))
    };
    Ok(all.into_iter().filter(lasting).collect())
}

#[test]
fn node_killed_under_load_adopts_its_pods_and_loses_no_request() -> Result<()> {
    let mesh = micro_api()?;
    let lived = lives(&mesh)?;
    under_load(&mesh, || {
        let ran = pod_processes(&mesh)?;
        let old = mesh.process("node")?;
        let killed = Instant::now();
        mesh.kill("node")?;
        eventually("the agent is started again", BACK, || {
            Ok(mesh.process("node").is_ok_and(|pid| pid != old))
        })?;
        mesh.kubectl("scale deployment micro-api-v1 --replicas=4")
            .ok()?;
        mesh.wait_for("default", &["micro-api-v1"])?;
        println!(
            "scaled up {:?} after the kill of the agent",
            killed.elapsed()
        );
        let runs = pod_processes(&mesh)?;
        for process in &ran {
            assert!(runs.contains(process), "gone: {process:?}");
        }
        let new = runs.len() - ran.len();
        println!(
            "{} processes of pods stayed, {new} came with the new pod",
            ran.len()
        );
        // An init, the sidecar and the application.
        assert!(
            (2..=4).contains(&new),
            "{new} new processes for one new pod"
        );
        let now = lives(&mesh)?;
        for (pod, life) in &lived {
            assert_eq!(now.get(pod), Some(life), "{pod}");
        }
        assert_eq!(now.len(), lived.len() + 1);
        Ok(())
    })
}

/// Every sidecar and the gateway killed while the control plane does not answer: they come back by what
/// they kept on disk, and the applications beside them notice nothing.
#[test]
fn f5_proxies_killed_without_a_control_plane_serve_again_by_what_they_kept() -> Result<()> {
    let mesh = micro_api()?;
    mesh.apply("", &routes(&[("v2", 100)]))?;
    live(&mesh, "v2")?;
    let is_proxy = |process: &Process| process.command.contains("aviary proxy");
    let (proxies, others): (Vec<_>, Vec<_>) = pod_processes(&mesh)?.into_iter().partition(is_proxy);
    ensure!(proxies.len() > 3, "proxies: {proxies:?}");
    let control = Pid::from_raw(i32::try_from(mesh.process("control")?)?);
    kill(control, Signal::SIGSTOP)?;
    let without_control = || -> Result<()> {
        let end = |process: &Process| -> Result<()> {
            let process = Pid::from_raw(i32::try_from(process.pid)?);
            Ok(kill(process, Signal::SIGKILL)?)
        };
        let killed = Instant::now();
        for proxy in &proxies {
            end(proxy)?;
        }
        live(&mesh, "v2")?;
        println!(
            "{} proxies served again {:?} after they were killed",
            proxies.len(),
            killed.elapsed()
        );
        let now = pod_processes(&mesh)?;
        for other in &others {
            ensure!(now.contains(other), "gone: {other:?}");
        }
        // The agent has something to tell the control plane by now, and must not wait for it.
        let killed = Instant::now();
        let servers = |it: &&Process| it.command.contains("/micro-api ");
        for server in others.iter().filter(servers) {
            end(server)?;
        }
        ensure!(others.iter().filter(servers).count() > 3, "{others:?}");
        live(&mesh, "v2")?;
        println!(
            "so did the applications {:?} after they were",
            killed.elapsed()
        );
        Ok(())
    };
    let done = without_control();
    kill(control, Signal::SIGCONT)?;
    done?;
    mesh.apply("", &routes(&[("v1", 100)]))?;
    live(&mesh, "v1").map(drop)
}

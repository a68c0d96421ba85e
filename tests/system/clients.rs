//! Other people's clients and servers in pods, sidecar to sidecar and gateway to sidecar: gRPC,
//! WebSocket, and bodies that are large.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aviary_tests::memory::{Memory, forget_peak};
use aviary_tests::{Installation, Outcome, eventually};

use crate::process::proxies;

/// How large the bodies are, in MiB; `AVIARY_TEST_BODY_MIB=1024` makes a longer run. What is held
/// does not depend on it.
const MIB: u64 = 64;
/// What a stream may hold in a proxy, and what else grows meanwhile in one that also writes a log,
/// follows the control plane and is probed.
const HELD_KIB: u64 = 256 + 128;
/// How long a change may take until it is live.
const LIVE: Duration = Duration::from_mins(1);

/// Who calls, and the way to three servers: by name inside, by path through the gateway.
const OBJECTS: &str = "apiVersion: v1
kind: Service
metadata: {name: echo}
spec: {selector: {app: echo}, ports: [{name: grpc, port: 50051}]}
---
apiVersion: v1
kind: Service
metadata: {name: chat}
spec: {selector: {app: chat}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: depot}
spec: {selector: {app: depot}, ports: [{name: http, port: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge}
spec:
  hosts: ['*']
  gateways: [edge]
  http:
  - {match: [{uri: {prefix: /aviary.test.Echo/}}], route: [{destination: {host: echo}}]}
  - {match: [{uri: {prefix: /depot/}}], route: [{destination: {host: depot}}]}
  - route: [{destination: {host: chat}}]
";

/// A folder that `cargo xtask test` names, with a client of others.
fn tools(variable: &str) -> Result<String> {
    std::env::var(variable).with_context(|| {
        format!("{variable} is not set: run these tests by `cargo xtask test`, which fetches what they need")
    })
}

fn script(name: &str) -> String {
    format!("{}/clients/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A meshed pod that runs a command.
fn pod(name: &str, command: &[&str], port: Option<u16>) -> Result<String> {
    let (grpcio, ws) = (tools("AVIARY_TEST_GRPCIO")?, tools("AVIARY_TEST_WS")?);
    let ready = port.map_or_else(String::new, |port| {
        format!("\n    readinessProbe: {{tcpSocket: {{port: {port}}}, periodSeconds: 1}}")
    });
    Ok(format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{app: {name}}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: {name}
    command: {command:?}
    env:
    - {{name: PYTHONPATH, value: {grpcio:?}}}
    - {{name: PYTHONDONTWRITEBYTECODE, value: '1'}}
    - {{name: NODE_PATH, value: {ws:?}}}{ready}
"
    ))
}

fn start() -> Result<Installation> {
    let mesh = Installation::start()?;
    mesh.kubectl("label namespace default istio-injection=enabled")
        .ok()?;
    mesh.apply("", OBJECTS)?;
    let (grpc, ws, depot) = (
        script("grpc_client.py"),
        script("websocket.js"),
        script("depot.py"),
    );
    for pod in [
        pod(
            "echo",
            &["python3", &grpc, "serve", "0.0.0.0:50051"],
            Some(50051),
        )?,
        pod(
            "chat",
            &["node", &ws, "serve", "0.0.0.0", "8080"],
            Some(8080),
        )?,
        pod("depot", &["python3", &depot, "0.0.0.0:8080"], Some(8080))?,
        pod("caller", &["sleep", "infinity"], None)?,
    ] {
        mesh.apply("", &pod)?;
    }
    mesh.kubectl("wait --for=condition=Ready pod --all --timeout=60s")
        .ok()?;
    for path in ["/depot/down/1", "/"] {
        eventually("the gateway's routes are live", LIVE, || {
            // The WebSocket server says that it wants an upgrade.
            Ok([200, 426].contains(&mesh.get(path, &[]).status))
        })?;
    }
    Ok(mesh)
}

/// Where callers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// In a meshed pod.
    Sidecar,
    /// Outside, before the gateway.
    Gateway,
}

/// Runs a command where the caller is, with this variable; its output when all was well.
fn call(
    mesh: &Installation,
    from: From,
    variable: Option<(&str, String)>,
    argv: &[&str],
) -> Result<String> {
    let outcome = match from {
        // The pod has the variables already.
        From::Sidecar => mesh.aviary(["exec", "caller", "--"].iter().chain(argv)),
        From::Gateway => {
            let mut command = Command::new(argv[0]);
            command.args(&argv[1..]).envs(variable);
            let output = command.output()?;
            Outcome {
                code: output.status.code().unwrap_or(-1),
                stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            }
        }
    };
    Ok(outcome.ok()?.stdout)
}

/// The gateway's host and port.
fn edge(mesh: &Installation) -> Result<(&str, &str)> {
    let address = mesh.gateway().trim_start_matches("http://");
    address.split_once(':').context("no port")
}

fn grpc_passes(mesh: &Installation, from: From) -> Result<()> {
    let address = match from {
        From::Sidecar => "echo:50051".to_owned(),
        From::Gateway => mesh.gateway().trim_start_matches("http://").to_owned(),
    };
    let variable = ("PYTHONPATH", tools("AVIARY_TEST_GRPCIO")?);
    let script = script("grpc_client.py");
    let argv = ["python3", &script, "check", &address];
    let said = call(mesh, from, Some(variable), &argv)?;
    ensure!(said.lines().count() == 10, "{said}");
    println!(
        "gRPC, {from:?}: {}",
        said.lines().collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

fn websocket_passes(mesh: &Installation, from: From) -> Result<()> {
    let (host, port) = match from {
        From::Sidecar => ("chat", "8080"),
        From::Gateway => edge(mesh)?,
    };
    let variable = ("NODE_PATH", tools("AVIARY_TEST_WS")?);
    let script = script("websocket.js");
    let said = call(
        mesh,
        from,
        Some(variable),
        &["node", &script, "check", host, port],
    )?;
    ensure!(said.lines().count() == 7, "{said}");
    println!(
        "WebSocket, {from:?}: {}",
        said.lines().collect::<Vec<_>>().join(", ")
    );
    Ok(())
}

#[test]
fn grpc_and_websocket_of_every_kind_pass_the_pods_of_an_installation() -> Result<()> {
    let mesh = start()?;
    for from in [From::Sidecar, From::Gateway] {
        grpc_passes(&mesh, from)?;
        websocket_passes(&mesh, from)?;
    }
    Ok(())
}

/// A file of this size that occupies nothing, gone when the value is dropped.
struct Sparse(PathBuf);

impl Sparse {
    fn new(mesh: &Installation, size: u64) -> Result<Self> {
        // Pods see the folders beside the installation's own, not that one.
        let path = mesh.home().with_extension(format!("upload-{size}"));
        File::create(&path)?.set_len(size)?;
        Ok(Self(path))
    }
}

impl Drop for Sparse {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Sends so many bytes and fetches as many.
fn both_ways(mesh: &Installation, from: From, protocol: &str, size: u64) -> Result<[Duration; 2]> {
    let file = Sparse::new(mesh, size)?;
    let base = match from {
        From::Sidecar => "http://depot:8080".to_owned(),
        From::Gateway => mesh.gateway().to_owned(),
    };
    let file = file.0.to_str().context("a path")?;
    let (up, down) = (
        format!("{base}/depot/up"),
        format!("{base}/depot/down/{size}"),
    );
    let curl = ["curl", "-sS", "--fail", "--max-time", "240", protocol];
    let took = |more: &[&str]| -> Result<Duration> {
        let started = Instant::now();
        let argv: Vec<&str> = curl.iter().chain(more).copied().collect();
        let said = call(mesh, from, None, &argv)?;
        ensure!(said == size.to_string(), "{more:?}: {said} of {size} bytes");
        Ok(started.elapsed())
    };
    Ok([
        took(&["-T", file, &up])?,
        took(&["-o", "/dev/null", "-w", "%{size_download}", &down])?,
    ])
}

/// Sends and fetches by curl, and asserts what each proxy on the way held meanwhile.
fn transfer(mesh: &Installation, from: From, protocol: &str) -> Result<()> {
    let mib = match std::env::var("AVIARY_TEST_BODY_MIB") {
        Ok(text) => text.parse()?,
        Err(_) => MIB,
    };
    let first = match from {
        From::Sidecar => "caller",
        From::Gateway => "istio-ingressgateway",
    };
    let all = proxies(mesh.process("supervisor")?);
    let on_the_way: Vec<_> = all
        .into_iter()
        .filter(|(pod, _)| pod.starts_with(first) || pod == "depot")
        .collect();
    ensure!(on_the_way.len() == 2, "proxies: {on_the_way:?}");
    // What is made once is made by short bodies; long ones then occupy hardly more.
    for _ in 0..5 {
        both_ways(mesh, from, protocol, 100 << 10)?;
    }
    let mut before = Vec::new();
    for (_, process) in &on_the_way {
        before.push(Memory::of(*process)?.resident_kib);
        forget_peak(*process)?;
    }
    let [up, down] = both_ways(mesh, from, protocol, mib << 20)?;
    #[expect(clippy::cast_precision_loss, reason = "a rate to be read")]
    let rate = |took: Duration| mib as f64 / took.as_secs_f64();
    println!(
        "{from:?} {protocol}: {mib} MiB up at {:.0} MiB/s, down at {:.0} MiB/s",
        rate(up),
        rate(down)
    );
    for ((pod, process), before) in on_the_way.iter().zip(before) {
        let peak = Memory::of(*process)?.peak_kib;
        println!(
            "  {pod}: {before} KiB before, {} KiB more at most",
            peak.saturating_sub(before)
        );
        ensure!(
            peak <= before + HELD_KIB,
            "{pod} held {peak} KiB, {before} KiB before"
        );
    }
    Ok(())
}

#[test]
fn f27_large_bodies_between_pods_are_hardly_held() -> Result<()> {
    let mesh = start()?;
    for from in [From::Sidecar, From::Gateway] {
        for protocol in ["--http1.1", "--http2-prior-knowledge"] {
            transfer(&mesh, from, protocol)?;
        }
    }
    Ok(())
}

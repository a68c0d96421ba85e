//! Pods that end: nobody is sent to them any more, and none stays longer than it may.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aviary_tests::{Installation, eventually};

use crate::faults::{micro_api, under_load};

/// Restarts of a whole Deployment.
const RESTARTS: usize = 5;
/// How long a pod that is deleted may take to stop, and a sidecar after it at least.
/// Source of the latter: KEP-753.
const GRACE: Duration = Duration::from_secs(4);
const SIDECAR_GRACE: Duration = Duration::from_secs(2);

/// F1: each pod of a Deployment replaced, again and again, under load from outside and inside.
#[test]
fn f1_rolling_restarts_under_load_lose_no_request() -> Result<()> {
    let mesh = micro_api()?;
    // As fast as it goes: a pod ends as soon as the next one is ready, which here means that it listens.
    let patch = serde_json::json!({"spec": {"replicas": 2, "minReadySeconds": 0, "template": {"spec": {
        "containers": [{
            "name": "micro-api",
            "readinessProbe": {"httpGet": {"path": "/test/test", "port": 9090}, "periodSeconds": 1},
        }],
    }}}});
    mesh.kubectl(&format!("patch deployment micro-api-v1 -p {patch}"))
        .ok()?;
    mesh.wait_for("default", &["micro-api-v1"])?;
    under_load(&mesh, || {
        for _ in 0..RESTARTS {
            let started = Instant::now();
            mesh.kubectl("rollout restart deployment/micro-api-v1")
                .ok()?;
            mesh.wait_for("default", &["micro-api-v1"])?;
            println!("restarted within {:?}", started.elapsed());
        }
        Ok(())
    })?;
    // The last of the old pods end a moment later.
    eventually("two pods are left", Duration::from_secs(30), || {
        let pods = mesh.kubectl("get pods -l version=v1 -o name").ok()?.stdout;
        Ok(pods.lines().count() == 2)
    })
    .map(drop)
}

/// A server that does not listen to SIGTERM, and who fetches something without an end from it.
fn endless() -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/depot.py");
    format!(
        "apiVersion: v1
kind: Service
metadata: {{name: depot}}
spec: {{selector: {{app: depot}}, ports: [{{name: http, port: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: depot, labels: {{app: depot}}}}
spec:
  terminationGracePeriodSeconds: {}
  containers:
  - name: depot
    image: depot
    command: [sh, -c, \"trap '' TERM; exec python3 {script} 0.0.0.0:8080\"]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {{name: caller, labels: {{app: caller}}}}
spec:
  terminationGracePeriodSeconds: {}
  containers: [{{name: caller, image: caller, command: [sleep, infinity]}}]
",
        GRACE.as_secs(),
        GRACE.as_secs()
    )
}

/// Fetches without an end until somebody ends it; gives whether the answer had begun, and how long it took.
fn fetch(mesh: &Installation) -> (bool, Duration) {
    let started = Instant::now();
    let url = format!("http://depot:8080/down/{}", 1_u64 << 50);
    let format = "%{http_code} %{size_download}";
    let curl = [
        "curl",
        "-s",
        "--limit-rate",
        "20M",
        "-o",
        "/dev/null",
        "-w",
        format,
        &url,
    ];
    let said = mesh.aviary(["exec", "caller", "--"].iter().chain(&curl));
    let begun = said.stdout.starts_with("200 ") && !said.stdout.ends_with(" 0");
    (begun, started.elapsed())
}

/// Deletes a pod under a request without an end; the time until it is gone.
fn delete(mesh: &Installation, pod: &str) -> Result<Duration> {
    std::thread::scope(|scope| {
        let fetching = scope.spawn(|| fetch(mesh));
        // The request is on its way.
        eventually("the request runs", Duration::from_secs(10), || {
            let args = [
                "proxy-config",
                "stats",
                "depot",
                "--name",
                "downstream.streams",
            ];
            let text = mesh.aviary(args).ok()?.stdout;
            Ok(text.trim().rsplit(' ').next().is_some_and(|it| it != "0"))
        })?;
        std::thread::park_timeout(Duration::from_secs(1));
        let asked = Instant::now();
        mesh.kubectl(&format!("delete pod {pod} --timeout=60s"))
            .ok()?;
        let took = asked.elapsed();
        let (begun, ran) = fetching.join().unwrap_or_default();
        println!("{pod} was gone {took:?} after its deletion; the request ran for {ran:?}");
        // Who is deleted cannot tell any more.
        ensure!(begun || pod == "caller", "the answer never began");
        Ok(took)
    })
}

#[test]
fn endless_requests_do_not_keep_pods_beyond_their_grace_period() -> Result<()> {
    let mesh = Installation::start()?;
    mesh.kubectl("label namespace default istio-injection=enabled")
        .ok()?;
    mesh.apply("", &endless())?;
    let ready = "wait --for=condition=Ready pod --all --timeout=60s";
    mesh.kubectl(ready).ok()?;
    for pod in ["depot", "caller"] {
        mesh.apply("", &endless())?;
        mesh.kubectl(ready).ok()?;
        let took = delete(&mesh, pod)?;
        // What is left is the time that the machine takes.
        let most = GRACE + SIDECAR_GRACE + Duration::from_secs(2);
        ensure!(took < most, "{pod} took {took:?} with {GRACE:?} of grace");
        // A request is not cut off before its time: the server does not end by itself.
        ensure!(
            pod != "depot" || took > GRACE.mul_f64(0.9),
            "{pod}: {took:?}"
        );
    }
    Ok(())
}

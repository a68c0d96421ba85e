//! Starting, finding state again, stopping without a trace.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aviary_tests::{Installation, eventually};
use serde_json::Value;

use crate::process::Footprint;

/// A user without any privilege.
const NOBODY: u32 = 65534;
/// How long a start may take on a loaded machine.
const START: Duration = Duration::from_mins(2);
/// How long everything may take to go.
const END: Duration = Duration::from_secs(20);
/// How long a change may take until it is live.
const LIVE: Duration = Duration::from_secs(15);

/// Another user, if this one may act as others.
fn ordinary_user() -> Option<u32> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
    root.then_some(NOBODY)
}

fn footprint(mesh: &Installation) -> Result<Footprint> {
    let footprint = Footprint::of(mesh.home(), mesh.process("supervisor")?);
    let (processes, sockets, namespaces) = footprint.counts();
    println!("{processes} processes, {sockets} listening sockets, {namespaces} namespaces");
    ensure!(
        processes > 3 && sockets == 3 && namespaces > 3,
        "a running mesh has more than that"
    );
    Ok(footprint)
}

fn assert_gone(footprint: &Footprint) {
    assert_eq!(footprint.left_over(), Vec::<String>::new());
}

/// Waits until the page shows stars of this colour twenty times in a row.
fn stars(mesh: &Installation, colour: &str) -> Result<()> {
    let wanted = format!("stars {colour}");
    eventually(&wanted, LIVE, || {
        let pages = mesh.get_many("/productpage", &[], 20);
        Ok(pages.len() == 20
            && pages
                .iter()
                .all(|p| p.status == 200 && p.body.contains(&wanted)))
    })
    .map(drop)
}

fn demo(user: Option<u32>) -> Result<Installation> {
    let begun = Instant::now();
    let mesh = Installation::start_as(user, "demo")?;
    let page = mesh.get("/productpage", &[]);
    let name = user.map_or_else(|| "own user".to_owned(), |user| format!("user {user}"));
    println!(
        "{name}: first page {:?} after the start (took {:?})",
        begun.elapsed(),
        page.took
    );
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("Reviews served by"), "{}", page.body);
    Ok(mesh)
}

#[test]
fn demo_of_ordinary_user_finds_its_state_again_and_leaves_nothing() -> Result<()> {
    let mut mesh = demo(ordinary_user())?;
    let sample = mesh.home().join("samples/reviews-v3.yaml");
    mesh.kubectl(&format!("apply -f {}", sample.display()))
        .ok()?;
    stars(&mesh, "red")?;
    let uid = "get virtualservice reviews -o jsonpath={.metadata.uid}";
    let (uid_before, urls_before) = (mesh.kubectl(uid).ok()?.stdout, urls(&mesh.status()?));
    let pods_before = pods(&mesh)?;
    let first = footprint(&mesh)?;
    mesh.down()?;
    assert_gone(&first);
    assert_eq!(mesh.status()?["running"], false);

    let begun = Instant::now();
    mesh.up("up")?;
    println!("second start took {:?}", begun.elapsed());
    assert_eq!(urls(&mesh.status()?), urls_before);
    assert_eq!(mesh.kubectl(uid).ok()?.stdout, uid_before);
    // The same pods run again; the rule applied before is still in force.
    mesh.wait_for("default", &["productpage-v1", "reviews-v3", "details-v1"])?;
    stars(&mesh, "red")?;
    println!(
        "it served again {:?} after the second start",
        begun.elapsed()
    );
    assert_eq!(pods(&mesh)?, pods_before);
    let second = footprint(&mesh)?;
    mesh.down()?;
    assert_gone(&second);
    Ok(())
}

fn urls(status: &Value) -> Vec<Value> {
    ["apiServer", "gateway", "gatewayTls"]
        .iter()
        .map(|key| status[key].clone())
        .collect()
}

fn pods(mesh: &Installation) -> Result<String> {
    Ok(mesh.kubectl("get pods -o name").ok()?.stdout)
}

#[test]
fn commands_of_a_running_demo_do_what_they_say() -> Result<()> {
    let mesh = demo(None)?;
    let status = mesh.status()?;
    let kubeconfig = mesh.home().join("kubeconfig").display().to_string();
    assert_eq!(status["kubeconfig"], kubeconfig);
    assert_eq!(status["gateway"], mesh.gateway());
    assert!(
        status
            .as_object()
            .is_some_and(|all| all["console"].is_null()),
        "{status}"
    );
    assert_eq!(
        mesh.aviary(["status", "-o", "kubeconfig"])
            .ok()?
            .stdout
            .trim(),
        kubeconfig
    );

    let name = mesh.kubectl("get pods -l app=ratings -o jsonpath={.items[0].metadata.name}");
    let pod = name.ok()?.stdout;
    let said = mesh.aviary(["exec", &pod, "--", "hostname"]).ok()?.stdout;
    assert_eq!(said.trim(), pod);
    let variables = mesh.aviary(["exec", &pod, "--", "env"]).ok()?.stdout;
    assert!(
        variables.contains("KUBERNETES_SERVICE_HOST=10.96.0.1"),
        "{variables}"
    );
    let code = mesh.aviary(["exec", &pod, "--", "sh", "-c", "exit 7"]).code;
    assert_eq!(code, 7);
    let missing = mesh.aviary(["exec", "nosuch", "--", "true"]);
    assert!(
        missing.code != 0 && missing.stderr.contains("nosuch"),
        "{missing:?}"
    );

    assert!(!mesh.aviary(["logs", "control"]).ok()?.stdout.is_empty());
    assert!(
        !mesh
            .aviary(["logs", "node", "--tail", "1"])
            .ok()?
            .stdout
            .is_empty()
    );
    mesh.get_many("/productpage", &[], 3);
    eventually("the sidecar's access log", LIVE, || {
        let log = mesh
            .aviary(["logs", &pod, "-c", "istio-proxy", "--tail", "50"])
            .ok()?;
        Ok(log.stdout.contains("GET /ratings/"))
    })?;

    image_of_the_user(&mesh)?;
    let ours = footprint(&mesh)?;
    mesh.down()?;
    assert_gone(&ours);
    Ok(())
}

/// An image reference that stands for a command of this machine runs as a pod.
fn image_of_the_user(mesh: &Installation) -> Result<()> {
    let reference = "example.com/shop/cart:2.0";
    mesh.aviary([
        "image",
        "add",
        reference,
        "--",
        "sh",
        "-c",
        "echo cart; exec sleep 1000",
    ])
    .ok()?;
    let list = mesh.aviary(["image", "list"]).ok()?.stdout;
    assert!(
        list.contains(reference) && list.contains("micro-api"),
        "{list}"
    );
    mesh.kubectl(&format!(
        "run cart --image={reference} -l sidecar.istio.io/inject=false"
    ))
    .ok()?;
    mesh.kubectl("wait --for=condition=Ready pod/cart --timeout=60s")
        .ok()?;
    assert_eq!(mesh.aviary(["logs", "cart"]).ok()?.stdout, "cart\n");
    Ok(())
}

/// An installation that a terminal would show: it stays in the foreground.
struct Foreground {
    home: PathBuf,
    child: Child,
}

impl Foreground {
    /// Starts it in a folder beside `mesh`'s.
    fn start(mesh: &Installation, gateway_port: &str) -> Result<Self> {
        let home = mesh.home().with_extension("fg");
        std::fs::create_dir_all(&home)?;
        let child = aviary(&home)?
            .args([
                "up",
                "--gateway-tls-port=0",
                "--api-port=0",
                "--gateway-port",
                gateway_port,
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut this = Self { home, child };
        eventually("the second installation", START, || {
            ensure!(
                this.child.try_wait()?.is_none(),
                "it ended: {}",
                this.said()
            );
            Ok(this.status()?["ready"] == true)
        })?;
        Ok(this)
    }

    fn status(&self) -> Result<Value> {
        let output = aviary(&self.home)?
            .args(["status", "-o", "json"])
            .output()?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        ensure!(
            Command::new("kill")
                .args([signal, &pid])
                .status()?
                .success(),
            "kill {signal}"
        );
        Ok(())
    }

    /// What it said until it ended.
    fn said(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

fn aviary(home: &Path) -> Result<Command> {
    let programs = std::env::var_os("AVIARY_TEST_PROGRAMS").context("run `cargo xtask test`")?;
    let mut command = Command::new(Path::new(&programs).join("aviary"));
    command.env("AVIARY_HOME", home).stdin(Stdio::null());
    Ok(command)
}

#[test]
fn second_installation_runs_beside_and_ends_by_ctrl_c() -> Result<()> {
    let mesh = Installation::start()?;
    let port = mesh
        .gateway()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    let mut second = Foreground::start(&mesh, &port)?;
    let status = second.status()?;
    assert_ne!(status["gateway"], mesh.gateway());
    for kubeconfig in [
        mesh.home().join("kubeconfig"),
        second.home.join("kubeconfig"),
    ] {
        let nodes = mesh.kubectl(&format!("--kubeconfig {} get nodes", kubeconfig.display()));
        assert!(nodes.ok()?.stdout.contains(" Ready "));
    }
    let first_runs = footprint(&mesh)?;
    let second_runs = Footprint::of(&second.home, i64::from(second.child.id()));
    let begun = Instant::now();
    second.signal("-INT")?;
    let code = second.child.wait()?.code();
    println!("Ctrl-C ended it after {:?}", begun.elapsed());
    assert_eq!(code, Some(0));
    assert_gone(&second_runs);
    let said = second.said();
    assert!(said.contains(&format!("port {port} is taken")), "{said}");
    // The other one did not notice.
    assert!(mesh.kubectl("get nodes").ok()?.stdout.contains(" Ready "));
    assert_eq!(footprint(&mesh)?.counts(), first_runs.counts());
    mesh.down()?;
    assert_gone(&first_runs);
    Ok(())
}

#[test]
fn supervisor_killed_takes_everything_along_and_starts_again() -> Result<()> {
    let mut mesh = demo(None)?;
    mesh.kubectl("create configmap kept --from-literal=a=b")
        .ok()?;
    let ours = footprint(&mesh)?;
    mesh.kill("supervisor")?;
    let took = eventually("everything ends", END, || Ok(ours.left_over().is_empty()));
    assert_gone(&ours);
    println!(
        "after the kill of the supervisor nothing was left within {:?}",
        took?
    );
    mesh.up("demo")?;
    mesh.kubectl("get configmap kept").ok()?;
    assert_eq!(mesh.get("/productpage", &[]).status, 200);
    // What the killed ones left is not gone yet when the next one starts.
    for _ in 0..3 {
        let urls_before = urls(&mesh.status()?);
        let ours = footprint(&mesh)?;
        let killed = Instant::now();
        mesh.kill("supervisor")?;
        mesh.up("up")?;
        println!("up again {:?} after the kill", killed.elapsed());
        assert_eq!(ours.survivors(), Vec::<String>::new());
        assert_eq!(urls(&mesh.status()?), urls_before);
        mesh.kubectl("get configmap kept").ok()?;
    }
    mesh.wait_for("default", &["productpage-v1"])?;
    eventually("the page", LIVE, || {
        Ok(mesh.get("/productpage", &[]).status == 200)
    })
    .map(drop)
}

#[test]
fn start_interrupted_by_ctrl_c_leaves_nothing() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("aviary-test-{}-ctrl-c", std::process::id()));
    for detach in [false, true] {
        for stage in ["run/up.json", "run/sandbox.json", "kubeconfig"] {
            std::fs::create_dir_all(&folder)?;
            let mut command = aviary(&folder)?;
            command.args([
                "demo",
                "--gateway-port=0",
                "--gateway-tls-port=0",
                "--api-port=0",
            ]);
            command
                .args(detach.then_some("--detach"))
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut starting = Foreground {
                home: folder.clone(),
                child: command.spawn()?,
            };
            eventually(stage, START, || Ok(folder.join(stage).exists()))?;
            let supervisor = starting.status()?["processes"]["supervisor"].as_i64();
            let ours = Footprint::of(&folder, supervisor.context("no supervisor")?);
            let begun = Instant::now();
            starting.signal("-INT")?;
            starting.child.wait()?;
            println!(
                "detach {detach}, at {stage}: ended after {:?}",
                begun.elapsed()
            );
            assert_gone(&ours);
        }
    }
    Ok(())
}

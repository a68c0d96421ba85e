//! The node in real namespaces, as an ordinary user or as root, against a stand-in for the API server.
//!
//! The program under test is the example `pods`, which cargo builds together with this test.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::panic,
    reason = "a test: what cannot go on fails, and a skip must be seen"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

#[path = "node/api.rs"]
mod api;

use api::{Api, Statuses};

const VIP: &str = "10.96.7.7";

/// A node's processes and files; all end with it.
struct Node {
    folder: PathBuf,
    sandbox: Child,
    agent: Option<Child>,
}

impl Node {
    /// `None`, said loudly, where the system forbids namespaces.
    fn start() -> Option<(Self, std::sync::Arc<Api>)> {
        let folder = std::env::temp_dir().join(format!("aviary-node-test-{}", std::process::id()));
        for part in ["bin", "home/run", "home/pki"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        let built = std::env::current_exe().unwrap();
        let built = built
            .parent()
            .unwrap()
            .parent()
            .unwrap()
            .join("examples/pods");
        std::fs::copy(built, folder.join("bin/pods")).unwrap();
        std::fs::write(folder.join("home/pki/tokens.json"), r#"{"node": "x"}"#).unwrap();
        let mut sandbox = Command::new(folder.join("bin/pods"))
            .arg("sandbox")
            .arg(folder.join("home"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(sandbox.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        if line != "ready\n" {
            let mut error = String::new();
            sandbox
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut error)
                .unwrap();
            sandbox.wait().unwrap();
            let forbidden = error.contains("user namespace") && std::env::var_os("CI").is_none();
            assert!(forbidden, "the sandbox does not start: {error}");
            eprintln!("SKIPPED: {error}");
            return None;
        }
        let api = Api::serve(&folder.join("home/run/api.sock"));
        Some((
            Self {
                folder,
                sandbox,
                agent: None,
            },
            api,
        ))
    }

    fn program(&self) -> PathBuf {
        self.folder.join("bin/pods")
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    fn start_agent(&mut self) {
        let agent = Command::new(self.program())
            .arg("node")
            .arg(self.home())
            .spawn()
            .unwrap();
        self.agent = Some(agent);
    }

    fn kill_agent(&mut self) {
        let mut agent = self.agent.take().unwrap();
        agent.kill().unwrap();
        agent.wait().unwrap();
    }

    /// Answers to `count` connections made from the node (or from `pod`).
    fn ask(
        &self,
        pod: Option<&str>,
        host: &str,
        port: &str,
        count: &str,
    ) -> BTreeMap<String, usize> {
        let home = self.home().display().to_string();
        let program = self.program().display().to_string();
        let place = match pod {
            Some(pod) => vec!["in", home.as_str(), "default", pod, "--"],
            None => vec!["exec", home.as_str(), "--"],
        };
        let output = Command::new(self.program())
            .args(place)
            .args([program.as_str(), "ask", host, port, count])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut answers = BTreeMap::new();
        for line in String::from_utf8(output.stdout).unwrap().lines() {
            *answers.entry(line.to_owned()).or_insert(0) += 1;
        }
        answers
    }

    /// Processes that run the program of this test.
    fn processes(&self) -> usize {
        let ours = |entry: std::fs::DirEntry| {
            std::fs::read_link(entry.path().join("exe"))
                .is_ok_and(|exe| exe.starts_with(&self.folder))
        };
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .map(ours)
            .filter(|ours| *ours)
            .count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        let _ = self.sandbox.kill();
        let _ = self.sandbox.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn pod(program: &Path, name: &str, init: &Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "uid": format!("uid-{name}"), "resourceVersion": "2"},
        "spec": {
            "nodeName": "aviary",
            "initContainers": init,
            "containers": [{
                "name": "app", "image": "test", "command": [program, "reply", "-", "8080"],
                "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
            }],
        },
    })
}

fn ready(statuses: &Statuses, names: &[&str]) -> bool {
    names.iter().all(|name| {
        let conditions = statuses
            .get(*name)
            .and_then(|status| status["conditions"].as_array());
        conditions
            .into_iter()
            .flatten()
            .any(|c| c["type"] == "Ready" && c["status"] == "True")
    })
}

fn address(statuses: &Statuses, name: &str) -> String {
    statuses[name]["podIP"].as_str().unwrap().to_owned()
}

fn add_objects(api: &Api, program: &Path) {
    let none = json!([]);
    let sidecar = json!([{
        "name": "istio-proxy", "image": "aviary/proxy:test", "restartPolicy": "Always",
        "startupProbe": {"tcpSocket": {"port": 15006}, "periodSeconds": 1, "failureThreshold": 60},
    }]);
    api.add("pods", pod(program, "web-a", &none));
    api.add("pods", pod(program, "web-b", &none));
    api.add("pods", pod(program, "meshed", &sidecar));
    api.add(
        "services",
        json!({
            "metadata": {"name": "web", "namespace": "default", "uid": "s", "resourceVersion": "2"},
            "spec": {"clusterIP": VIP, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        }),
    );
}

fn add_endpoints(api: &Api, statuses: &Statuses) {
    let endpoints: Vec<Value> = ["web-a", "web-b"]
        .map(|name| json!({"addresses": [address(statuses, name)], "conditions": {"ready": true}}))
        .into();
    api.add("endpointslices", json!({
        "metadata": {"name": "web-x", "namespace": "default", "uid": "e", "resourceVersion": "3",
                     "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }));
}

/// Tries again until `attempt` gives true: for what the agent does without telling anybody.
async fn eventually(what: &str, mut attempt: impl FnMut() -> bool) {
    let mut pause = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..200 {
        if attempt() {
            return;
        }
        pause.tick().await;
    }
    panic!("not so after 10 s: {what}");
}

const NAMES: [&str; 3] = ["web-a", "web-b", "meshed"];

/// A meshed pod's sidecar takes what comes in, except from the node, and what goes out.
fn meshed_pod_is_redirected(node: &Node, meshed: &str) {
    assert_eq!(
        node.ask(Some("web-a"), meshed, "8080", "1"),
        BTreeMap::from([("sidecar".to_owned(), 1)])
    );
    assert_eq!(
        node.ask(None, meshed, "8080", "1"),
        BTreeMap::from([("meshed".to_owned(), 1)])
    );
    assert_eq!(
        node.ask(Some("meshed"), VIP, "80", "1"),
        BTreeMap::from([("sidecar".to_owned(), 1)])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_serves_pods_and_leaves_nothing_behind() {
    let Some((mut node, api)) = Node::start() else {
        return;
    };
    add_objects(&api, &node.program());
    node.start_agent();
    let wait = |statuses: &Statuses| ready(statuses, &NAMES);
    let statuses = tokio::time::timeout(Duration::from_secs(30), api.wait(wait))
        .await
        .unwrap();
    add_endpoints(&api, &statuses);

    // A Service's address is balanced, by its name too.
    let rules = || {
        let home = node.home().display().to_string();
        let output = Command::new(node.program())
            .args(["exec", &home, "--", "nft", "list", "table", "ip", "aviary"])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).contains("numgen random mod 2")
    };
    eventually("the rules of the Service are there", rules).await;
    for host in [VIP, "web.default.svc.cluster.local"] {
        let answers = node.ask(None, host, "80", "60");
        assert_eq!(
            answers.keys().collect::<Vec<_>>(),
            ["web-a", "web-b"],
            "{host}: {answers:?}"
        );
        assert_eq!(answers.values().sum::<usize>(), 60);
    }
    // From a pod, its own endpoint included.
    let answers = node.ask(Some("web-a"), "web", "80", "60");
    assert_eq!(
        answers.keys().collect::<Vec<_>>(),
        ["web-a", "web-b"],
        "{answers:?}"
    );

    meshed_pod_is_redirected(&node, &address(&statuses, "meshed"));

    // Pods outlive their agent, and the next one takes them over.
    node.kill_agent();
    assert_eq!(
        node.ask(Some("web-a"), "web", "80", "20")
            .values()
            .sum::<usize>(),
        20
    );
    api.forget_statuses();
    node.start_agent();
    let adopted = tokio::time::timeout(Duration::from_secs(30), api.wait(wait))
        .await
        .unwrap_or_else(|_| panic!("the pods are not adopted: {:#?}", api.statuses()));
    for name in NAMES {
        let of = |statuses: &Statuses| {
            let container = &statuses[name]["containerStatuses"][0];
            (
                container["restartCount"].clone(),
                container["state"].clone(),
                address(statuses, name),
            )
        };
        assert_eq!(of(&adopted), of(&statuses), "{name}");
    }

    // With the holder everything ends.
    node.sandbox.kill().unwrap();
    node.sandbox.wait().unwrap();
    node.agent.take().unwrap().wait().unwrap();
    eventually("no process is left", || node.processes() == 0).await;
}

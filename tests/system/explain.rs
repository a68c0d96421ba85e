//! What `aviary explain` and `aviary proxy-config` say, against what the same proxy then does.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aviary_tests::{Installation, Shares, assert_share, eventually};
use serde_json::Value;

/// How long a change or a log line may take until it is there.
const LIVE: Duration = Duration::from_mins(1);
const GATEWAY: &str = "istio-system";

const OBJECTS: &str = "apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec:
  host: web
  subsets:
  - {name: v1, labels: {version: v1}}
  - {name: v2, labels: {version: v2}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: web}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.example']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web, shop.example]
  gateways: [mesh, web]
  http:
  - {name: jason, match: [{headers: {end-user: {exact: jason}}}], route: [{destination: {host: web, subset: v2}}]}
  - {name: query, match: [{queryParams: {beta: {exact: '1'}}}], route: [{destination: {host: web, subset: v2}}]}
  - {name: posts, match: [{method: {exact: POST}}], route: [{destination: {host: web, subset: v2}}]}
  - {name: gone, match: [{uri: {exact: /gone}}], directResponse: {status: 410}}
  - {name: old, match: [{uri: {prefix: /old}}], redirect: {uri: /new, authority: new.example}}
  - name: fault
    match: [{uri: {prefix: /fault}}]
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: web, subset: v1}}]
  - name: rewritten
    match: [{uri: {regex: '/item/[0-9]+'}}]
    rewrite: {uri: /thing}
    route: [{destination: {host: web, subset: v2}}]
  - name: split
    match: [{uri: {prefix: /split}}]
    route:
    - {destination: {host: web, subset: v1}, weight: 80}
    - {destination: {host: web, subset: v2}, weight: 20}
  - {name: nobody, match: [{uri: {prefix: /nobody}}], route: [{destination: {host: empty}}]}
  - {name: rest, route: [{destination: {host: web, subset: v1}}]}
---
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {app: empty}, ports: [{name: http, port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: caller, labels: {app: caller}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: caller, image: caller, command: [sleep, infinity]}]
";

/// A pod that answers its version.
fn server(version: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/slow_server.py");
    format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: web-{version}, labels: {{app: web, version: {version}}}}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: web
    command: [python3, {script}, '0.0.0.0:8080', {version}]
    readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
"
    )
}

fn start() -> Result<Installation> {
    let mesh = Installation::start()?;
    mesh.kubectl("label namespace default istio-injection=enabled")
        .ok()?;
    mesh.apply("", OBJECTS)?;
    for version in ["v1", "v2"] {
        mesh.apply("", &server(version))?;
    }
    mesh.kubectl("wait --for=condition=Ready pod --all --timeout=60s")
        .ok()?;
    Ok(mesh)
}

/// A request; its number is the user agent, by which its line in the log is found.
#[derive(Debug, Clone, Default)]
struct Asked {
    method: &'static str,
    url: String,
    headers: Vec<&'static str>,
}

fn asked(method: &'static str, url: &str, headers: &[&'static str]) -> Asked {
    Asked {
        method,
        url: url.to_owned(),
        headers: headers.to_vec(),
    }
}

/// What a proxy did with a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Did {
    status: String,
    cluster: String,
    route: String,
    /// The header `location`, as curl resolved it.
    location: String,
}

/// The requests that a workload may send.
fn table(pod_address: &str) -> Vec<Asked> {
    let web = |path: &str| format!("http://web:8080{path}");
    vec![
        asked("GET", &web("/"), &[]),
        asked("GET", &web("/x?beta=1"), &[]),
        asked("GET", &web("/x?beta=2"), &[]),
        asked("GET", &web("/"), &["end-user: jason"]),
        asked("GET", &web("/"), &["End-User: Jason"]),
        asked("GET", &web("/"), &["end-user: jason", "end-user: other"]),
        asked("POST", &web("/x"), &["content-length: 0"]),
        asked("GET", &web("/gone"), &[]),
        asked("GET", &web("/gone/"), &[]),
        asked("GET", &web("/x/../gone"), &[]),
        asked("GET", &web("/%67one"), &[]),
        asked("GET", &web("/old/a?b=c"), &[]),
        asked("GET", &web("/fault"), &[]),
        asked("GET", &web("/item/17"), &[]),
        asked("GET", &web("/item/x"), &[]),
        asked("GET", &web("/nobody"), &[]),
        asked("GET", "http://web.default:8080/item/1", &[]),
        asked("GET", "http://web.default.svc.cluster.local:8080/gone", &[]),
        asked("GET", "http://empty:8080/", &[]),
        // A host that nobody knows, at the address of a Service and at that of a pod.
        asked("GET", &web("/gone"), &["Host: nosuch.example"]),
        asked("GET", &format!("http://{pod_address}:8080/gone"), &[]),
    ]
}

fn explain(mesh: &Installation, asked: &Asked, from: &str) -> Result<Value> {
    let mut args = vec!["explain", asked.method, &asked.url, "-o", "json"];
    args.extend(["--from", from]);
    for header in &asked.headers {
        args.extend(["-H", header]);
    }
    let text = mesh.aviary(args).ok()?.stdout;
    Ok(serde_json::from_str(&text)?)
}

/// Arguments of curl for a request; the answer's status and its location are printed.
fn curl(asked: &Asked, agent: &str) -> Vec<String> {
    let fixed = [
        "curl",
        "-s",
        "--path-as-is",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %{redirect_url}\\n",
        "-X",
        asked.method,
        "-A",
        agent,
    ];
    let mut args: Vec<String> = fixed.map(str::to_owned).into();
    for header in &asked.headers {
        args.extend(["-H".to_owned(), (*header).to_owned()]);
    }
    args.push(asked.url.clone());
    args
}

/// The lines of a proxy's log, by user agent.
fn log(mesh: &Installation, namespace: &str, pod: &str) -> Result<BTreeMap<String, Vec<Did>>> {
    let line = regex::Regex::new(
        r#"^\[.*?\] ".*?" (\d+) .*" "([^"]*)" "[^"]*" "[^"]*" "[^"]*" (\S+) \S+ \S+ \S+ \S+ (\S+)$"#,
    )?;
    let text = mesh
        .aviary([
            "logs",
            pod,
            "-n",
            namespace,
            "-c",
            "istio-proxy",
            "--tail",
            "5000",
        ])
        .ok()?
        .stdout;
    let mut found: BTreeMap<String, Vec<Did>> = BTreeMap::new();
    for parts in text.lines().filter_map(|text| line.captures(text)) {
        found.entry(parts[2].to_owned()).or_default().push(Did {
            status: parts[1].to_owned(),
            cluster: parts[3].to_owned(),
            route: parts[4].to_owned(),
            location: String::new(),
        });
    }
    Ok(found)
}

/// Whether a proxy did what was explained; else why not.
fn compare(told: &Value, did: &Did) -> Result<()> {
    let outcome = told["outcome"].as_str().unwrap_or_default();
    let branches: Vec<&str> = told["branches"].as_array().map_or(Vec::new(), |all| {
        all.iter().filter_map(|it| it["cluster"].as_str()).collect()
    });
    let route = told["route"].as_str().filter(|it| !it.is_empty());
    ensure!(route.unwrap_or("-") == did.route, "another route");
    if outcome == "forwarded" {
        ensure!(branches.contains(&did.cluster.as_str()), "another cluster");
        let nobody = told["branches"][0]["endpoints"]
            .as_array()
            .is_some_and(Vec::is_empty);
        // Where an address itself is the endpoint, none is listed.
        let wanted = if nobody && did.cluster != "PassthroughCluster" {
            "503"
        } else {
            "200"
        };
        ensure!(did.status == wanted, "another status, not {wanted}");
        return Ok(());
    }
    if let Some(rest) = outcome.strip_prefix("redirected (") {
        let (status, location) = rest.split_once(") to ").context("where to")?;
        ensure!(did.status == status, "another status");
        ensure!(did.location == location, "another location");
        return Ok(());
    }
    let number = outcome.split(' ').find(|it| it.parse::<u16>().is_ok());
    ensure!(number == Some(&did.status), "another status");
    Ok(())
}

/// Explains requests, sends them, and compares; what differs is listed.
fn agree(
    mesh: &Installation,
    (namespace, pod): (&str, &str),
    requests: &[Asked],
    send: impl Fn(&Asked, &str) -> Result<String>,
) -> Result<()> {
    let from = format!("{pod}.{namespace}");
    let mut told = Vec::new();
    let mut answers = Vec::new();
    for (number, asked) in requests.iter().enumerate() {
        told.push(explain(mesh, asked, &from)?);
        answers.push(send(asked, &format!("asked-{number}"))?);
    }
    let mut lines = BTreeMap::new();
    eventually("every request has its line", LIVE, || {
        lines = log(mesh, namespace, pod)?;
        let logged = |number| lines.contains_key(&format!("asked-{number}"));
        Ok((0..requests.len()).all(logged))
    })
    .with_context(|| format!("{answers:?}"))?;
    let mut differences = Vec::new();
    for (number, asked) in requests.iter().enumerate() {
        let mut did = lines[&format!("asked-{number}")][0].clone();
        let (status, location) = answers[number].split_once(' ').unwrap_or_default();
        location.trim().clone_into(&mut did.location);
        ensure!(status == did.status, "the log says another status: {did:?}");
        if let Err(error) = compare(&told[number], &did) {
            differences.push(format!("{asked:?}: {error}: {did:?}\n{}", told[number]));
        }
    }
    println!("{pod}: {} requests explained and sent", requests.len());
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

fn pod_address(mesh: &Installation, pod: &str) -> Result<String> {
    let path = "-o jsonpath={.status.podIP}";
    Ok(mesh.kubectl(&format!("get pod {pod} {path}")).ok()?.stdout)
}

/// A request to a split route shows each branch as often as its share says.
fn shares_agree(mesh: &Installation) -> Result<()> {
    let split = asked("GET", "http://web:8080/split", &[]);
    let told = explain(mesh, &split, "caller")?;
    let mut many = split;
    many.url.push_str("?#[1-400]");
    let sent = curl(&many, "split");
    mesh.aviary(
        ["exec", "caller", "--"]
            .map(str::to_owned)
            .into_iter()
            .chain(sent),
    )
    .ok()?;
    let mut did = Vec::new();
    eventually("every request has its line", LIVE, || {
        let mut lines = log(mesh, "default", "caller")?;
        did = lines.remove("split").unwrap_or_default();
        Ok(did.len() == 400)
    })?;
    let shares = Shares::count(&did, |it| it.cluster.clone());
    let branches = told["branches"].as_array().context("branches")?;
    assert_eq!(branches.len(), 2, "{told}");
    for branch in branches {
        let share = branch["share"].as_str().unwrap_or_default();
        let share: f64 = share.trim_end_matches(['%', ' ']).parse()?;
        assert_share(
            &shares,
            branch["cluster"].as_str().unwrap_or_default(),
            share / 100.0,
        );
    }
    Ok(())
}

/// What `proxy-config` lists is what the requests used: the route, its cluster, the cluster's
/// endpoints, and the counters, which move with each request.
fn parts_agree(mesh: &Installation) -> Result<()> {
    let part = |part: &str, more: &[&str]| -> Result<Value> {
        let args = ["proxy-config", part, "caller", "-o", "json"];
        let text = mesh.aviary(args.iter().chain(more)).ok()?.stdout;
        Ok(serde_json::from_str(&text)?)
    };
    let v2 = "outbound|8080|v2|web.default.svc.cluster.local";
    let routes = part("routes", &[])?.to_string();
    assert!(
        routes.contains(v2) && routes.contains("\"jason\""),
        "{routes}"
    );
    let clusters = part("clusters", &[])?.to_string();
    assert!(clusters.contains(v2), "{clusters}");
    let listeners = part("listeners", &[])?.to_string();
    assert!(listeners.contains("15001"), "{listeners}");
    let address = pod_address(mesh, "web-v2")?;
    let endpoints = part("endpoints", &["--name", v2])?.to_string();
    assert!(
        endpoints.contains(&format!("{address}:8080")),
        "{endpoints}"
    );
    let other = pod_address(mesh, "web-v1")?;
    assert!(!endpoints.contains(&other), "{endpoints}");
    let total = || -> Result<u64> {
        let args = ["proxy-config", "stats", "caller", "--name", v2];
        let text = mesh.aviary(args).ok()?.stdout;
        let line = text
            .lines()
            .find(|line| line.contains("upstream_rq_total: "))
            .with_context(|| text.clone())?;
        Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
    };
    let before = total()?;
    let request = asked("GET", "http://web:8080/?#[1-7]", &["end-user: jason"]);
    let exec = ["exec", "caller", "--"].map(str::to_owned).into_iter();
    mesh.aviary(exec.chain(curl(&request, "counted"))).ok()?;
    assert_eq!(total()?, before + 7);
    Ok(())
}

#[test]
fn explained_requests_are_treated_as_explained() -> Result<()> {
    let mesh = start()?;
    let requests = table(&pod_address(&mesh, "web-v1")?);
    eventually("the routes are live", LIVE, || {
        let told = explain(&mesh, &requests[0], "caller")?;
        Ok(told["route"] == "rest")
    })?;
    agree(&mesh, ("default", "caller"), &requests, |asked, agent| {
        let exec = ["exec", "caller", "--"].map(str::to_owned).into_iter();
        let said = mesh.aviary(exec.chain(curl(asked, agent)));
        Ok(said.stdout.trim_end_matches('\n').to_owned())
    })?;
    shares_agree(&mesh)?;
    parts_agree(&mesh)?;

    let name = format!(
        "get pods -n {GATEWAY} -l istio=ingressgateway -o jsonpath={{.items[0].metadata.name}}"
    );
    let gateway = mesh.kubectl(&name).ok()?.stdout;
    let at = |path: &str| format!("http://shop.example:8080{path}");
    let requests = [
        asked("GET", &at("/"), &[]),
        asked("GET", &at("/"), &["end-user: jason"]),
        asked("GET", &at("/x/..//gone"), &[]),
        asked("GET", &at("/old"), &[]),
        asked("GET", &at("/fault"), &[]),
        asked("GET", "http://other.example:8080/", &[]),
        asked("GET", "http://elsewhere.test:8080/", &[]),
    ];
    eventually("the gateway has its routes", LIVE, || {
        Ok(explain(&mesh, &requests[0], &format!("{gateway}.{GATEWAY}"))?["route"] == "rest")
    })?;
    agree(&mesh, (GATEWAY, &gateway), &requests, |asked, agent| {
        let mut args = curl(asked, agent);
        let address = mesh.gateway().trim_start_matches("http://");
        args.extend(["--connect-to".to_owned(), format!("::{address}")]);
        let output = std::process::Command::new(&args[0])
            .args(&args[1..])
            .output()?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end_matches('\n')
            .to_owned())
    })
}

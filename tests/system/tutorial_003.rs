//! Tutorial 003, part B: a canary of micro-api behind the ingress gateway, as printed.

use std::time::Duration;

use anyhow::Result;
use aviary_tests::{Installation, Page, Shares, assert_share, eventually};

/// How long a change may take until it is live.
const LIVE: Duration = Duration::from_secs(10);
/// What the tutorial's curl sends.
const HOST: &str = "Host: micro-api.default.svc.cluster.local";

fn version(body: &str) -> String {
    match body {
        r#"{"code":0,"data":"V3|Independent test interface return->OK!","message":"success"}"# => {
            "v2"
        }
        r#"{"code":0,"data":"Independent test interface return->OK!","message":"success"}"# => "v1",
        _ => "failure",
    }
    .to_owned()
}

fn of(page: &Page) -> String {
    if page.status == 200 {
        version(&page.body)
    } else {
        "failure".to_owned()
    }
}

fn shares(mesh: &Installation, count: usize) -> Shares {
    Shares::count(&mesh.get_many("/test/test", &["-H", HOST], count), of)
}

/// Asks the Service `count` times from a meshed pod's network, each time on a new connection.
fn in_mesh(mesh: &Installation, pod: &str, count: usize) -> Shares {
    let line = format!(
        "for i in $(seq {count}); do curl -s -m 5 http://micro-api:19090/test/test; echo; done"
    );
    let answers = mesh.aviary(["exec", pod, "--", "sh", "-c", &line]).stdout;
    let answers: Vec<&str> = answers.lines().filter(|line| !line.is_empty()).collect();
    Shares::count(&answers, |body| version(body))
}

#[test]
fn weights_limits_and_hosts_hold_as_printed() -> Result<()> {
    let mesh = Installation::start()?;
    mesh.kubectl("label namespace default istio-injection=enabled")
        .ok()?;

    // (1) to (5): both versions, gateway, route, subsets.
    both_versions(&mesh)?;
    for file in [
        "micro-gateway",
        "virtual-service-all",
        "destination-rule-all",
    ] {
        mesh.kubectl(&format!("apply -f {file}.yaml")).ok()?;
    }

    // (6): what the tutorial looks at.
    tables(&mesh)?;

    // (7): 70 to 30 through the gateway, and not a single failure in sequence.
    eventually("the split is live", LIVE, || {
        Ok(shares(&mesh, 30).of("v2") > 0)
    })?;
    let split = shares(&mesh, 1000);
    assert_share(&split, "v1", 0.7);
    assert_share(&split, "v2", 0.3);
    assert_eq!(split.of("failure"), 0);

    // The route is bound to the gateway only: inside the mesh the Service's six pods share evenly.
    let pod = mesh
        .shell("kubectl get pods -l version=v1 -o name | head -1")?
        .stdout;
    let inside = in_mesh(&mesh, pod.trim().trim_start_matches("pod/"), 200);
    assert_share(&inside, "v1", 0.5);
    assert_share(&inside, "v2", 0.5);

    // Fifty at once overflow the pool of ten connections and one waiting request.
    overflow(&mesh)?;

    // (8): everything on v2.
    mesh.kubectl("apply -f virtual-service-all-v2.yaml").ok()?;
    eventually("v2 has everything", LIVE, || {
        Ok(shares(&mesh, 30).of("v2") == 30)
    })?;
    assert_share(&shares(&mesh, 300), "v2", 1.0);

    // A host that nobody serves.
    assert_eq!(
        mesh.get("/test/test", &["-H", "Host: nobody.example"])
            .status,
        404
    );
    Ok(())
}

/// Three pods of each version, each with its sidecar.
fn both_versions(mesh: &Installation) -> Result<()> {
    mesh.kubectl("apply -f micro-api-canary-istio-v1.yaml")
        .ok()?;
    mesh.kubectl("apply -f micro-api-canary-istio-v2.yaml")
        .ok()?;
    mesh.wait_for("default", &["micro-api-v1", "micro-api-v2"])?;
    let deployments = mesh.kubectl("get deploy").ok()?.stdout;
    assert!(
        deployments.lines().skip(1).all(|line| line.contains("3/3")),
        "{deployments}"
    );
    let pods = mesh.kubectl("get pods").ok()?.stdout;
    let running = pods
        .lines()
        .filter(|line| line.contains("2/2") && line.contains("Running"));
    assert_eq!(running.count(), 6, "{pods}");
    Ok(())
}

/// The tables of routes, rules and the gateway's Service.
fn tables(mesh: &Installation) -> Result<()> {
    let routes = mesh.kubectl("get vs").ok()?.stdout;
    let words: Vec<&str> = routes.split_whitespace().collect();
    assert_eq!(words[..4], ["NAME", "GATEWAYS", "HOSTS", "AGE"]);
    assert_eq!(
        words[4..7],
        [
            "micro-api-route",
            r#"["micro-gateway"]"#,
            r#"["micro-api.default.svc.cluster.local"]"#
        ]
    );
    let rules = mesh.kubectl("get dr").ok()?.stdout;
    let words: Vec<&str> = rules.split_whitespace().collect();
    assert_eq!(
        words[..5],
        ["NAME", "HOST", "AGE", "micro-api-destination", "micro-api"]
    );
    let services = mesh
        .shell("kubectl get svc -n istio-system | grep ingress")?
        .ok()?
        .stdout;
    assert!(
        services.contains("LoadBalancer") && services.contains("<pending>"),
        "{services}"
    );
    for port in ["15021:", "80:", "443:", "31400:", "15443:"] {
        assert!(services.contains(port), "{services}");
    }
    Ok(())
}

/// Four hundred requests, fifty at a time: some are refused, and the gateway's log says why.
fn overflow(mesh: &Installation) -> Result<()> {
    let many = format!(
        "seq 400 | xargs -P 50 -I{{}} curl -s -o /dev/null -w '%{{http_code}}\\n' -H '{HOST}' '{}/test/test?delay=300&n={{}}'",
        mesh.gateway()
    );
    let statuses = mesh.shell(&many)?.stdout;
    let statuses: Vec<&str> = statuses.lines().collect();
    let statuses = Shares::count(&statuses, |status| (*status).to_owned());
    println!("fifty clients: {statuses:?}");
    assert!(
        statuses.of("503") > 0 && statuses.of("200") > 0,
        "{statuses:?}"
    );
    assert_eq!(statuses.of("200") + statuses.of("503"), 400, "{statuses:?}");
    let log = mesh
        .shell("kubectl -n istio-system logs deploy/istio-ingressgateway --tail=400")?
        .stdout;
    let refused: Vec<&str> = log.lines().filter(|line| line.contains(" 503 ")).collect();
    assert!(
        refused.iter().any(|line| line.contains(" 503 UO ")),
        "{refused:?}"
    );
    Ok(())
}

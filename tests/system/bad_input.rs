//! Bad input gets a clear error, and the last good configuration stays live.

use std::time::Duration;

use anyhow::Result;
use aviary_tests::{Installation, Outcome, eventually};

/// How long a change may take until it is seen.
const LIVE: Duration = Duration::from_secs(10);
const HOST: &str = "Host: micro-api.default.svc.cluster.local";

fn try_apply(mesh: &Installation, yaml: &str) -> Result<Outcome> {
    let file = mesh.home().join("bad.yaml");
    std::fs::write(&file, yaml)?;
    Ok(mesh.kubectl(&format!("apply -f {}", file.display())))
}

/// Applies what must be refused, and compares what is said about it.
#[track_caller]
fn refused(mesh: &Installation, yaml: &str, says: &[&str]) {
    let outcome = try_apply(mesh, yaml).expect("kubectl runs");
    assert_ne!(outcome.code, 0, "accepted: {yaml}");
    println!("refused: {}", outcome.stderr.trim());
    for text in says {
        assert!(
            outcome.stderr.contains(text),
            "`{text}` is not in: {}",
            outcome.stderr
        );
    }
}

fn route(spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata:\n  name: micro-api-route\nspec:\n{spec}"
    )
}

/// The live route's answer.
fn serves(mesh: &Installation) -> bool {
    let page = mesh.get("/test/test", &["-H", HOST]);
    page.status == 200 && page.body.contains("\"data\":\"Independent")
}

#[test]
fn mistakes_are_named_and_change_nothing() -> Result<()> {
    let mesh = Installation::start()?;
    mesh.kubectl("apply -f micro-api-canary-istio-v1.yaml")
        .ok()?;
    mesh.wait_for("default", &["micro-api-v1"])?;
    mesh.kubectl("apply -f micro-gateway.yaml -f destination-rule-all.yaml")
        .ok()?;
    let good = "  hosts: [micro-api.default.svc.cluster.local]\n  gateways: [micro-gateway]\n  http:\n  - route:\n    - destination: {host: micro-api.default.svc.cluster.local, subset: v1}\n";
    mesh.apply("", &route(good))?;
    eventually("v1 is live", LIVE, || Ok(serves(&mesh)))?;

    refused(
        &mesh,
        &route("  hosts: [a]\n  htttp: []\n"),
        &["unknown field \"spec.htttp\""],
    );
    refused(
        &mesh,
        "apiVersion: networking.istio.io/v1\nkind: VirtualServcie\nmetadata: {name: x}\n",
        &["no matches for kind \"VirtualServcie\""],
    );
    refused(
        &mesh,
        &route(
            "  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n      weight: many\n",
        ),
        &["spec.http[0].route[0].weight", "integer"],
    );
    refused(
        &mesh,
        &route("  hosts: [a\n  http: []\n"),
        &["error converting YAML to JSON"],
    );
    refused(
        &mesh,
        &route(
            "  hosts: [a]\n  http:\n  - corsPolicy: {allowMethods: [GET]}\n    route:\n    - destination: {host: a}\n",
        ),
        &["spec.http[0].corsPolicy", "not honoured yet"],
    );
    refused(
        &mesh,
        &route(
            "  hosts: [a]\n  http:\n  - match:\n    - uri: {regex: '(['}\n    route:\n    - destination: {host: a}\n",
        ),
        &["spec.http[0].match[0].uri.regex"],
    );
    refused(
        &mesh,
        &route(
            "  hosts: [a]\n  http:\n  - route:\n    - {destination: {host: a}, weight: 0}\n    - {destination: {host: b}, weight: 0}\n",
        ),
        &["spec.http[0].route"],
    );
    refused(
        &mesh,
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: three\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: x}]}\n",
        &["replicas", "int32"],
    );
    refused(
        &mesh,
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: -1\n  selector: {matchLabels: {a: c}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: x}]}\n",
        &[
            "spec.replicas: Invalid value: -1",
            "does not match template",
        ],
    );
    assert!(serves(&mesh), "the good route is gone");

    // A subset that nobody declared: accepted, told in a condition, and the live route stays.
    mesh.apply("", &route(&good.replace("subset: v1", "subset: v9")))?;
    eventually("the condition names the subset", LIVE, || {
        Ok(mesh
            .kubectl("get vs micro-api-route -o yaml")
            .stdout
            .contains("v9")
            && mesh
                .kubectl("get vs micro-api-route -o jsonpath={.status.conditions}")
                .stdout
                .contains("v9"))
    })?;
    println!(
        "{}",
        mesh.kubectl("get vs micro-api-route -o jsonpath={.status.conditions}")
            .stdout
    );
    for _ in 0..20 {
        assert!(
            serves(&mesh),
            "a route to an unknown subset took the live one down"
        );
    }
    Ok(())
}

#[test]
fn unknown_image_says_what_to_do() -> Result<()> {
    let mesh = Installation::start()?;
    mesh.kubectl("create deployment nowhere --image=example.com/nowhere:1")
        .ok()?;
    eventually("the pod says ErrImagePull", LIVE, || {
        let pods = mesh.kubectl("get pods").stdout;
        Ok(pods.contains("ErrImagePull") || pods.contains("ImagePullBackOff"))
    })?;
    let told = mesh.kubectl("describe pods").stdout;
    assert!(
        told.contains("example.com/nowhere:1") && told.contains("aviary image add"),
        "{told}"
    );

    // Doing what it says mends it.
    mesh.aviary([
        "image",
        "add",
        "example.com/nowhere:1",
        "--",
        "/bin/sleep",
        "1000",
    ])
    .ok()?;
    mesh.wait_for("default", &["nowhere"])
}

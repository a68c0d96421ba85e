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

/// A good route to v1.
const GOOD: &str = "  hosts: [micro-api.default.svc.cluster.local]
  gateways: [micro-gateway]
  http:
  - route:
    - destination: {host: micro-api.default.svc.cluster.local, subset: v1}
";

/// Specs of a VirtualService that must be refused, and what is said of each.
const BAD_ROUTES: [(&str, &[&str]); 6] = [
    (
        "  hosts: [a]\n  htttp: []\n",
        &["unknown field \"spec.htttp\""],
    ),
    (
        "  hosts: [a]\n  http:\n  - route:\n    - destination: {host: a}\n      weight: many\n",
        &["spec.http[0].route[0].weight", "integer"],
    ),
    (
        "  hosts: [a\n  http: []\n",
        &["error converting YAML to JSON"],
    ),
    (
        "  hosts: [a]\n  http:\n  - retries: {attempts: 1, retryRemoteLocalities: true}\n    route:\n    - destination: {host: a}\n",
        &[
            "spec.http[0].retries.retryRemoteLocalities",
            "not honoured yet",
        ],
    ),
    (
        "  hosts: [a]\n  http:\n  - match:\n    - uri: {regex: '(['}\n    route:\n    - destination: {host: a}\n",
        &["spec.http[0].match[0].uri.regex"],
    ),
    (
        "  hosts: [a]\n  http:\n  - route:\n    - {destination: {host: a}, weight: 0}\n    - {destination: {host: b}, weight: 0}\n",
        &["spec.http[0].route"],
    ),
];

/// Other objects that must be refused.
const BAD_OBJECTS: [(&str, &[&str]); 3] = [
    (
        "apiVersion: networking.istio.io/v1\nkind: VirtualServcie\nmetadata: {name: x}\n",
        &["no matches for kind \"VirtualServcie\""],
    ),
    (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: three\n  selector: {matchLabels: {a: b}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: x}]}\n",
        &["replicas", "int32"],
    ),
    (
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: -1\n  selector: {matchLabels: {a: c}}\n  template:\n    metadata: {labels: {a: b}}\n    spec: {containers: [{name: c, image: x}]}\n",
        &[
            "spec.replicas: Invalid value: -1",
            "does not match template",
        ],
    ),
];

#[test]
fn mistakes_are_named_and_change_nothing() -> Result<()> {
    let mesh = Installation::start()?;
    mesh.kubectl("apply -f micro-api-canary-istio-v1.yaml")
        .ok()?;
    mesh.wait_for("default", &["micro-api-v1"])?;
    mesh.kubectl("apply -f micro-gateway.yaml -f destination-rule-all.yaml")
        .ok()?;
    mesh.apply("", &route(GOOD))?;
    eventually("v1 is live", LIVE, || Ok(serves(&mesh)))?;

    for (spec, says) in BAD_ROUTES {
        refused(&mesh, &route(spec), says);
    }
    for (object, says) in BAD_OBJECTS {
        refused(&mesh, object, says);
    }
    assert!(serves(&mesh), "the good route is gone");

    // A subset that nobody declared: accepted, told in a condition, and the live route stays.
    mesh.apply("", &route(&GOOD.replace("subset: v1", "subset: v9")))?;
    let conditions = || {
        mesh.kubectl("get vs micro-api-route -o jsonpath={.status.conditions}")
            .stdout
    };
    eventually("the condition names the subset", LIVE, || {
        Ok(conditions().contains("`v9`"))
    })?;
    println!("{}", conditions());
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

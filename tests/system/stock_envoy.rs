//! A stock Envoy given what our proxies are given: it accepts everything and routes alike.

mod control;
mod objects;
mod world;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use aviary_mesh::compiled::Config;
use aviary_mesh::filters::{self, Stop};
use aviary_mesh::listener::ChainAction;
use aviary_mesh::resolve::{self, Head, Outcome};
use aviary_mesh::{Listener, MeshConfig};
use aviary_translate::{ProxyKey, ProxyKind, translate};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use control::Protocol;
use world::World;

/// Calls of a workload or of a client outside: method, host, path and headers.
struct Call {
    method: &'static str,
    host: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
}

const fn get(host: &'static str, path: &'static str) -> Call {
    Call {
        method: "GET",
        host,
        path,
        headers: &[],
    }
}

impl Head for Call {
    fn method(&self) -> &str {
        self.method
    }
    fn authority(&self) -> &str {
        self.host
    }
    fn scheme(&self) -> &'static str {
        "http"
    }
    fn path_and_query(&self) -> &str {
        self.path
    }
    fn header(&self, name: &str) -> Option<std::borrow::Cow<'_, str>> {
        let found = self.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| std::borrow::Cow::Borrowed(*value))
    }
}

const JASON: &[(&str, &str)] = &[("end-user", "jason")];

const CALLS: [Call; 20] = [
    get("reviews:9080", "/reviews/0"),
    get("reviews.default.svc.cluster.local", "/"),
    get("reviews.default:9080", "/"),
    get("REVIEWS", "/"),
    Call {
        headers: JASON,
        ..get("reviews:9080", "/reviews/0")
    },
    get("details:9080", "/details/0"),
    get("ratings.default.svc.cluster.local:9080", "/ratings/0"),
    Call {
        headers: JASON,
        ..get("ratings.default.svc.cluster.local:9080", "/ratings/0")
    },
    Call {
        method: "POST",
        ..get("ratings.default.svc.cluster.local:9080", "/method")
    },
    get("ratings.default.svc.cluster.local:9080", "/old/path?q=1"),
    get("ratings.default.svc.cluster.local:9080", "/moved/here"),
    get("ratings.default.svc.cluster.local:9080", "/exact"),
    get("ratings.default.svc.cluster.local:9080", "/exact/not"),
    get("ratings.default.svc.cluster.local:9080", "/number/12?a=1"),
    get("ratings.default.svc.cluster.local:9080", "/number/x"),
    Call {
        headers: &[("cookie", "a=b; user=jason")],
        ..get("ratings.default.svc.cluster.local:9080", "/cookie")
    },
    get("ratings.default.svc.cluster.local:9080", "/query?version=2"),
    get("productpage:9080", "/productpage"),
    get("shop.example.com", "/productpage"),
    get("shop.example.com:80", "/nothing"),
];

/// What may come of a call by our own decision, over many draws.
fn expected(config: &Config, listener: &Listener, call: &Call, world: &World) -> BTreeSet<String> {
    let mut actions = listener
        .chains
        .iter()
        .chain(&listener.default_chain)
        .map(|it| &it.action);
    let http = actions.find_map(|action| match action {
        ChainAction::Http(http) => Some(http),
        ChainAction::Tcp(_) => None,
    });
    let http = http.expect("a listener that speaks HTTP");
    let table = config.table(http).expect("its routes");
    let mut rng = SmallRng::seed_from_u64(1);
    let routed = |outcome| match outcome {
        Outcome::Forward(target) => match config.mesh().clusters.get(&target.branch.name) {
            None => "503".to_owned(),
            Some(_) if !world.has_endpoints(&target.branch.name) => "503".to_owned(),
            Some(_) => {
                let path = target.path.as_deref().unwrap_or(call.path);
                format!("200 {} {path}", target.branch.name)
            }
        },
        Outcome::Redirect { status, location } => format!("{status} {location}"),
        Outcome::Direct { status, .. } => status.to_string(),
        Outcome::NotFound => "404".to_owned(),
    };
    (0..200)
        .map(|_| {
            let decision = resolve::request(table, call, &mut rng);
            match filters::pass(&http.filters, &decision, call, &mut rng).stop {
                Some(Stop::Abort { status, .. }) => status.to_string(),
                Some(other) => format!("{other:?}"),
                None => routed(decision.outcome),
            }
        })
        .collect()
}

#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
fn say_skipped() {
    println!("skipped: AVIARY_TEST_ENVOY does not name an Envoy");
}

/// Envoy accepts `config` whole and answers every call as `resolve` says.
async fn check(kind: ProxyKind, protocol: Protocol) -> Result<()> {
    let Some(program) = control::envoy_program() else {
        say_skipped();
        return Ok(());
    };
    let snapshot = objects::snapshot();
    let labels = match kind {
        ProxyKind::Sidecar => [("app", "productpage"), ("version", "v1")],
        ProxyKind::Router => [("app", "istio-ingressgateway"), ("istio", "ingressgateway")],
    };
    let key = ProxyKey {
        kind,
        namespace: if kind == ProxyKind::Router {
            "istio-system"
        } else {
            "default"
        }
        .to_owned(),
        labels: labels
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    let (mut mesh, _) = translate(&snapshot, &key);
    assert!(!mesh.listeners.is_empty() && !mesh.clusters.is_empty());
    let world = World::start(&mut mesh).await?;
    let listener = open_to_calls(&mut mesh, kind, &world);
    let config = Config::new(Arc::new(mesh), None);
    let envoy = control::Envoy::start(&program, config.mesh(), protocol).await?;
    let listener = &config.mesh().listeners[&listener];
    let mut answers = BTreeSet::new();
    for call in &CALLS {
        let expected = expected(&config, listener, call, &world);
        let mut seen = BTreeSet::new();
        answers.extend(expected.iter().cloned());
        // A split of 90 to 10 shows both sides in 120 calls but for one time in 300,000.
        for _ in 0..if expected.len() > 1 { 120 } else { 2 } {
            seen.insert(
                world
                    .call(
                        listener.address,
                        call.method,
                        call.host,
                        call.path,
                        call.headers,
                    )
                    .await?,
            );
        }
        assert_eq!(
            seen, expected,
            "{} {} {} {:?}",
            call.method, call.host, call.path, call.headers
        );
    }
    assert!(
        answers.len() > 8,
        "the calls tell too little apart: {answers:?}"
    );
    envoy.stop().await
}

/// Binds what Envoy is to bind to free ports of loopback; gives the listener that calls go to.
fn open_to_calls(mesh: &mut MeshConfig, kind: ProxyKind, world: &World) -> String {
    let called = match kind {
        ProxyKind::Sidecar => "0.0.0.0_9080",
        ProxyKind::Router => "0.0.0.0_8080",
    };
    assert!(
        mesh.listeners.contains_key(called),
        "{:?}",
        mesh.listeners.keys()
    );
    for (name, listener) in &mut mesh.listeners {
        let listener = Arc::make_mut(listener);
        if name == called {
            // Without redirection nothing is handed over, so the calls come to it directly.
            listener.bind_to_port = true;
        }
        if listener.bind_to_port {
            listener.address = world.free_address();
        }
    }
    called.to_owned()
}

#[tokio::test]
async fn envoy_as_sidecar_accepts_all_and_routes_alike() -> Result<()> {
    check(ProxyKind::Sidecar, Protocol::Delta).await
}

#[tokio::test]
async fn envoy_as_gateway_accepts_all_and_routes_alike() -> Result<()> {
    check(ProxyKind::Router, Protocol::Delta).await
}

#[tokio::test]
async fn envoy_with_whole_state_accepts_all_and_routes_alike() -> Result<()> {
    check(ProxyKind::Sidecar, Protocol::Sotw).await
}

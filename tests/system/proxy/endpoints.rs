//! F2 to F4: endpoints that die, hang, reset and drip.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use aviary_tests::origin::Origin;
use aviary_tests::raw::Raw;
use aviary_tests::standalone::{Bootstrap, Proxy, free_address};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::callers::{Callers, failed, quantile};
use super::server::Server;

/// Istio's conditions and `reset`, never the same endpoint twice.
fn retries(number: u32) -> Value {
    json!({
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,reset",
        "num_retries": number,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
        }],
        "host_selection_retry_max_attempts": 5,
    })
}

const TICK: Duration = Duration::from_millis(5);

/// Lets time pass under load.
fn run_for(time: Duration) {
    std::thread::park_timeout(time);
}

/// F2: an endpoint is killed while it works on requests. What may be repeated is, once; what may not fails
/// at once with 502 or 503; nothing reaches a server twice that must not.
#[test]
fn f2_endpoint_killed_within_requests_costs_only_what_cannot_be_repeated() -> Result<()> {
    let (first, second, address) = (free_address()?, free_address()?, free_address()?);
    let dying = Server::start(first, "first")?;
    let lasting = Server::start(second, "second")?;
    let _proxy = Proxy::start(
        &Bootstrap::http(address, &[first, second])
            // Every second request would need a retry for ever: more than there are.
            .cluster(&json!({"outlier_detection": {
                "consecutive_5xx": 3, "interval": "0.1s", "base_ejection_time": "30s",
                "max_ejection_percent": 50,
            }}))
            // As in Istio; Envoy's own default is three retries at a time.
            .cluster(&json!({"circuit_breakers": {"thresholds": [{"max_retries": 1024}]}}))
            .route(&json!({"timeout": "10s", "retry_policy": retries(2)}))
            .with_guarded_retries(),
    )?;
    let reads = Callers::start(address, 8, ("GET", "/slow/20"), TICK);
    let writes = Callers::start(address, 4, ("POST", "/slow/20"), TICK);
    run_for(Duration::from_millis(700));
    let killed = Instant::now();
    dying.signal(Signal::SIGKILL)?;
    run_for(Duration::from_secs(1));
    let (reads, writes) = (reads.stop(), writes.stop());
    println!("F2: {} reads, {} writes", reads.len(), writes.len());
    assert!(reads.len() > 100 && writes.len() > 50);
    assert_eq!(failed(&reads).len(), 0, "{:?}", failed(&reads));
    let lost = failed(&writes);
    assert!(lost.len() <= 4, "{lost:?}");
    for call in lost {
        assert!([502, 503].contains(&call.status), "{call:?}");
        assert!(call.at < killed + Duration::from_millis(100), "{call:?}");
    }
    assert!(
        quantile(&reads, 1.0) < Duration::from_secs(2),
        "nobody hangs"
    );
    let mut seen = BTreeMap::<String, usize>::new();
    for id in dying.heard().into_iter().chain(lasting.heard()) {
        *seen.entry(id).or_default() += 1;
    }
    let twice = |call: &&super::callers::Call| seen.get(&call.id).is_some_and(|count| *count > 1);
    assert_eq!(writes.iter().filter(twice).count(), 0, "a write came twice");
    Ok(())
}

/// F3: an endpoint hangs. Deadlines hold; it is taken out, and comes back.
#[test]
fn f3_endpoint_that_hangs_is_taken_out_and_comes_back() -> Result<()> {
    let (first, second, address) = (free_address()?, free_address()?, free_address()?);
    let hanging = Server::start(first, "first")?;
    let _lasting = Server::start(second, "second")?;
    let _proxy = Proxy::start(
        &Bootstrap::http(address, &[first, second])
            .cluster(&json!({"outlier_detection": {
                "consecutive_5xx": 3, "interval": "0.2s", "base_ejection_time": "3s",
                "max_ejection_percent": 50,
            }}))
            .route(&json!({"timeout": "1s"})),
    )?;
    let callers = Callers::start(address, 6, ("GET", "/"), TICK);
    run_for(Duration::from_millis(500));
    let stopped = Instant::now();
    hanging.signal(Signal::SIGSTOP)?;
    run_for(Duration::from_millis(2800));
    hanging.signal(Signal::SIGCONT)?;
    let calls = callers.stop();
    let slowest = quantile(&calls, 1.0);
    assert!(
        slowest < Duration::from_millis(1500),
        "a deadline of 1 s took {slowest:?}"
    );
    for call in failed(&calls) {
        assert_eq!(call.status, 504, "{call:?}");
    }
    // Three failures at 1 s, and 5 intervals; it is out until 4 s.
    let out = stopped + Duration::from_millis(1000 + 1000 + 200);
    let while_out: Vec<_> = calls.iter().filter(|call| call.at > out).cloned().collect();
    let good = while_out.iter().filter(|call| call.status == 200).count();
    println!(
        "F3: {} calls, {} failed, {good} of {} while it was out",
        calls.len(),
        failed(&calls).len(),
        while_out.len()
    );
    assert!(good > 20 && good == while_out.len(), "{while_out:?}");
    let mut client = Raw::connect(address)?;
    aviary_tests::eventually("it comes back", Duration::from_secs(15), || {
        Ok(client.get("/")?.text() == "first")
    })?;
    Ok(())
}

/// F4: endpoints that reset, close, say half of an answer, or drip. Reads are repeated where nothing has
/// been passed on; everything ends by its deadline; no descriptor stays behind.
#[test]
fn f4_endpoints_that_misbehave_cost_no_descriptor() -> Result<()> {
    let origin = Origin::start(|mut it| {
        let Some(head) = it.head() else { return };
        let _ = it.body(&head);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        match path.as_str() {
            "/reset" => it.reset(),
            "/close" => {}
            "/half-head" => drop(it.say("HTTP/1.1 200 OK\r\ncontent-le")),
            "/half-body" => drop(it.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")),
            "/drip" => {
                for byte in "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".bytes() {
                    if it.say([byte]).is_err() {
                        return;
                    }
                    run_for(Duration::from_millis(100));
                }
            }
            _ => {
                let _ =
                    it.say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            }
        }
    })?;
    let address = free_address()?;
    let proxy = Proxy::start(
        &Bootstrap::http(address, &[origin.address()])
            .route(&json!({"timeout": "1s", "retry_policy": retries(1)}))
            .with_guarded_retries(),
    )?;
    Raw::connect(address)?.get("/")?;
    let before = proxy.descriptors()?;
    for (path, statuses, attempts) in [
        ("/reset", &[502, 503][..], 2),
        ("/close", &[502, 503], 2),
        ("/half-head", &[502, 503], 2),
        ("/half-body", &[200], 1),
        ("/drip", &[504], 1),
        ("/", &[200], 1),
    ] {
        for _ in 0..5 {
            let seen = origin.count(&format!("GET {path} "));
            let started = Instant::now();
            let mut client = Raw::connect(address)?;
            client.send(format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n"))?;
            let head = client.head()?;
            let status = head
                .split(' ')
                .nth(1)
                .and_then(|it| it.parse().ok())
                .unwrap_or_default();
            let took = started.elapsed();
            assert!(statuses.contains(&status), "{path}: {head}");
            assert!(took < Duration::from_secs(2), "{path}: {took:?}");
            let tries = origin.count(&format!("GET {path} ")) - seen;
            assert_eq!(tries, attempts, "{path}");
        }
        let seen = origin.count(&format!("POST {path} "));
        let mut client = Raw::connect(address)?;
        let request =
            format!("POST {path} HTTP/1.1\r\nhost: a.test\r\ncontent-length: 2\r\n\r\nhi");
        let _ = client.ask(request);
        assert_eq!(origin.count(&format!("POST {path} ")) - seen, 1, "{path}");
    }
    aviary_tests::eventually(
        "descriptors are given back",
        Duration::from_secs(10),
        || Ok(proxy.descriptors()? <= before),
    )?;
    Ok(())
}

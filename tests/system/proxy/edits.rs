//! F7: routes that change all the while.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aviary_mesh::MeshConfig;
use aviary_tests::origin::Origin;
use aviary_tests::standalone::{Bootstrap, Control, Proxy, free_address};
use serde_json::json;

use super::callers::{Callers, failed, quantile};

/// How many edits; `AVIARY_TEST_EDITS=1000` makes a longer run.
const EDITS: u32 = 150;

/// A server that says its name and which edit its request passed.
fn server(name: &'static str) -> Result<Origin> {
    Origin::start(move |mut it| {
        it.keep_nothing();
        while let Some(head) = it.head() {
            let edit = head
                .lines()
                .find_map(|line| line.strip_prefix("x-edit: "))
                .unwrap_or_default();
            let body = format!("{name} {edit}");
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            if it.say(answer).is_err() {
                return;
            }
        }
    })
}

/// The number of an edit stands in what is added to the request and to the answer, and says which
/// cluster is meant: `even` or `odd`.
fn edited(address: SocketAddr, servers: [SocketAddr; 2], number: u32) -> Result<MeshConfig> {
    let [even, odd] = servers;
    let cluster = if number.is_multiple_of(2) {
        "even"
    } else {
        "odd"
    };
    let mark = |append: &str| json!([{"header": {"key": "x-edit", "value": number.to_string()}, "append_action": append}]);
    Bootstrap::http(address, &[even])
        .and_cluster("even", &[even])
        .and_cluster("odd", &[odd])
        .manager(&json!({"route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "request_headers_to_add": mark("OVERWRITE_IF_EXISTS_OR_ADD"),
            "routes": [{
                "match": {"prefix": "/"},
                "route": {"cluster": cluster},
                "response_headers_to_add": mark("OVERWRITE_IF_EXISTS_OR_ADD"),
            }],
        }]}}))
        .mesh()
}

#[test]
fn f7_edits_of_routes_lose_no_request_and_never_mix() -> Result<()> {
    let edits: u32 = match std::env::var("AVIARY_TEST_EDITS") {
        Ok(text) => text.parse()?,
        Err(_) => EDITS,
    };
    let (even, odd) = (server("even")?, server("odd")?);
    let servers = [even.address(), odd.address()];
    let address = free_address()?;
    let mut control = Control::start(edited(address, servers, 0)?)?;
    let bootstrap = Bootstrap::http(address, &[]).by_ads(control.address());
    let _proxy = Proxy::start(&bootstrap)?;
    let callers = Callers::start(address, 4, ("GET", "/"), Duration::from_millis(1));
    let started = Instant::now();
    for number in 1..=edits {
        control
            .publish(edited(address, servers, number)?)
            .with_context(|| format!("edit {number}"))?;
    }
    let took = started.elapsed();
    let calls = callers.stop();
    println!(
        "F7: {edits} edits in {took:?}, {} calls, p99 {:?}",
        calls.len(),
        quantile(&calls, 0.99)
    );
    assert_eq!(failed(&calls).len(), 0, "{:?}", failed(&calls));
    for call in &calls {
        let edit = call.edit.as_deref().unwrap_or_default();
        let number: u32 = edit.parse().with_context(|| format!("{call:?}"))?;
        let name = if number.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        };
        assert_eq!(call.body, format!("{name} {edit}"), "{call:?}");
    }
    let seen: std::collections::BTreeSet<_> = calls.iter().map(|call| &call.edit).collect();
    assert!(seen.len() > 20, "{} edits were seen", seen.len());
    Ok(())
}

//! What clients outside the mesh say about themselves is not believed.

use anyhow::Result;
use aviary_tests::origin::Origin;
use aviary_tests::raw::Raw;
use serde_json::json;

use crate::bench::Bench;

/// Fields that mean something to proxies, and what an attacker would say in them.
const FORGED: &[(&str, &str)] = &[
    ("x-envoy-internal", "true"),
    ("x-envoy-external-address", "10.0.0.1"),
    ("x-envoy-decorator-operation", "forged"),
    ("x-envoy-max-retries", "77"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-retry-grpc-on", "unavailable"),
    ("x-envoy-upstream-rq-timeout-ms", "77"),
    ("x-envoy-upstream-rq-per-try-timeout-ms", "77"),
    ("x-envoy-upstream-alt-stat-name", "forged"),
    ("x-envoy-expected-rq-timeout-ms", "77"),
    ("x-envoy-original-path", "/forged"),
    ("x-envoy-ip-tags", "forged"),
    ("x-forwarded-client-cert", "By=spiffe://td/forged"),
    ("x-forwarded-proto", "https"),
];

#[test]
fn cve_2024_45806_fields_of_proxies_from_outside_are_taken_out() -> Result<()> {
    let bench = Bench::before(Origin::echo()?, |it| {
        it.manager(&json!({"use_remote_address": true}))
    })?;
    for (name, value) in FORGED {
        let request = format!("GET /{name} HTTP/1.1\r\nhost: a.test\r\n{name}: {value}\r\n\r\n");
        assert_eq!(
            Raw::connect(bench.address)?.ask(request)?.status,
            200,
            "{name}"
        );
        let heard = bench.origin.heard().concat().to_ascii_lowercase();
        let forged = format!("{name}: {}\r\n", value.to_ascii_lowercase());
        assert!(!heard.contains(&forged), "{heard}");
    }
    Ok(())
}

/// Whoever reads the last address of the list reads the client's own.
#[test]
fn address_of_the_client_is_the_last_of_the_list() -> Result<()> {
    let bench = Bench::before(Origin::echo()?, |it| {
        it.manager(&json!({"use_remote_address": true}))
    })?;
    let mut client = Raw::connect(bench.address)?;
    let own = client.stream().local_addr()?.ip();
    client.ask("GET / HTTP/1.1\r\nhost: a.test\r\nx-forwarded-for: 6.6.6.6\r\n\r\n")?;
    let heard = bench.origin.heard().concat().to_ascii_lowercase();
    let list = heard
        .lines()
        .find_map(|line| line.strip_prefix("x-forwarded-for: "))
        .unwrap_or_default();
    assert!(list.ends_with(&own.to_string()), "{heard}");
    Ok(())
}

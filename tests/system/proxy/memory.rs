//! Memory comes back after a crowd, and a configured service costs little.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aviary_mesh::MeshConfig;
use aviary_tests::origin::Origin;
use aviary_tests::raw::Raw;
use aviary_tests::standalone::{Bootstrap, Control, Proxy, Start, free_address};
use serde_json::{Value, json};

use super::crowds::{FILES, raise_limit};

/// What may stay behind of 3,000 connections, and how long they may take to go.
const LEFT_KIB: u64 = 4 * 1024;
const GONE: Duration = Duration::from_secs(30);
/// What a service may cost.
const SERVICE_KIB: u64 = 10;

/// So many connections, each with a request under way at the same time as those of the others.
fn crowd(address: SocketAddr, count: usize) -> Result<Vec<Raw>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(Raw::connect(address)?);
    }
    let body = "x".repeat(4096);
    let request = format!(
        "POST /held HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    for client in &mut clients {
        client.send(&request)?;
    }
    for client in &mut clients {
        let answer = client.answer()?;
        assert_eq!((answer.status, answer.body.len()), (200, body.len()));
    }
    Ok(clients)
}

#[test]
fn memory_of_three_thousand_connections_comes_back() -> Result<()> {
    raise_limit()?;
    let (origin, address) = (Origin::echo()?, free_address()?);
    let start = Start {
        files: Some(FILES),
        ..Start::default()
    };
    let limits = json!({"circuit_breakers": {"thresholds": [
        {"max_connections": 8000, "max_pending_requests": 8000, "max_requests": 8000},
    ]}});
    // Connections to the server go with those of the clients.
    let bootstrap = Bootstrap::http(address, &[origin.address()])
        .cluster(&limits)
        .keeping_idle("1s");
    let proxy = Proxy::start_with(&bootstrap, &start)?;
    // The code that a request needs is in memory after the first ones.
    drop(crowd(address, 20)?);
    std::thread::park_timeout(Duration::from_secs(2));
    let idle = proxy.memory()?.resident_kib;
    let clients = crowd(address, 3000)?;
    let held = proxy.memory()?.resident_kib;
    let let_go = Instant::now();
    drop(clients);
    let mut now = held;
    let back = aviary_tests::eventually("memory comes back", GONE, || {
        now = proxy.memory()?.resident_kib;
        Ok(now <= idle + LEFT_KIB)
    });
    println!(
        "3,000 connections: {idle} KiB before, {held} KiB while held, {now} KiB {:?} after",
        let_go.elapsed()
    );
    back.map(drop)
}

/// A mesh of so many services, each with the names and the two endpoints that a small one has.
fn mesh_of(services: usize, address: SocketAddr, endpoint: SocketAddr) -> Result<MeshConfig> {
    let mut bootstrap = Bootstrap::http(address, &[endpoint]);
    let mut hosts = Vec::<Value>::new();
    for number in 0..services {
        let name = format!("service-{number}");
        let full = format!("{name}.default.svc.cluster.local");
        let cluster = format!("outbound|8080||{full}");
        bootstrap = bootstrap.and_cluster(&cluster, &[endpoint, endpoint]);
        let domains: Vec<String> = [
            &*name,
            &format!("{name}.default"),
            &format!("{name}.default.svc"),
            &full,
        ]
        .iter()
        .flat_map(|name| [(*name).to_owned(), format!("{name}:8080")])
        .collect();
        hosts.push(json!({
            "name": format!("{full}:8080"),
            "domains": domains,
            "routes": [{
                "name": "default",
                "match": {"prefix": "/"},
                "route": {"cluster": cluster, "timeout": "0s", "retry_policy": {
                    "retry_on": "connect-failure,refused-stream,unavailable,cancelled",
                    "num_retries": 2,
                }},
            }],
        }));
    }
    bootstrap
        .manager(&json!({"route_config": {"virtual_hosts": hosts}}))
        .mesh()
}

#[test]
fn memory_of_a_configured_service_is_small() -> Result<()> {
    const COUNT: usize = 500;
    let (origin, address) = (Origin::echo()?, free_address()?);
    let of = |services| mesh_of(services, address, origin.address());
    let mut control = Control::start(of(1)?)?;
    let bootstrap = Bootstrap::http(address, &[]).by_ads(control.address());
    let proxy = Proxy::start(&bootstrap)?;
    let ask = |number: usize| -> Result<u16> {
        let host = format!("service-{number}.default:8080");
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        Ok(Raw::connect(address)?.ask(request)?.status)
    };
    // What a configuration needs once: some that are alike, one after the other.
    for services in [2, 50, 1] {
        control.publish(of(services)?)?;
    }
    assert_eq!(ask(0)?, 200);
    std::thread::park_timeout(Duration::from_secs(3));
    let before = proxy.memory()?.resident_kib;
    control.publish(of(COUNT)?).context("many services")?;
    assert_eq!(ask(COUNT - 1)?, 200);
    let count = u64::try_from(COUNT)?;
    let mut each = 0;
    let small = aviary_tests::eventually("services are small", GONE, || {
        let more = proxy.memory()?.resident_kib.saturating_sub(before);
        each = more * 1024 / count;
        Ok(more <= count * SERVICE_KIB)
    });
    println!("{COUNT} services: {each} bytes each");
    small.map(drop)
}

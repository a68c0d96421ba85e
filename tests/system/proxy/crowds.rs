//! F26: ten thousand idle clients, a thousand that come and go each second, a thousand that never finish.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aviary_tests::Steady;
use aviary_tests::origin::Origin;
use aviary_tests::raw::Raw;
use aviary_tests::standalone::{Bootstrap, Proxy, Start, free_address};

/// Every connection needs a descriptor here and one in the proxy.
pub(super) const FILES: u32 = 16_000;
/// What an idle connection may hold in a release build, and in a debug build, whose futures are
/// larger.
const IDLE_KIB: (u64, u64) = (2, 8);

struct Bench {
    proxy: Proxy,
    _origin: Origin,
    address: SocketAddr,
}

fn start() -> Result<Bench> {
    let origin = Origin::echo()?;
    let address = free_address()?;
    let start = Start {
        files: Some(FILES),
        ..Start::default()
    };
    let proxy = Proxy::start_with(&Bootstrap::http(address, &[origin.address()]), &start)?;
    Ok(Bench {
        proxy,
        _origin: origin,
        address,
    })
}

/// More descriptors for the process of the tests.
pub(super) fn raise_limit() -> Result<()> {
    let pid = std::process::id().to_string();
    let status = std::process::Command::new("prlimit")
        .args(["--pid", &pid, &format!("--nofile={FILES}:")])
        .status()?;
    ensure!(
        status.success(),
        "`prlimit` cannot raise the limit of open files"
    );
    Ok(())
}

/// The neighbour's p99 alone, for comparison.
fn baseline(address: SocketAddr) -> Result<Duration> {
    let steady = Steady::start(address)?;
    std::thread::park_timeout(Duration::from_secs(2));
    Ok(steady.assert_unaffected().quantile(0.99))
}

#[test]
fn f26_ten_thousand_idle_connections_are_cheap() -> Result<()> {
    const COUNT: u64 = 10_000;
    raise_limit()?;
    let bench = start()?;
    let alone = baseline(bench.address)?;
    let before = bench.proxy.memory()?.resident_kib;
    let neighbour = Steady::start(bench.address)?;
    let mut idle = Vec::new();
    for number in 0..COUNT {
        let mut client = Raw::connect(bench.address)?;
        // Half of them have been used.
        if number.is_multiple_of(2) {
            assert_eq!(client.get("/")?.status, 200);
        }
        idle.push(client);
    }
    let held = bench.proxy.memory()?.resident_kib.saturating_sub(before);
    let report = neighbour.assert_unaffected();
    let p99 = report.quantile(0.99);
    println!("F26: {COUNT} connections hold {held} KiB; p99 {p99:?}, alone {alone:?}");
    let bound = if aviary_tests::are_programs_optimized()? {
        IDLE_KIB.0
    } else {
        IDLE_KIB.1
    };
    assert!(held <= COUNT * bound, "{held} KiB for {COUNT} connections");
    for client in idle.iter_mut().step_by(997) {
        assert_eq!(client.get("/")?.status, 200);
    }
    drop(idle);
    let started = Instant::now();
    aviary_tests::eventually(
        "descriptors and memory are given back",
        Duration::from_mins(1),
        || {
            let now = bench.proxy.memory()?.resident_kib;
            Ok(bench.proxy.descriptors()? < 100 && now < before + 8 * 1024)
        },
    )?;
    println!("F26: back after {:?}", started.elapsed());
    Ok(())
}

#[test]
fn f26_clients_that_come_and_go_disturb_nobody() -> Result<()> {
    let bench = start()?;
    let before = bench.proxy.memory()?.resident_kib;
    let neighbour = Steady::start(bench.address)?;
    let threads = [0; 4].map(|_| {
        let address = bench.address;
        std::thread::spawn(move || -> Result<usize> {
            let started = Instant::now();
            let mut count = 0;
            while started.elapsed() < Duration::from_secs(3) {
                let answer = Raw::connect(address)?.get("/")?;
                ensure!(answer.status == 200, "{}", answer.head);
                count += 1;
            }
            Ok(count)
        })
    });
    let mut count = 0;
    for thread in threads {
        count += thread.join().expect("a client")?;
    }
    println!("F26: {} connections a second", count / 3);
    neighbour.assert_unaffected();
    let after = bench.proxy.memory()?.resident_kib;
    assert!(
        after < before + 4 * 1024,
        "{before} KiB before, {after} KiB"
    );
    assert!(bench.proxy.descriptors()? < 100);
    Ok(())
}

/// A thousand heads that never end: they are cut off after their 10 s, and nobody waits for them.
#[test]
fn f26_slow_heads_of_a_thousand_clients_disturb_nobody() -> Result<()> {
    raise_limit()?;
    let bench = start()?;
    let before = bench.proxy.memory()?.resident_kib;
    let neighbour = Steady::start(bench.address)?;
    let mut slow = Vec::new();
    for _ in 0..1000 {
        let mut client = Raw::connect(bench.address)?;
        client.send("GET / HTTP/1.1\r\nhost: a.test\r\nx-slow: ")?;
        slow.push(client);
    }
    let started = Instant::now();
    while bench.proxy.descriptors()? > 100 {
        ensure!(
            started.elapsed() < Duration::from_secs(20),
            "they are still there"
        );
        for client in &mut slow {
            let _ = client.send("x");
        }
        std::thread::park_timeout(Duration::from_millis(500));
    }
    println!("F26: all cut off after {:?}", started.elapsed());
    neighbour.assert_unaffected();
    let after = bench.proxy.memory()?.resident_kib;
    assert!(
        after < before + 8 * 1024,
        "{before} KiB before, {after} KiB"
    );
    Ok(())
}

//! One proxy after another on the same sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aviary_tests::origin::Origin;
use aviary_tests::raw::Raw;
use aviary_tests::standalone::{Bootstrap, Proxy, Start, free_address};

/// Proxies that follow the first one.
const UPGRADES: usize = 20;

/// How long one may take to take over, on a loaded machine.
const TAKE_OVER: Duration = Duration::from_secs(30);

/// Clients that keep their connections as long as they may, and as many that never do.
struct Load {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    fn start(address: SocketAddr) -> Self {
        let (ended, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let client = |number: usize| {
            let (ended, answered) = (Arc::clone(&ended), Arc::clone(&answered));
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    connection(address, number.is_multiple_of(2), &ended, &answered)?;
                }
                Ok(())
            })
        };
        let clients = (0..6).map(client).collect();
        Self {
            ended,
            answered,
            clients,
        }
    }

    /// Waits until so many more requests were answered.
    fn more(&self, count: u64) -> Result<()> {
        let (from, started) = (self.answered.load(Ordering::Relaxed), Instant::now());
        while self.answered.load(Ordering::Relaxed) < from + count {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            ensure!(!failed, "a client failed");
            ensure!(started.elapsed() < TAKE_OVER, "nothing is answered");
            std::thread::park_timeout(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Ends it; how many requests were answered, when none was lost.
    fn end(self) -> Result<u64> {
        self.ended.store(true, Ordering::Relaxed);
        for client in self.clients {
            client
                .join()
                .map_err(|_| anyhow::anyhow!("a client broke"))??;
        }
        Ok(self.answered.load(Ordering::Relaxed))
    }
}

/// One connection, until the proxy says that it ends. Each request on it must be answered.
fn connection(
    address: SocketAddr,
    keep: bool,
    ended: &AtomicBool,
    answered: &AtomicU64,
) -> Result<()> {
    let mut client = Raw::connect(address).context("a connection was refused")?;
    let close = if keep { "" } else { "connection: close\r\n" };
    let request = format!("GET /load HTTP/1.1\r\nhost: a.test\r\n{close}\r\n");
    loop {
        let answer = client.ask(&request).context("a request was lost")?;
        ensure!(answer.status == 200, "{}", answer.head);
        answered.fetch_add(1, Ordering::Relaxed);
        if answer.field("connection") == Some("close") || ended.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

#[test]
fn f6_twenty_upgrades_under_load_lose_and_refuse_nothing() -> Result<()> {
    let origin = Origin::echo()?;
    let address = free_address()?;
    let bootstrap = Bootstrap::http(address, &[origin.address()]);
    let path = std::env::temp_dir().join(format!("aviary-succession-{}", std::process::id()));
    let start = Start {
        args: vec!["--hand-over".into(), path.display().to_string()],
        ..Start::default()
    };
    let mut proxy = Proxy::start_with(&bootstrap, &start)?;
    aviary_tests::eventually("the first proxy can be followed", TAKE_OVER, || {
        Ok(path.exists())
    })?;
    let load = Load::start(address);
    for _ in 0..UPGRADES {
        load.more(50)?;
        let next = Proxy::start_with(&bootstrap, &start)?;
        let status = proxy.wait(TAKE_OVER)?;
        assert!(status.success(), "{status}");
        proxy = next;
    }
    load.more(50)?;
    let answered = load.end()?;
    println!("{UPGRADES} upgrades, {answered} requests answered, none lost");
    proxy.terminate()?;
    assert!(proxy.wait(TAKE_OVER)?.success());
    assert!(!path.exists());
    Ok(())
}

/// A newer one that fails changes nothing.
#[test]
fn f6_upgrade_that_fails_leaves_the_running_proxy_in_charge() -> Result<()> {
    let origin = Origin::echo()?;
    let address = free_address()?;
    let path = std::env::temp_dir().join(format!("aviary-upgrade-{}", std::process::id()));
    let start = Start {
        args: vec!["--hand-over".into(), path.display().to_string()],
        ..Start::default()
    };
    let good = Bootstrap::http(address, &[origin.address()]);
    let mut proxy = Proxy::start_with(&good, &start)?;
    aviary_tests::eventually("the proxy can be followed", TAKE_OVER, || Ok(path.exists()))?;
    let load = Load::start(address);
    // The listener of somebody else is in the way.
    let bad = good.clone().and_http(origin.address(), &[origin.address()]);
    let mut next = Proxy::start_with(&bad, &start)?;
    assert!(!next.wait(TAKE_OVER)?.success());
    load.more(50)?;
    let next = Proxy::start_with(&good, &start)?;
    assert!(proxy.wait(TAKE_OVER)?.success());
    load.more(50)?;
    load.end()?;
    drop(next);
    std::fs::remove_file(path)?;
    Ok(())
}

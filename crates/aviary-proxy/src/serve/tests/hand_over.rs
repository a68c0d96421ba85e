//! One proxy after another on the same sockets, under load.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;

/// Proxies that follow each other.
const GENERATIONS: usize = 20;

/// Clients of each kind.
const CLIENTS: usize = 4;

struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<(), String>>>,
}

impl Load {
    /// Clients that keep their connections as long as they may, and others that never do.
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS * 2)
            .map(|number| {
                let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
                let keep = number % 2 == 0;
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        connection(address, keep, &stop, &served).await?;
                    }
                    Ok(())
                })
            })
            .collect();
        Self {
            stop,
            served,
            clients,
        }
    }

    fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            assert_eq!(client.await.unwrap(), Ok(()));
        }
    }
}

/// One connection until the proxy says that it ends; every request on it must be answered.
async fn connection(
    address: SocketAddr,
    keep: bool,
    stop: &AtomicBool,
    served: &AtomicU64,
) -> Result<(), String> {
    let told = |what: &str, error: std::io::Error| format!("{what}: {error}");
    let mut stream = TcpStream::connect(address)
        .await
        .map_err(|error| told("connect", error))?;
    let close = if keep { "" } else { "connection: close\r\n" };
    let request = format!("GET / HTTP/1.1\r\nhost: any\r\n{close}\r\n");
    loop {
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(|error| told("send", error))?;
        let mut reply = Vec::new();
        while !reply.ends_with(b"\r\n\r\nserved") {
            let count = stream
                .read_buf(&mut reply)
                .await
                .map_err(|error| told("receive", error))?;
            if count == 0 {
                return Err(format!(
                    "closed after `{}` {:?}",
                    reply.escape_ascii(),
                    stream.local_addr()
                ));
            }
        }
        served.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8_lossy(&reply);
        if text.contains("connection: close") || stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn run_twenty_proxies_after_one_another_lose_nothing() {
    let folder = folder("hand-over");
    let address = free();
    let mut config = config(&folder);
    config.xds = None;
    config.state = None;
    config.drain_limit = Duration::from_secs(25);
    config.fixed = Arc::new(mesh(address, "served"));
    config.life.hand_over = Some(folder.join("proxy.sock"));
    let readiness = config.ports.readiness.unwrap();
    let mut drain = CancellationToken::new();
    let mut proxy = tokio::spawn(run(config.clone(), drain.clone()));
    until(address, "/", (200, "served")).await;
    let path = config.life.hand_over.clone().unwrap();
    while !path.exists() {
        tokio::task::yield_now().await;
    }
    let load = Load::start(address);
    for generation in 0..GENERATIONS {
        // The number of workers changes: every queue must still have somebody who serves it.
        config.workers = 1 + generation % 3;
        let next = CancellationToken::new();
        let follower = tokio::spawn(run(config.clone(), next.clone()));
        let before = load.served();
        let ended = tokio::time::timeout(Duration::from_secs(20), proxy).await;
        ended.expect("the older proxy ends").unwrap().unwrap();
        assert_eq!(get(readiness, "/healthz/ready").await.0, 200);
        while load.served() < before + 100 {
            tokio::task::yield_now().await;
        }
        (proxy, drain) = (follower, next);
    }
    load.end().await;
    drain.cancel();
    proxy.await.unwrap().unwrap();
    assert!(!path.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

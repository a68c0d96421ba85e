use aviary_mesh::ChainAction;
use aviary_mesh::listener::{ChainMatch, Direction};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::fixture::*;

/// A server that reads to the end, then answers with what it read and `!`.
pub(super) async fn echo() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (mut stream, _) = socket.accept().await.unwrap();
            tokio::task::spawn_local(async move {
                let mut bytes = Vec::new();
                stream.read_to_end(&mut bytes).await.unwrap();
                bytes.push(b'!');
                stream.write_all(&bytes).await.unwrap();
            });
        }
    });
    address
}

#[test]
fn tcp_connection_of_the_greatest_age_is_closed() {
    on_worker_thread(async {
        let at = echo().await;
        let address = free_address();
        let mut chain = tcp_chain("c");
        chain.max_duration = Some(Duration::from_millis(200));
        let plan = Plan::default()
            .listener(listener(address, ChainAction::Tcp(chain)))
            .cluster(cluster("c"), &[at]);
        let mut proxy = Proxy::start(plan).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let started = Instant::now();
        stream.write_all(b"never ends").await.unwrap();
        // The end, or a reset because the endpoint was not done.
        let _ = stream.read(&mut [0; 1]).await;
        assert!(started.elapsed() >= Duration::from_millis(150));
        let line = proxy.line().await;
        assert_eq!(
            (line.received_bytes, line.flags.text().as_ref()),
            (10, "DT")
        );
    });
}

#[test]
fn tcp_half_closed_client_still_gets_its_answer() {
    on_worker_thread(async {
        let at = echo().await;
        let address = free_address();
        let plan = Plan::default()
            .listener(listener(address, ChainAction::Tcp(tcp_chain("c"))))
            .cluster(cluster("c"), &[at]);
        let mut proxy = Proxy::start(plan).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let sent = vec![b'x'; 300_000];
        stream.write_all(&sent).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert_eq!(back.len(), sent.len() + 1);
        let line = proxy.line().await;
        assert_eq!((line.received_bytes, line.sent_bytes), (300_000, 300_001));
        assert_eq!(
            (line.flags.text().as_ref(), line.upstream_host),
            ("-", Some(at))
        );
        let text = proxy.metrics().await;
        for (name, value) in [
            ("istio_tcp_connections_opened_total", "1"),
            ("istio_tcp_connections_closed_total", "1"),
            ("istio_tcp_sent_bytes_total", "300001"),
            ("istio_tcp_received_bytes_total", "300000"),
        ] {
            let found = text
                .lines()
                .find(|line| line.starts_with(&format!("{name}{{")))
                .unwrap();
            assert!(found.ends_with(&format!(" {value}")), "{found}");
            assert!(
                found.contains("destination_workload=\"reviews-v1\""),
                "{found}"
            );
        }
    });
}

#[test]
fn tcp_dead_endpoint_closes_and_says_uf() {
    on_worker_thread(async {
        let address = free_address();
        let plan = Plan::default()
            .listener(listener(address, ChainAction::Tcp(tcp_chain("c"))))
            .cluster(cluster("c"), &[free_address()]);
        let mut proxy = Proxy::start(plan).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert!(back.is_empty());
        assert_eq!(proxy.line().await.flags.text(), "UF");
    });
}

#[test]
fn inspector_tells_http_from_bytes() {
    on_worker_thread(async {
        let (web, _) = named("web").await;
        let raw = echo().await;
        let address = free_address();
        let mut both = listener(
            address,
            ChainAction::Http(http_chain(Direction::Outbound, "t")),
        );
        both.http_inspector = true;
        both.chains[0].matches = ChainMatch {
            application_protocols: vec!["http/1.1".into(), "h2c".into()],
            ..ChainMatch::default()
        };
        both.default_chain = Some(aviary_mesh::FilterChain {
            tls: None,
            name: "tcp".into(),
            matches: ChainMatch::default(),
            action: ChainAction::Tcp(tcp_chain("raw")),
            ..aviary_mesh::FilterChain::default()
        });
        let plan = simple(address, forward_to(&[("c", 1)]), &[web])
            .listener(both)
            .cluster(cluster("raw"), &[raw]);
        let _proxy = Proxy::start(plan).await;
        assert_eq!(Caller::connect(address).await.get("/").await.body, "web");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"\x00hello").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, b"\x00hello!");
    });
}

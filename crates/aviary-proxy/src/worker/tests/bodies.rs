use std::io;
use std::time::Duration;

use aviary_mesh::ChainAction;
use aviary_mesh::listener::Direction;
use aviary_mesh::route::Retry;
use aviary_telemetry::Flags;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::fixture::*;
use crate::splice;

/// More than sockets and a pipe hold.
const LARGE: usize = 20 << 20;

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: reviews\r\n\r\n";

fn pattern(count: usize) -> Vec<u8> {
    (0..count)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

/// Reads a head, and what came behind it.
async fn head(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut came = Vec::new();
    loop {
        if let Some(at) = came.windows(4).position(|it| it == b"\r\n\r\n") {
            let rest = came.split_off(at + 4);
            return (String::from_utf8(came).unwrap(), rest);
        }
        assert!(stream.read_buf(&mut came).await.unwrap() > 0, "no head");
    }
}

/// Reads a head and a body of this length.
async fn message(stream: &mut TcpStream, length: usize) -> (String, Vec<u8>) {
    let (head, mut body) = head(stream).await;
    let start = body.len();
    body.resize(length, 0);
    stream.read_exact(&mut body[start..]).await.unwrap();
    (head, body)
}

/// A proxy before a server that does this with its first connection.
async fn before<F: Future<Output = ()> + 'static>(
    idle: Option<Duration>,
    serve: impl FnOnce(TcpStream) -> F + 'static,
) -> (Proxy, TcpStream) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (stream, _) = socket.accept().await.unwrap();
        serve(stream).await;
    });
    let address = free_address();
    let mut plan = simple(address, forward_to(&[("c", 1)]), &[at]);
    let mut chain = http_chain(Direction::Outbound, "t");
    chain.stream_idle_timeout = idle;
    plan = plan.listener(listener(address, ChainAction::Http(chain)));
    let proxy = Proxy::start(plan).await;
    (proxy, TcpStream::connect(address).await.unwrap())
}

/// Announces a large body, and sends this of it.
async fn reply(stream: &mut TcpStream, body: &[u8]) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await
}

fn put(length: usize) -> String {
    format!("PUT / HTTP/1.1\r\nhost: reviews\r\ncontent-length: {length}\r\n\r\n")
}

#[test]
fn body_large_both_ways_arrives_whole_and_the_connections_go_on() {
    on_worker_thread(async {
        let (mut proxy, mut client) = before(None, |mut stream| async move {
            for _ in 0..2 {
                let (_, body) = message(&mut stream, LARGE).await;
                reply(&mut stream, &body).await.unwrap();
            }
        })
        .await;
        let body = pattern(LARGE);
        for _ in 0..2 {
            client.write_all(put(LARGE).as_bytes()).await.unwrap();
            client.write_all(&body).await.unwrap();
            let (head, back) = message(&mut client, LARGE).await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            assert!(back == body);
            let line = proxy.line().await;
            let bytes = (line.received_bytes, line.sent_bytes);
            assert_eq!(bytes, (LARGE as u64, LARGE as u64));
            assert_eq!(splice::lent(), 0);
        }
    });
}

#[test]
fn body_large_that_ends_early_breaks_the_reply_off() {
    on_worker_thread(async {
        let (mut proxy, mut client) = before(None, |mut stream| async move {
            head(&mut stream).await;
            reply(&mut stream, &pattern(LARGE - 1)).await.unwrap();
        })
        .await;
        client.write_all(GET).await.unwrap();
        let (_, mut body) = head(&mut client).await;
        client.read_to_end(&mut body).await.unwrap();
        assert!(body == pattern(LARGE - 1));
        let line = proxy.line().await;
        assert_eq!(line.flags, Flags::UPSTREAM_CONNECTION_TERMINATION);
        assert_eq!(line.sent_bytes, LARGE as u64 - 1);
        assert_eq!(splice::lent(), 0);
    });
}

#[test]
fn body_large_that_nobody_takes_ends_after_its_idle_time() {
    on_worker_thread(async {
        let idle = Some(Duration::from_millis(400));
        let (mut proxy, mut client) = before(idle, |mut stream| async move {
            head(&mut stream).await;
            std::future::pending::<()>().await;
        })
        .await;
        let (mut from, mut to) = client.split();
        let send = async {
            to.write_all(put(LARGE).as_bytes()).await.unwrap();
            let _ = to.write_all(&pattern(LARGE)).await;
        };
        let mut answer = [0; 12];
        let read = async {
            from.read_exact(&mut answer).await.unwrap();
        };
        tokio::select! {
            () = read => {}
            () = async { send.await; std::future::pending().await } => {}
        }
        assert_eq!(&answer, b"HTTP/1.1 408");
        let line = proxy.line().await;
        assert_eq!(line.flags, Flags::STREAM_IDLE_TIMEOUT);
        assert_eq!(splice::lent(), 0);
    });
}

#[test]
fn body_large_whose_client_leaves_leaves_no_pipe() {
    on_worker_thread(async {
        let (mut proxy, mut client) = before(None, |mut stream| async move {
            head(&mut stream).await;
            // It fails where the client leaves.
            let _ = reply(&mut stream, &pattern(LARGE)).await;
        })
        .await;
        client.write_all(GET).await.unwrap();
        let (_, body) = head(&mut client).await;
        while splice::lent() == 0 {
            tokio::task::yield_now().await;
        }
        drop((client, body));
        let line = proxy.line().await;
        assert_eq!(line.flags, Flags::DOWNSTREAM_CONNECTION_TERMINATION);
        assert_eq!(splice::lent(), 0);
    });
}

/// What has no length is kept as it goes on, and goes on at once.
#[test]
fn body_without_length_is_sent_again() {
    on_worker_thread(async {
        let (at, seen) = server(|request, number| async move {
            let status = if number == 1 { 503 } else { 200 };
            answer(status, request.into_body())
        })
        .await;
        let address = free_address();
        let mut forward = forward_to(&[("c", 1)]);
        forward.retry = Some(Retry {
            attempts: 2,
            on: vec!["5xx".into()],
            base_interval: Duration::from_millis(1),
            ..Retry::default()
        });
        let _proxy = Proxy::start(simple(address, forward, &[at])).await;
        for (length, status) in [(40_000, 200), (200_000, 503)] {
            seen.requests.set(0);
            let mut client = TcpStream::connect(address).await.unwrap();
            let start = b"PUT / HTTP/1.1\r\nhost: reviews\r\ntransfer-encoding: chunked\r\n\r\n";
            client.write_all(start).await.unwrap();
            let body = pattern(length);
            for part in body.chunks(10_000) {
                let line = format!("{:x}\r\n", part.len());
                client.write_all(line.as_bytes()).await.unwrap();
                client.write_all(part).await.unwrap();
                client.write_all(b"\r\n").await.unwrap();
            }
            client.write_all(b"0\r\n\r\n").await.unwrap();
            let (head, back) = message(&mut client, length).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
            assert!(back == body);
        }
    });
}

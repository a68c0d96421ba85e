//! Connections of HTTP/2 that end by GOAWAY while many streams are open on them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ::http::{Request, Response};
use aviary_mesh::cluster::UpstreamProtocol;
use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::fixture::*;

const STREAMS: usize = 64;

/// A server of the `h2` crate that ends each connection after some requests, in the middle of
/// others.
async fn restless(farewells: Rc<Cell<u32>>) -> std::net::SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    spawn_local(async move {
        for number in 0.. {
            let (stream, _) = socket.accept().await.unwrap();
            let farewells = Rc::clone(&farewells);
            spawn_local(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                let mut requests = 0;
                while let Some(request) = connection.accept().await {
                    let Ok((_, mut respond)) = request else { break };
                    requests += 1;
                    if requests == 37 + number % 50 {
                        farewells.set(farewells.get() + 1);
                        connection.graceful_shutdown();
                    }
                    spawn_local(async move {
                        tokio::time::sleep(Duration::from_millis(requests % 7)).await;
                        let reply = Response::new(());
                        let mut body = respond.send_response(reply, false).unwrap();
                        body.send_data(Bytes::from_static(b"here"), true).unwrap();
                    });
                }
            });
        }
    });
    address
}

async fn client(address: std::net::SocketAddr) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, driver) = h2::client::handshake(stream).await.unwrap();
    spawn_local(driver);
    sender
}

/// One call; `None` when the connection takes no more of them.
async fn call(sender: &h2::client::SendRequest<Bytes>) -> Option<(u16, Bytes)> {
    let request = Request::builder().uri("http://reviews/x").body(()).unwrap();
    let mut sender = sender.clone().ready().await.ok()?;
    let (response, _) = sender.send_request(request, true).ok()?;
    let response = response.await.expect("what was begun is answered");
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut came = Vec::new();
    while let Some(part) = body.data().await {
        came.extend_from_slice(&part.unwrap());
    }
    Some((status, came.into()))
}

fn plan(address: std::net::SocketAddr, at: std::net::SocketAddr) -> Plan {
    let mut shared = cluster("c");
    shared.protocol = UpstreamProtocol::Http2;
    simple(address, forward_to(&[("c", 1)]), &[]).cluster(shared, &[at])
}

#[test]
fn goaway_of_an_endpoint_at_any_moment_fails_no_request() {
    on_worker_thread(async {
        let farewells = Rc::new(Cell::new(0));
        let at = restless(Rc::clone(&farewells)).await;
        let address = free_address();
        let _proxy = Proxy::start(plan(address, at)).await;
        let sender = client(address).await;
        let tasks: Vec<_> = (0..STREAMS)
            .map(|_| {
                let sender = sender.clone();
                spawn_local(async move {
                    for _ in 0..25 {
                        let (status, body) = call(&sender).await.unwrap();
                        assert_eq!((status, body.as_ref()), (200, b"here".as_slice()));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert!(farewells.get() > 10, "{}", farewells.get());
    });
}

#[test]
fn goaway_of_a_proxy_that_drains_fails_no_request() {
    on_worker_thread(async {
        let at = restless(Rc::default()).await;
        let address = free_address();
        let proxy = Proxy::start(plan(address, at)).await;
        let sender = client(address).await;
        let answered = Rc::new(Cell::new(0));
        let tasks: Vec<_> = (0..STREAMS)
            .map(|_| {
                let (sender, answered) = (sender.clone(), Rc::clone(&answered));
                spawn_local(async move {
                    while let Some((status, body)) = call(&sender).await {
                        assert_eq!((status, body.as_ref()), (200, b"here".as_slice()));
                        answered.set(answered.get() + 1);
                    }
                })
            })
            .collect();
        while answered.get() < 1000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        proxy.drain.cancel();
        for task in tasks {
            task.await.unwrap();
        }
        drop(sender);
        proxy.ended().await;
    });
}

//! Real sockets: either side of ours against the other, and against the `h2` crate.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue};
use aviary_http::http2::Reason;
use aviary_http::{Fields, Framing, RequestHead, ResponseHead};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;

use super::{client, server};
use crate::http::body::{Error, Fill, Kept, Sink, Source, poll_move};
use crate::http::terms::Terms;
use crate::stream::Stream as Socket;

fn on_a_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())
        .unwrap();
    runtime.block_on(async {
        let ended = tokio::time::timeout(Duration::from_mins(1), test).await;
        ended.expect("the test ends");
    });
}

async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(near, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// A part of a body after which more comes.
struct Part(Bytes);

impl Source for Part {
    fn poll_fill(&mut self, _: &mut Context<'_>) -> Poll<Result<Fill, Error>> {
        Poll::Ready(Ok(Fill::Data))
    }

    fn data(&self) -> &[u8] {
        &self.0
    }

    fn consume(&mut self, count: usize) {
        bytes::Buf::advance(&mut self.0, count);
    }

    fn is_last(&self) -> bool {
        false
    }

    fn trailers(&mut self) -> Option<Fields> {
        None
    }
}

/// Answers each request with its own fields, body and trailers.
async fn serve(socket: TcpStream, terms: Terms) {
    let mut connection = server::Connection::new(Socket::new(socket), &terms);
    while poll_fn(|cx| connection.poll(cx)).await.is_none() {
        while let Some(request) = connection.take() {
            let server::Request::Whole(head, stream) = request else {
                panic!("a head is too large");
            };
            spawn_local(async move {
                // A client that left is no fault.
                let _ = echo(&head, stream).await;
                server::give(head);
            });
        }
    }
    connection.end(Reason::NO_ERROR).await;
}

async fn echo(head: &RequestHead, mut stream: server::Stream) -> Result<(), Error> {
    let mut reply = ResponseHead::new(200);
    reply.fields = head.fields.clone();
    reply.framing = Framing::Chunked;
    stream.respond(&reply, false)?;
    while poll_fn(|cx| stream.poll_fill(cx)).await? == Fill::Data {
        let mut part = Part(Bytes::copy_from_slice(stream.data()));
        stream.consume(part.0.len());
        while !part.0.is_empty() {
            poll_fn(|cx| stream.poll_send(cx, &mut part)).await?;
        }
    }
    let trailers = stream.trailers();
    stream.end(trailers.as_ref())
}

fn post(fields: &[(String, Vec<u8>)]) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method("POST");
    head.set_authority("a.test");
    head.set_path("/echo");
    head.framing = Framing::Chunked;
    for (name, value) in fields {
        head.fields.append(name.as_str(), value);
    }
    head
}

/// One request by our client; gives the reply's fields and body.
async fn ask(connection: client::Connection, head: &RequestHead, body: Bytes) -> (Fields, Vec<u8>) {
    let mut stream = client::Stream::new(connection);
    poll_fn(|cx| stream.poll_start(cx, head, false))
        .await
        .unwrap();
    let mut reply = ResponseHead::new(200);
    let (mut body, mut back) = (Kept(body), Vec::new());
    let (mut sent, mut answered) = (false, false);
    poll_fn(|cx| {
        sent = sent || poll_move(cx, &mut body, &mut stream, &mut 0).is_ready();
        if !answered {
            let head = stream.poll_head(cx, &mut reply);
            answered = head.map(Result::unwrap).is_ready();
        }
        while answered && let Poll::Ready(filled) = stream.poll_fill(cx) {
            if filled.unwrap() == Fill::End {
                return Poll::Ready(());
            }
            back.extend_from_slice(stream.data());
            let count = stream.data().len();
            stream.consume(count);
        }
        Poll::Pending
    })
    .await;
    assert!(sent && stream.is_over());
    (reply.fields, back)
}

fn body(size: usize) -> Bytes {
    let byte = |at: usize| u8::try_from(at % 251).unwrap();
    (0..size).map(byte).collect()
}

fn terms(window: u32) -> Terms {
    let mut terms = Terms::default();
    terms.http2.stream_window_bytes = Some(window);
    terms.http2.connection_window_bytes = Some(window);
    terms.streams = 7;
    terms
}

#[test]
fn bodies_of_1_mib_come_back_on_many_streams() {
    on_a_thread(async {
        for window in [65_535, 1 << 20] {
            let (near, far) = sockets().await;
            spawn_local(serve(far, terms(window)));
            let (connection, driver) = client::Connection::start(Socket::new(near));
            let driver = spawn_local(driver);
            // From here on it knows how many streams the server takes; the others wait.
            ask(connection.clone(), &post(&[]), body(1)).await;
            let asked: Vec<_> = (0..20)
                .map(|number| {
                    let connection = connection.clone();
                    spawn_local(async move {
                        let sent = body((1 << 20) - number);
                        let (_, back) = ask(connection, &post(&[]), sent.clone()).await;
                        assert!(back == sent, "{} of {}", back.len(), sent.len());
                    })
                })
                .collect();
            for asked in asked {
                asked.await.unwrap();
            }
            assert_eq!(connection.streams(), 0);
            // It ends with its last user.
            drop(connection);
            driver.await.unwrap();
        }
    });
}

#[test]
fn connection_that_the_client_drops_wakes_the_streams() {
    on_a_thread(async {
        let (near, far) = sockets().await;
        let (connection, driver) = client::Connection::start(Socket::new(near));
        let driver = spawn_local(driver);
        let mut stream = client::Stream::new(connection.clone());
        poll_fn(|cx| stream.poll_start(cx, &post(&[]), false))
            .await
            .unwrap();
        drop(far);
        let mut reply = ResponseHead::new(200);
        let lost = poll_fn(|cx| stream.poll_head(cx, &mut reply)).await;
        assert!(matches!(lost, Err(Error::Ended(_))), "{lost:?}");
        assert!(!connection.is_open());
        driver.await.unwrap();
    });
}

/// Fields as both sides take them: some again and again, some once.
fn random_fields(rng: &mut StdRng) -> Vec<(String, Vec<u8>)> {
    let count = rng.random_range(0..20);
    let field = |_| {
        let name = match rng.random_range(0..8) {
            0 => "accept-encoding".to_owned(),
            1 => "authorization".to_owned(),
            2 => "x-request-id".to_owned(),
            3 => format!("x-{}", "n".repeat(rng.random_range(1..200))),
            _ => format!("x-own-{}", rng.random_range(0..6)),
        };
        let length = match rng.random_range(0..9) {
            0 => rng.random_range(0..3000),
            1 => 0,
            _ => rng.random_range(0..20),
        };
        let mut value: Vec<u8> = (0..length).map(|_| rng.random_range(0x21..0x7f)).collect();
        match rng.random_range(0..4) {
            0 => value = b"gzip, deflate".to_vec(),
            1 => value.push(0xff),
            _ => {}
        }
        (name, value)
    };
    (0..count).map(field).collect()
}

fn sorted(fields: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all: Vec<_> = fields.collect();
    all.sort();
    all
}

fn of_map(map: &HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    sorted(map.iter().map(bytes))
}

fn of_fields(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    sorted(
        fields
            .iter()
            .map(|(name, value)| (name.to_vec(), value.to_vec())),
    )
}

/// The `h2` crate's server, with small windows, that echoes as ours does.
async fn serve_by_h2(socket: TcpStream) {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(3000)
        .header_table_size(700)
        .handshake::<_, Bytes>(socket)
        .await
        .unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        spawn_local(async move {
            let (parts, mut incoming) = request.into_parts();
            let mut response = ::http::Response::new(());
            *response.headers_mut() = parts.headers;
            let mut out = respond.send_response(response, false).unwrap();
            while let Some(piece) = incoming.data().await {
                let mut piece = piece.unwrap();
                let _ = incoming.flow_control().release_capacity(piece.len());
                while !piece.is_empty() {
                    out.reserve_capacity(piece.len());
                    let room = poll_fn(|cx| out.poll_capacity(cx)).await.unwrap().unwrap();
                    let count = room.min(piece.len());
                    out.send_data(piece.split_to(count), false).unwrap();
                }
            }
            out.send_data(Bytes::new(), true).unwrap();
        });
    }
}

#[test]
fn client_is_understood_by_the_h2_crate_and_understands_it() {
    on_a_thread(async {
        let (near, far) = sockets().await;
        spawn_local(serve_by_h2(far));
        let (connection, driver) = client::Connection::start(Socket::new(near));
        spawn_local(driver);
        let mut rng = StdRng::seed_from_u64(7541);
        for round in 0..300 {
            let head = post(&random_fields(&mut rng));
            let size = if round % 50 == 0 { 200_000 } else { 10 };
            let (fields, back) = ask(connection.clone(), &head, body(size)).await;
            assert_eq!(of_fields(&fields), of_fields(&head.fields), "{round}");
            assert!(back == body(size));
        }
    });
}

#[test]
fn server_is_understood_by_the_h2_crate_and_understands_it() {
    on_a_thread(async {
        let (near, far) = sockets().await;
        spawn_local(serve(far, Terms::default()));
        let builder = h2::client::Builder::new()
            .initial_window_size(3000)
            .header_table_size(300)
            .handshake::<_, Bytes>(near);
        let (sender, driver) = builder.await.unwrap();
        spawn_local(driver);
        let mut rng = StdRng::seed_from_u64(9113);
        for round in 0..300 {
            let mut request = ::http::Request::post("http://a.test/echo")
                .body(())
                .unwrap();
            for (name, value) in random_fields(&mut rng) {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                let value = HeaderValue::from_bytes(&value).unwrap();
                request.headers_mut().append(name, value);
            }
            let asked = of_map(request.headers());
            let mut sender = sender.clone().ready().await.unwrap();
            let (response, mut out) = sender.send_request(request, false).unwrap();
            out.send_data(Bytes::from_static(b"question"), false)
                .unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-end", HeaderValue::from(round));
            out.send_trailers(trailers.clone()).unwrap();
            let (parts, mut back) = response.await.unwrap().into_parts();
            assert_eq!(of_map(&parts.headers), asked, "{round}");
            assert_eq!(back.data().await.unwrap().unwrap(), "question");
            assert!(back.data().await.is_none());
            assert_eq!(back.trailers().await.unwrap(), Some(trailers));
        }
    });
}

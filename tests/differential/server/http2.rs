//! A connection of HTTP/2.

use std::future::poll_fn;
use std::net::TcpStream;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::task::JoinSet;

use super::{Orders, Seen, Server};
use crate::message::{Fields, text};

pub(super) fn serve(server: &Server, stream: TcpStream) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _ = runtime.block_on(talk(server, stream));
}

async fn talk(server: &Server, stream: TcpStream) -> Result<(), h2::Error> {
    let _ = stream.set_nonblocking(true);
    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else {
        return Ok(());
    };
    let mut connection = h2::server::handshake(stream).await?;
    let mut streams = JoinSet::new();
    while let Some(next) = connection.accept().await {
        let (request, respond) = next?;
        streams.spawn(answer(server.clone(), request, respond));
    }
    Ok(())
}

async fn answer(server: Server, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let is_head = request.method() == "HEAD";
    let Ok(seen) = read(server.name, request).await else {
        return;
    };
    let orders = server.take(seen);
    if orders.hang {
        let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
        return;
    }
    tokio::time::sleep(orders.slow).await;
    if orders.close {
        respond.send_reset(Reason::INTERNAL_ERROR);
    } else {
        let _ = give(server.name, orders, is_head, &mut respond);
    }
}

fn give(
    name: &str,
    orders: Orders,
    is_head: bool,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), h2::Error> {
    let body = format!("{name}\n");
    let mut response = Response::builder().status(orders.status);
    for (name, value) in orders.fields(name) {
        response = response.header(name, value);
    }
    if orders.has_body() && !orders.empty && !orders.chunked && !orders.trailers {
        response = response.header("content-length", body.len());
    }
    let response = response.body(()).expect("a proper head");
    let bodiless = is_head || orders.empty || !orders.has_body();
    let mut stream = respond.send_response(response, bodiless)?;
    if bodiless {
        return Ok(());
    }
    stream.send_data(body.into(), !orders.trailers)?;
    if orders.trailers {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-end", "1".parse().expect("a value"));
        stream.send_trailers(trailers)?;
    }
    Ok(())
}

async fn read(name: &str, request: Request<RecvStream>) -> Result<Seen, h2::Error> {
    let (head, mut stream) = request.into_parts();
    let mut headers = Fields::new();
    let uri = &head.uri;
    headers.extend(
        uri.authority()
            .map(|it| ("host".to_owned(), it.to_string())),
    );
    headers.extend(
        uri.scheme_str()
            .map(|it| (":scheme".to_owned(), it.to_owned())),
    );
    headers.extend(listed(&head.headers));
    let path = uri.path_and_query().map_or("", |it| it.as_str());
    let (body, trailers) = rest(&mut stream).await?;
    Ok(Seen {
        server: name.to_owned(),
        line: format!("{} {path} HTTP/2", head.method),
        headers,
        body: body.len(),
        trailers,
    })
}

pub(crate) fn listed(headers: &HeaderMap) -> Fields {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), text(value.as_bytes()))
    };
    headers.iter().map(field).collect()
}

/// The body and the trailers of a message.
pub(crate) async fn rest(stream: &mut RecvStream) -> Result<(Vec<u8>, Fields), h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend(data);
    }
    let trailers = stream.trailers().await?;
    Ok((body, trailers.as_ref().map(listed).unwrap_or_default()))
}

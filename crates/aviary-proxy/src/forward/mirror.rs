//! Copies of requests, whose answers nobody waits for.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use aviary_http::{Framing, RequestHead, ResponseHead};
use aviary_mesh::balance::Ask;
use aviary_mesh::circuit::Resource;
use aviary_mesh::route::Mirror;
use bytes::Bytes;

use super::body::RequestBody;
use crate::connection::Link;
use crate::http::body::{Error, Fill, Kept, Side, Source as _, poll_move};
use crate::upstream::{Lease, Upstream};

/// Sends a copy to each.
pub(super) fn send(link: &Rc<Link>, mirrors: &[&Mirror], head: &RequestHead, body: &RequestBody) {
    for mirror in mirrors {
        let name = &mirror.cluster;
        let Some(upstream) = link.worker.upstreams().get(name) else {
            continue;
        };
        let Some(body) = body.whole() else {
            tracing::debug!(cluster = %name, "body too long to mirror");
            continue;
        };
        let mut head = head.clone();
        head.framing = match body.len() {
            0 => head.framing,
            length => Framing::Length(length as u64),
        };
        if mirror.shadow_host {
            shadow(&mut head);
        }
        link.worker
            .spawn(mirrored(Rc::clone(link), upstream, head, body));
    }
}

async fn mirrored(link: Rc<Link>, upstream: Rc<Upstream>, head: RequestHead, body: Bytes) {
    let worker = &link.worker;
    let ask = Ask {
        now: worker.now(),
        ..Ask::default()
    };
    let picked = worker.random(|rng| upstream.pick(None, &ask, rng));
    let (Some(choice), Some(_permit)) = (picked, upstream.acquire(Resource::Request)) else {
        return;
    };
    upstream.on_request();
    let _active = choice.host.enter();
    let spoken = upstream.spoken(head.version());
    let Ok(mut lease) = upstream.connection(worker, &choice.host, spoken).await else {
        return;
    };
    if let Err(error) = deliver(&mut lease, &head, body).await {
        tracing::debug!(%error, "a copy was not answered");
    }
}

/// Sends the copy and takes its answer off the connection without looking at it.
async fn deliver(lease: &mut Lease, head: &RequestHead, body: Bytes) -> Result<(), Error> {
    poll_fn(|cx| lease.poll_start(cx, head, head.framing, false)).await?;
    let mut body = Kept(body);
    let mut sent = false;
    let mut answer = ResponseHead::new(200);
    poll_fn(|cx| {
        if !sent && let Poll::Ready(result) = poll_move(cx, &mut body, lease, &mut 0) {
            result.map_err(Side::into_error)?;
            sent = true;
        }
        lease.poll_head(cx, &mut answer)
    })
    .await?;
    while poll_fn(|cx| lease.poll_fill(cx)).await? == Fill::Data {
        let count = lease.data().len();
        lease.consume(count);
    }
    Ok(())
}

/// Marks the host of a copy, as Envoy does.
fn shadow(head: &mut RequestHead) {
    let host = head.authority();
    let marked = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => format!("{name}-shadow:{port}"),
        _ => format!("{host}-shadow"),
    };
    head.set_authority(&marked);
}

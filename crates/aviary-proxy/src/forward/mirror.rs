//! Copies of requests, whose answers nobody waits for.

use std::rc::Rc;

use aviary_mesh::balance::Avoid;
use aviary_mesh::circuit::Resource;
use http::Request;
use http::header::{HOST, HeaderValue};

use crate::connection::Link;
use crate::http::Body;
use crate::upstream::Upstream;

/// Sends a copy to each of the clusters named.
pub(super) fn send(link: &Rc<Link>, names: &[&str], head: &http::request::Parts, body: &Body) {
    for name in names {
        let Some(upstream) = link.worker.upstreams().get(name) else {
            continue;
        };
        let Some(body) = body.copy() else {
            tracing::debug!(cluster = %name, "body too long to mirror");
            continue;
        };
        let mut head = head.clone();
        shadow(&mut head);
        let request = Request::from_parts(head, body);
        link.worker
            .spawn(mirrored(Rc::clone(link), upstream, request));
    }
}

async fn mirrored(link: Rc<Link>, upstream: Rc<Upstream>, request: Request<Body>) {
    let worker = &link.worker;
    let picked = worker.random(|rng| upstream.pick(None, Avoid::default(), worker.now(), rng));
    let (Some(choice), Some(_permit)) = (picked, upstream.acquire(Resource::Request)) else {
        return;
    };
    upstream.on_request();
    let _active = choice.host.enter();
    let Ok(mut lease) = upstream.connection(worker, &choice.host).await else {
        return;
    };
    let answer = lease.send(request).await;
    lease.give_back(worker);
    if let Ok(response) = answer {
        // The answer is not looked at, only taken off the connection.
        drop(response.into_body().gather(usize::MAX).await);
    }
}

/// Marks the host of a copy, as Envoy does.
fn shadow(head: &mut http::request::Parts) {
    let Some(host) = head.headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return;
    };
    let marked = match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') => format!("{name}-shadow:{port}"),
        _ => format!("{host}-shadow"),
    };
    if let Ok(marked) = HeaderValue::from_str(&marked) {
        head.headers.insert(HOST, marked);
    }
}

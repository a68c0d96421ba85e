//! Keeps the node's rules and the DNS table in step with Services and `EndpointSlices`.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::context::Context;
use super::file;
use crate::dns;
use crate::network::{nft, service};

/// All `EndpointSlices`, and what tells that they or the Services changed.
pub(super) struct Slices {
    store: Store<EndpointSlice>,
    changed: Arc<Notify>,
}

impl Slices {
    /// Where they are found.
    pub(super) fn store(&self) -> Store<EndpointSlice> {
        self.store.clone()
    }
}

/// How long after a failed attempt the rules are tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Follows all Services and `EndpointSlices`.
pub(super) fn watch(client: &kube::Client, tasks: &mut JoinSet<()>) -> (Store<Service>, Slices) {
    let changed = Arc::new(Notify::new());
    let services = follow::<Service>(client, &changed, tasks);
    let slices = follow::<EndpointSlice>(client, &changed, tasks);
    (
        services,
        Slices {
            store: slices,
            changed,
        },
    )
}

fn follow<K>(client: &kube::Client, changed: &Arc<Notify>, tasks: &mut JoinSet<()>) -> Store<K>
where
    K: kube::Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = reflector::store::<K>();
    let stream = watcher(Api::<K>::all(client.clone()), watcher::Config::default());
    let stream = reflector::reflector(writer, stream.default_backoff());
    let changed = Arc::clone(changed);
    tasks.spawn(async move {
        stream
            .for_each(|event| {
                match event {
                    Ok(_) => changed.notify_one(),
                    Err(error) => tracing::warn!(%error, "cannot watch Services; trying again"),
                }
                ready(())
            })
            .await;
    });
    reader
}

/// Applies every change, for ever. Does nothing before both lists are complete: half a list would cut connections.
pub(super) async fn apply(context: Arc<Context>, services: Store<Service>, slices: Slices) {
    let ready = (
        services.wait_until_ready().await,
        slices.store.wait_until_ready().await,
    );
    if ready.0.is_err() || ready.1.is_err() {
        return;
    }
    let mut rules = None;
    let mut table = None;
    loop {
        let (services, slices_now) = (services.state(), slices.store.state());
        let slice_refs: Vec<&EndpointSlice> = slices_now.iter().map(AsRef::as_ref).collect();
        let ports = service::ports(services.iter().map(AsRef::as_ref), &slice_refs);
        let fresh_table = dns::table::table(services.iter().map(AsRef::as_ref), &slice_refs);
        let mut complete = true;
        if table.as_ref() != Some(&fresh_table) {
            match write_table(&context, &fresh_table) {
                Ok(()) => table = Some(fresh_table),
                Err(error) => {
                    tracing::error!(%error, "cannot write the DNS table");
                    complete = false;
                }
            }
        }
        if rules.as_ref() != Some(&ports) {
            let text = service::rules(&ports);
            let done = tokio::task::spawn_blocking(move || nft::apply("Services", &text)).await;
            match done {
                Ok(Ok(())) => rules = Some(ports),
                Ok(Err(error)) => {
                    tracing::error!(%error, "cannot apply the rules of Services");
                    complete = false;
                }
                Err(_) => return,
            }
        }
        tokio::select! {
            () = slices.changed.notified() => {}
            () = tokio::time::sleep(RETRY), if !complete => {}
        }
    }
}

fn write_table(context: &Context, table: &dns::table::Table) -> std::io::Result<()> {
    let text = serde_json::to_vec(table)?;
    file::replace(&dns::file(&context.home), &text)
}

//! From objects to configurations: watches feed a snapshot, changes of it are published.

mod publish;
mod watch;
mod world;

use aviary_translate::Kind;
use kube::Client;
use tokio::{sync::mpsc, sync::watch as channel, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub(crate) use publish::Publisher;
pub(crate) use watch::resource;
pub(crate) use world::Change;
use world::World;
pub(crate) use world::{Leaving, Objects};

/// Events waiting to be applied. A watch that is faster than that waits; a burst of a whole
/// rollout fits.
const WAITING: usize = 1024;

/// Follows the objects until `stop`, publishing each change at once; changes that come meanwhile
/// are taken together.
pub(crate) async fn run(
    client: Client,
    publisher: &Publisher,
    objects: &channel::Sender<Objects>,
    stop: &CancellationToken,
) {
    let (sender, mut events) = mpsc::channel(WAITING);
    let mut watches = JoinSet::new();
    for kind in Kind::ALL {
        watches.spawn(watch::run(
            client.clone(),
            kind,
            sender.clone(),
            stop.clone(),
        ));
    }
    drop(sender);
    let mut world = World::default();
    let mut version = 0;
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => break,
            event = events.recv() => event,
        };
        let Some(event) = event else { break };
        let mut change = world.apply(event);
        while let Ok(event) = events.try_recv() {
            change = change.max(world.apply(event));
        }
        if !world.is_complete() {
            continue;
        }
        if change >= Change::Endpoints || !publisher.is_ready() {
            let snapshot = world.settled();
            version = publisher.publish(&snapshot, change);
        }
        world.published(version);
        if change > Change::Nothing {
            objects.send_replace(world.objects());
        }
    }
    watches.shutdown().await;
}

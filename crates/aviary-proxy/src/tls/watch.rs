//! Reading certificates again when their files change.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// Files are looked at this often.
const PERIOD: Duration = Duration::from_secs(2);

/// Publishes the configuration again whenever files of its certificates changed, until nobody
/// listens any more.
pub(crate) async fn watch_files(publish: watch::Sender<Option<Arc<Snapshot>>>) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = publish.closed() => return,
        }
        let current = publish.borrow().clone();
        let Some(current) = current.filter(|it| it.tls().files_changed()) else {
            continue;
        };
        tracing::info!("certificates changed on disk");
        let renewed = Arc::new(Snapshot::new(Arc::clone(current.mesh()), Some(&current)));
        publish.send_if_modified(|published| {
            // A newer configuration has read the files itself.
            let same = published
                .as_ref()
                .is_some_and(|it| Arc::ptr_eq(it, &current));
            if same {
                *published = Some(renewed);
            }
            same
        });
    }
}

//! Which proxy has confirmed what.

use std::collections::{BTreeMap, HashMap};

use aviary_translate::ProxyKey;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The proxies that are connected.
#[derive(Debug, Default)]
pub(crate) struct Proxies {
    inner: Mutex<Inner>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u64,
    connected: BTreeMap<u64, Proxy>,
}

#[derive(Debug)]
struct Proxy {
    node: String,
    key: ProxyKey,
    /// Version of the configuration that it confirmed last.
    acked: u64,
    refusal: Option<String>,
}

/// How far the proxies are with a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Proxies that confirmed it, or whom it does not concern.
    pub(crate) acked: usize,
    /// Proxies that are connected.
    pub(crate) total: usize,
    /// What the others say who refused.
    pub(crate) refusals: Vec<String>,
}

/// A place in [`Proxies`], given back on drop.
pub(super) struct Place<'a> {
    proxies: &'a Proxies,
    id: u64,
}

impl Proxies {
    /// Wakes at every change.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Notes a proxy that connected.
    pub(super) fn enter(&self, node: String, key: ProxyKey) -> Place<'_> {
        let mut inner = self.inner.lock();
        inner.last += 1;
        let id = inner.last;
        inner.connected.insert(
            id,
            Proxy {
                node,
                key,
                acked: 0,
                refusal: None,
            },
        );
        drop(inner);
        self.changes.send_replace(());
        Place { proxies: self, id }
    }

    /// How far the proxies are with `version`, given the newest version of each kind of proxy.
    pub(crate) fn progress(&self, version: u64, current: &HashMap<ProxyKey, u64>) -> Progress {
        let inner = self.inner.lock();
        let mut progress = Progress {
            acked: 0,
            total: inner.connected.len(),
            refusals: Vec::new(),
        };
        for proxy in inner.connected.values() {
            // A kind of proxy whose configuration a version leaves as it is has no such version;
            // having confirmed the newest one is enough.
            let newest = current
                .get(&proxy.key)
                .is_some_and(|newest| proxy.acked >= *newest);
            let known = proxy.acked >= version && version > 0;
            if newest || known {
                progress.acked += 1;
            } else if let Some(refusal) = &proxy.refusal {
                progress.refusals.push(format!("{}: {refusal}", proxy.node));
            }
        }
        progress
    }
}

impl Place<'_> {
    /// Notes what the proxy confirmed, and what it refused last.
    pub(super) fn report(&self, acked: u64, refusal: Option<String>) {
        let mut inner = self.proxies.inner.lock();
        let Some(proxy) = inner.connected.get_mut(&self.id) else {
            return;
        };
        if proxy.acked == acked && proxy.refusal == refusal {
            return;
        }
        proxy.acked = acked;
        proxy.refusal = refusal;
        drop(inner);
        self.proxies.changes.send_replace(());
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.proxies.inner.lock().connected.remove(&self.id);
        self.proxies.changes.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use aviary_translate::ProxyKind;

    use super::*;

    fn key(namespace: &str) -> ProxyKey {
        ProxyKey {
            kind: ProxyKind::Sidecar,
            namespace: namespace.to_owned(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn proxy_counts_when_it_confirmed_or_is_not_concerned() {
        let proxies = Proxies::default();
        let (one, two) = (
            proxies.enter("1".into(), key("a")),
            proxies.enter("2".into(), key("b")),
        );
        let current = HashMap::from([(key("a"), 7), (key("b"), 3)]);
        one.report(6, None);
        two.report(3, None);
        let progress = |version| proxies.progress(version, &current);
        assert_eq!(
            progress(7),
            Progress {
                acked: 1,
                total: 2,
                refusals: vec![]
            }
        );
        assert_eq!(
            progress(6),
            Progress {
                acked: 2,
                total: 2,
                refusals: vec![]
            }
        );
        one.report(6, Some("no".into()));
        assert_eq!(progress(7).refusals, ["1: no"]);
        drop(one);
        assert_eq!(
            progress(7),
            Progress {
                acked: 1,
                total: 1,
                refusals: vec![]
            }
        );
    }
}

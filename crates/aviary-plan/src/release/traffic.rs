//! The overlay: what is written, and who acknowledged it.

use aviary_api::release::{
    MIRRORED_METHODS, Matched, Mirrored, Overlay, ProxyCount, Role, Share, Stage, WHOLE, parts,
};

use super::{Proxy, Run};
use crate::object;

impl Run<'_> {
    /// Everything to one side; the other stands in for it only where `fallback` says so.
    pub(super) fn give_all(&mut self, role: Role, fallback: bool) {
        let stage = Stage {
            parts: if role == Role::New { WHOLE } else { 0 },
            matches: &[],
            mirror: None,
            duration: None,
            approval: false,
        };
        let overlay = self.compose(&stage, fallback.then(|| self.label(role.other())));
        self.put(overlay);
    }

    /// The split of a step, where stable stands in for a new version without endpoints.
    pub(super) fn give_stage(&mut self, stage: &Stage<'_>) {
        let fallback = Some(self.label(Role::Stable));
        let overlay = self.compose(stage, fallback);
        self.put(overlay);
    }

    /// Whether the overlay already is that of one side alone.
    pub(super) fn has_all(&self, role: Role) -> bool {
        let label = self.label(role);
        self.overlay().is_some_and(|overlay| {
            overlay.parts_of(&label) == WHOLE && !overlay.reaches(&self.label(role.other()))
        })
    }

    fn compose(&self, stage: &Stage<'_>, fallback: Option<String>) -> Overlay {
        let (stable, new) = (self.label(Role::Stable), self.label(Role::New));
        let share = |version: &str, parts| Share {
            version: version.to_owned(),
            parts,
        };
        Overlay {
            revision: 0,
            // The new version comes first: see `Overlay::version_of`.
            shares: vec![
                share(&new, stage.parts),
                share(&stable, WHOLE - stage.parts),
            ],
            matched: (!stage.matches.is_empty()).then(|| Matched {
                version: new.clone(),
                matches: stage.matches.to_vec(),
            }),
            mirror: stage.mirror.map(|mirror| Mirrored {
                version: new,
                parts: parts(mirror.percentage.unwrap_or(100.0)),
                methods: if mirror.methods.is_empty() {
                    MIRRORED_METHODS.map(str::to_owned).to_vec()
                } else {
                    mirror.methods.clone()
                },
            }),
            fallback,
            affinity: self.spec.affinity.clone(),
            salt: object::uid(&self.release.metadata).to_owned(),
        }
    }

    /// The same split under another revision, so that every proxy has to speak again.
    pub(super) fn renew(&mut self) {
        let before = self.release.status.as_ref();
        let before = before.and_then(|status| status.overlay.as_ref());
        let last = before.map_or(0, |overlay| overlay.revision);
        if let Some(overlay) = &mut self.status.overlay {
            overlay.revision = last + 1;
        }
    }

    fn put(&mut self, overlay: Overlay) {
        debug_assert!(overlay.is_whole(), "shares sum to the whole");
        let before = self.overlay();
        if before.is_some_and(|before| before.same_split(&overlay)) {
            return;
        }
        let revision = before.map_or(0, |before| before.revision) + 1;
        self.status.overlay = Some(Overlay {
            revision,
            ..overlay
        });
    }

    /// Proxies that acknowledged the overlay, of all.
    pub(super) fn acknowledgements(&self) -> ProxyCount {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let all = self.view.proxies.as_deref().unwrap_or_default();
        ProxyCount {
            acked: count(all.len() - self.silent().len()),
            total: count(all.len()),
        }
    }

    /// Names of proxies that have not acknowledged the overlay.
    fn silent(&self) -> Vec<&str> {
        let revision = self.overlay().map_or(0, |overlay| overlay.revision);
        let all = self.view.proxies.iter().flatten();
        all.filter(|proxy| proxy.acked.is_none_or(|acked| acked < revision))
            .map(|proxy| proxy.name.as_str())
            .collect()
    }

    /// Whether the overlay is live in every proxy; says who is missing if not.
    pub(super) fn is_live(&mut self) -> bool {
        if self.view.proxies.is_none() {
            self.plan.wait("the list of live proxies");
            return false;
        }
        let silent = self.silent().join(", ");
        if silent.is_empty() {
            return true;
        }
        let ProxyCount { acked, total } = self.acknowledgements();
        self.plan.wait(format!(
            "{acked} of {total} proxies acknowledged; missing: {silent}"
        ));
        false
    }

    /// Fewest ready endpoints of a side that any proxy knows of; 0 without proxies to ask.
    pub(super) fn endpoints(&self, role: Role) -> u32 {
        let label = self.label(role);
        let all = self.view.proxies.iter().flatten();
        all.map(|proxy| proxy.endpoints.get(&label).copied().unwrap_or(0))
            .min()
            .unwrap_or(0)
    }

    /// Whether there are proxies, and none of them knows a ready endpoint of a side.
    pub(super) fn is_unreachable(&self, role: Role) -> bool {
        let label = self.label(role);
        let all = self.view.proxies.as_deref().unwrap_or_default();
        let reaches = |proxy: &Proxy| proxy.endpoints.get(&label).is_some_and(|known| *known > 0);
        !all.is_empty() && !all.iter().any(reaches)
    }

    /// Whether every proxy knows `needed` ready endpoints of a side; says what is missing if not.
    pub(super) fn is_ready(&mut self, role: Role, needed: u32) -> bool {
        let known = self.endpoints(role);
        if known >= needed {
            return true;
        }
        let label = self.label(role);
        self.plan.wait(format!(
            "{needed} ready endpoints of {label} in every proxy; the least is {known}"
        ));
        false
    }

    /// Open streams to a side, counted after `revision` was in force; `None` if a proxy is missing.
    pub(super) fn open_streams(&self, role: Role, revision: u64) -> Option<u64> {
        let label = self.label(role);
        let all = self.view.proxies.as_ref()?;
        all.iter()
            .map(|proxy| {
                let streams = proxy.streams.as_ref()?;
                (streams.revision >= revision)
                    .then(|| streams.open.get(&label).copied().unwrap_or(0))
            })
            .sum()
    }
}

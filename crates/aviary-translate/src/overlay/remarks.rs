//! What is wrong with overlays, whatever proxy they are for.

use aviary_api::{release::VERSION_LABEL, selector};

use super::Guard;
use crate::{
    Diagnostic, Severity, Snapshot,
    diagnostic::{FIXED_POD, NOT_WHOLE, SECOND_RELEASE, UNGUARDED_SERVICE, VERSION_WITHOUT_PODS},
    service::Service,
};

/// All remarks on Releases, in a stable order.
pub(crate) fn analyze(snapshot: &Snapshot) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for guard in snapshot.releases.values() {
        let mut add = |code, severity, path: &str, message: String| {
            found.push(Diagnostic {
                code,
                severity,
                kind: "Release",
                object: guard.key.clone(),
                path: path.to_owned(),
                message,
            });
        };
        let Some(service) = snapshot.service_of_host(&guard.host) else {
            let message = format!("there is no Service `{}`; create it", guard.host);
            add(UNGUARDED_SERVICE, Severity::Error, "spec.service", message);
            continue;
        };
        let oldest = snapshot.guards_of(&guard.host).first().map(|it| &it.key);
        if let Some(oldest) = oldest.filter(|oldest| **oldest != guard.key) {
            let message = format!(
                "`{}` is guarded by the older Release `{oldest}`; end that one first",
                guard.host
            );
            add(SECOND_RELEASE, Severity::Error, "spec.service", message);
            continue;
        }
        if !guard.overlay.is_whole() {
            let message = "the shares do not sum to 1,000,000; traffic goes as without the Release";
            let path = "status.overlay.shares";
            add(NOT_WHOLE, Severity::Error, path, message.to_owned());
            continue;
        }
        if service.addresses.is_empty() {
            let message = "the Service is headless: callers in the mesh choose a pod themselves, so their requests are not shared among versions";
            add(
                FIXED_POD,
                Severity::Warning,
                "spec.service",
                message.to_owned(),
            );
        }
        for version in without_pods(snapshot, service, guard) {
            let message = format!(
                "no pod of `{}` has the label `version: {version}`",
                guard.host
            );
            add(
                VERSION_WITHOUT_PODS,
                Severity::Warning,
                "status.overlay",
                message,
            );
        }
    }
    found
}

/// Versions that requests may go to and that have no pods.
fn without_pods<'a>(snapshot: &Snapshot, service: &Service, guard: &'a Guard) -> Vec<&'a str> {
    let has_pod = |version: &str| {
        snapshot.pods.iter().any(|(key, pod)| {
            key.namespace == service.key.namespace
                && selector::matches(&service.selector, &pod.labels)
                && pod
                    .labels
                    .get(VERSION_LABEL)
                    .is_some_and(|it| it == version)
        })
    };
    let versions = guard.versions().into_iter();
    versions
        .filter(|version| guard.overlay.reaches(version) && !has_pod(version))
        .collect()
}

//! The clusters of versions.

use aviary_api::{destination_rule::Subset, release::VERSION_LABEL, selector::Labels};

use super::Guard;
use crate::{
    cluster,
    destination_rule::{self, Rule},
    virtual_service::Scope,
};

/// A version of a Service as a subset of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct VersionCluster<'a> {
    /// Its name has a `=`, which no user's subset can have.
    pub(crate) subset: Subset,
    /// The version that stands in while this one has no ready endpoint.
    pub(crate) fallback: Option<&'a str>,
}

/// The name of the cluster that gets copies. It has no fallback: a copy must not reach a version
/// that serves already.
pub(crate) struct Copied<'a>(pub(crate) &'a str);

impl std::fmt::Display for Copied<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "copies={}", self.0)
    }
}

/// Whether labels choose exactly the pods of a version.
pub(crate) fn exactly(labels: &Labels, version: &str) -> bool {
    labels.len() == 1 && labels.get(VERSION_LABEL).is_some_and(|it| it == version)
}

/// The labels that choose the pods of a version.
pub(crate) fn labels(version: &str) -> Labels {
    Labels::from([(VERSION_LABEL.to_owned(), version.to_owned())])
}

/// Name of the subset for a version; `own` is the user's subset whose policy it has.
fn subset_name(version: &str, own: Option<&str>) -> String {
    match own {
        None => format!("version={version}"),
        Some(own) => format!("version={version},subset={own}"),
    }
}

/// The user's subset whose policy a version has: the one that the destination names, when it is
/// of exactly that version and has a policy.
pub(super) fn own_policy<'a>(
    scope: &Scope<'a>,
    guard: &Guard,
    subset: &str,
    version: &str,
) -> Option<&'a str> {
    let service = scope.snapshot.service_of_host(&guard.host)?;
    let rule = destination_rule::find(scope.snapshot, &scope.proxy.namespace, service)?;
    let own = rule.subsets.into_iter().find(|own| own.name == subset)?;
    (own.traffic_policy.is_some() && exactly(&own.labels, version)).then_some(own.name.as_str())
}

/// Name of the subset that takes the place of `subset` where a version answers.
pub(super) fn name(scope: &Scope<'_>, guard: &Guard, subset: &str, version: &str) -> String {
    subset_name(version, own_policy(scope, guard, subset, version))
}

/// The versions of a guarded Service, those without traffic as well: their clusters are there
/// before a route needs them.
pub(crate) fn clusters<'a>(guard: &'a Guard, rule: &Rule<'_>) -> Vec<VersionCluster<'a>> {
    let overlay = &guard.overlay;
    let mut found = Vec::new();
    for version in guard.versions() {
        let fallback = overlay.fallback.as_deref();
        let fallback = fallback.filter(|fallback| *fallback != version);
        let declared = rule
            .subsets
            .iter()
            .filter(|own| own.traffic_policy.is_some() && exactly(&own.labels, version));
        let own = declared.map(|own| (Some(own.name.as_str()), own.traffic_policy.clone()));
        for (own, traffic_policy) in std::iter::once((None, None)).chain(own) {
            let subset = Subset {
                name: subset_name(version, own),
                labels: labels(version),
                traffic_policy,
            };
            found.push(VersionCluster { subset, fallback });
        }
    }
    if let Some(mirror) = &overlay.mirror {
        let subset = Subset {
            name: Copied(&mirror.version).to_string(),
            labels: labels(&mirror.version),
            traffic_policy: None,
        };
        let fallback = None;
        found.push(VersionCluster { subset, fallback });
    }
    found
}

/// The cluster of copies for a version.
pub(super) fn copies(port: u16, version: &str, host: &str) -> String {
    cluster::outbound_name(port, &Copied(version).to_string(), host)
}

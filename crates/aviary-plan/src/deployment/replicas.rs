//! The arithmetic of sizes: surge, unavailability, proportions.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DeploymentSpec, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::object::annotation;

pub(super) const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Pods the set is asked to have.
pub(super) fn wanted(set: &ReplicaSet) -> i32 {
    set.spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1)
}

/// Pods the set reported.
pub(super) fn actual(set: &ReplicaSet) -> i32 {
    set.status.as_ref().map_or(0, |status| status.replicas)
}

/// Available pods the set reported.
pub(super) fn available(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.available_replicas)
        .unwrap_or(0)
}

/// Available pods that stay when the set has come down to its wanted size. The report may be from
/// before the set was told to shrink, and its surplus pods are as good as gone.
pub(super) fn lasting(set: &ReplicaSet) -> i32 {
    available(set).min(wanted(set))
}

/// Ready pods the set reported.
pub(super) fn ready(set: &ReplicaSet) -> i32 {
    set.status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0)
}

/// How many pods may exist beyond the desired number.
pub(super) fn max_surge(spec: &DeploymentSpec) -> i32 {
    fenceposts(spec).0
}

/// How many of the desired pods may be unavailable.
pub(super) fn max_unavailable(spec: &DeploymentSpec) -> i32 {
    let desired = spec.replicas.unwrap_or(1);
    if desired == 0 {
        0
    } else {
        fenceposts(spec).1.min(desired)
    }
}

/// (surge, unavailable) of a rolling update in pods; both 0 for other strategies.
fn fenceposts(spec: &DeploymentSpec) -> (i32, i32) {
    let strategy = spec.strategy.as_ref();
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        return (0, 0);
    }
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let quarter = IntOrString::String("25%".to_owned());
    let desired = spec.replicas.unwrap_or(1);
    let surge = rolling
        .and_then(|rolling| rolling.max_surge.as_ref())
        .unwrap_or(&quarter);
    let unavailable = rolling
        .and_then(|rolling| rolling.max_unavailable.as_ref())
        .unwrap_or(&quarter);
    let surge = share(surge, desired, true);
    let unavailable = share(unavailable, desired, false);
    // With both at 0 nothing could ever move.
    if surge == 0 && unavailable == 0 {
        (0, 1)
    } else {
        (surge, unavailable)
    }
}

/// A number of pods, given as such or as percentage of `total`; 0 if it cannot be read.
fn share(value: &IntOrString, total: i32, round_up: bool) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(text) => {
            let percent: i32 = text
                .strip_suffix('%')
                .and_then(|number| number.parse().ok())
                .unwrap_or(0);
            let product = i64::from(percent) * i64::from(total);
            let pods = if round_up {
                (product + 99) / 100
            } else {
                product / 100
            };
            i32::try_from(pods).unwrap_or(i32::MAX)
        }
    }
}

/// Writes the Deployment's sizes into the set's annotations; true if that changed them.
pub(super) fn annotate_sizes(set: &mut ReplicaSet, desired: i32, most: i32) -> bool {
    let annotations = set.metadata.annotations.get_or_insert_with(BTreeMap::new);
    let mut changed = false;
    for (key, value) in [(DESIRED_REPLICAS, desired), (MAX_REPLICAS, most)] {
        let value = value.to_string();
        if annotations.get(key) != Some(&value) {
            annotations.insert(key.to_owned(), value);
            changed = true;
        }
    }
    changed
}

/// The Deployment's desired size when the set was last resized.
pub(super) fn annotated_desired(set: &ReplicaSet) -> Option<i32> {
    annotation(&set.metadata, DESIRED_REPLICAS)?.parse().ok()
}

/// How many of `to_add` pods (negative: to remove) the set gets, `added` being given out already.
pub(super) fn proportion(
    set: &ReplicaSet,
    spec: &DeploymentSpec,
    reported: i32,
    to_add: i32,
    added: i32,
) -> i32 {
    if wanted(set) == 0 || to_add == 0 || to_add == added {
        return 0;
    }
    let fraction = fraction(set, spec, reported);
    let allowed = to_add - added;
    if to_add > 0 {
        fraction.min(allowed)
    } else {
        fraction.max(allowed)
    }
}

/// Change of size that keeps the set's share of the whole.
fn fraction(set: &ReplicaSet, spec: &DeploymentSpec, reported: i32) -> i32 {
    let desired = spec.replicas.unwrap_or(1);
    if desired == 0 {
        return -wanted(set);
    }
    let before = annotation(&set.metadata, MAX_REPLICAS)
        .and_then(|text| text.parse::<i32>().ok())
        .filter(|most| *most > 0)
        .unwrap_or(reported);
    if before == 0 {
        return 0;
    }
    let most = i64::from(desired + max_surge(spec));
    let (before, size) = (i64::from(before), i64::from(wanted(set)));
    // Halves round away from zero; all terms are positive here.
    let scaled = (2 * size * most + before) / (2 * before);
    i32::try_from(scaled).unwrap_or(i32::MAX) - wanted(set)
}

//! Rules of `Release`.

use std::collections::BTreeSet;

use super::{Findings, virtual_service};
use crate::release::{
    Affinity, Analysis, Bound, Canary, Control, Limits, Mirror, NewVersion, Pause, Release,
    ReleaseSpec, Strategy,
};

/// Most steps of a plan.
const STEPS_MAX: usize = 100;

/// Adds what is wrong with the specification.
pub(super) fn check(object: &Release, found: &mut Findings) {
    let spec = &object.spec;
    check_name("spec.service", &spec.service, found);
    if let Some(stable) = &spec.stable {
        check_version("spec.stable", stable, found);
        if *stable == spec.new.version {
            found.add(
                "spec.stable",
                format!("`{stable}` is the new version, too; name two versions"),
            );
        }
    }
    check_new("spec.new", &spec.new, found);
    check_strategy("spec.strategy", &spec.strategy, found);
    if let Some(affinity) = &spec.affinity {
        check_affinity("spec.affinity", affinity, found);
    }
    if let Some(analysis) = &spec.analysis {
        check_analysis("spec.analysis", analysis, found);
    }
    check_limits("spec.limits", &spec.limits, found);
    check_control("spec.control", spec, &spec.control, found);
}

fn check_name(path: &str, name: &str, found: &mut Findings) {
    if name.is_empty() {
        found.add(path, "is missing; name a Service");
    } else if !super::is_label(name) {
        found.add(path, format!("`{name}` is not the name of a Service"));
    }
}

/// A version is a label's value and ends the name of a derived Deployment.
/// Source: Kubernetes label values, and the names of objects (RFC 1123 subdomains).
fn check_version(path: &str, version: &str, found: &mut Findings) {
    let edge = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let bytes = version.as_bytes();
    let inner =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(byte);
    if bytes.is_empty() {
        found.add(path, "is missing; give the `version` label of the pods");
    } else if bytes.len() > 63
        || !edge(bytes.first())
        || !edge(bytes.last())
        || !bytes.iter().all(inner)
    {
        found.add(
            path,
            format!("`{version}` is not a version; use up to 63 of a-z, 0-9, `-` and `.`"),
        );
    }
}

fn check_new(path: &str, new: &NewVersion, found: &mut Findings) {
    check_version(&format!("{path}.version"), &new.version, found);
    if new.image.as_deref() == Some("") {
        found.add(
            format!("{path}.image"),
            "is empty; name an image or remove it",
        );
    }
    if !new.is_derived() {
        if !new.env.is_empty() {
            found.add(
                format!("{path}.env"),
                "has an effect only with `image`; change the Deployment itself",
            );
        }
        if new.container.is_some() {
            found.add(
                format!("{path}.container"),
                "has an effect only with `image`",
            );
        }
    }
    let mut seen = BTreeSet::new();
    for (i, variable) in new.env.iter().enumerate() {
        let path = format!("{path}.env[{i}].name");
        if variable.name.is_empty() || variable.name.contains('=') {
            found.add(
                &path,
                format!("`{}` is not a variable's name", variable.name),
            );
        }
        if !seen.insert(&variable.name) {
            found.add(
                &path,
                format!("`{}` is here twice; remove one", variable.name),
            );
        }
    }
    if new.replicas == Some(0) {
        found.add(
            format!("{path}.replicas"),
            "is 0; a version needs at least 1 pod",
        );
    }
}

fn check_strategy(path: &str, strategy: &Strategy, found: &mut Findings) {
    let set = [
        (strategy.canary.is_some(), "canary"),
        (strategy.blue_green.is_some(), "blueGreen"),
        (strategy.mirror.is_some(), "mirror"),
    ];
    let set: Vec<&str> = set.iter().filter(|it| it.0).map(|it| it.1).collect();
    match set.as_slice() {
        [_] => {}
        [] => found.add(path, "is empty; set `canary`, `blueGreen` or `mirror`"),
        several => found.add(path, format!("has {}; keep one", several.join(" and "))),
    }
    if let Some(canary) = &strategy.canary {
        check_canary(&format!("{path}.canary"), canary, found);
    }
    if let Some(blue_green) = &strategy.blue_green {
        if let Some(pause) = &blue_green.pause {
            check_pause(&format!("{path}.blueGreen.pause"), pause, found);
        }
        let keep = blue_green.keep_old.as_deref();
        found.duration(&format!("{path}.blueGreen.keepOld"), keep, true);
    }
    if let Some(mirror) = &strategy.mirror {
        check_mirror(&format!("{path}.mirror"), mirror, found);
    }
}

fn check_canary(path: &str, canary: &Canary, found: &mut Findings) {
    let steps = format!("{path}.steps");
    if canary.steps.is_empty() && canary.matches.is_empty() {
        found.add(&steps, "is empty; add steps, or `matches`");
    }
    if canary.steps.len() > STEPS_MAX {
        found.add(&steps, format!("has more than {STEPS_MAX} steps"));
    }
    let mut before = 0.0;
    for (i, step) in canary.steps.iter().enumerate() {
        let path = format!("{steps}[{i}]");
        let weight = format!("{path}.weight");
        found.percent(&weight, step.weight);
        let parts = step.weight * 10_000.0;
        if (parts - parts.round()).abs() > 1e-6 {
            found.add(
                &weight,
                format!("{} is finer than 0.0001 percent", step.weight),
            );
        }
        if step.weight < before {
            found.add(
                &weight,
                format!(
                    "{} is less than the step before; use `jumpTo` to go back",
                    step.weight
                ),
            );
        }
        before = step.weight;
        if let Some(pause) = &step.pause {
            check_pause(&format!("{path}.pause"), pause, found);
        }
    }
    for (i, matches) in canary.matches.iter().enumerate() {
        virtual_service::check_match(&format!("{path}.matches[{i}]"), matches, found);
    }
}

fn check_pause(path: &str, pause: &Pause, found: &mut Findings) {
    if pause.duration.is_none() && !pause.approval {
        found.add(path, "is empty; set `duration` or `approval`, or remove it");
    }
    found.duration(
        &format!("{path}.duration"),
        pause.duration.as_deref(),
        false,
    );
}

fn check_mirror(path: &str, mirror: &Mirror, found: &mut Findings) {
    if let Some(percentage) = mirror.percentage {
        let path = format!("{path}.percentage");
        found.percent(&path, percentage);
        if percentage == 0.0 {
            found.add(&path, "is 0; copy something, or remove it");
        }
    }
    for (i, method) in mirror.methods.iter().enumerate() {
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            found.add(
                format!("{path}.methods[{i}]"),
                format!("`{method}` is not a method; write it as `GET`"),
            );
        }
    }
    found.duration(
        &format!("{path}.duration"),
        mirror.duration.as_deref(),
        true,
    );
}

fn check_affinity(path: &str, affinity: &Affinity, found: &mut Findings) {
    let set = [&affinity.header, &affinity.cookie];
    match set.iter().filter(|it| it.is_some()).count() {
        0 => found.add(path, "is empty; set `header` or `cookie`"),
        1 => {}
        _ => found.add(path, "has `header` and `cookie`; keep one"),
    }
    for (name, value) in [("header", &affinity.header), ("cookie", &affinity.cookie)] {
        if let Some(value) = value
            && !virtual_service::is_header_name(value)
        {
            found.add(
                format!("{path}.{name}"),
                format!("`{value}` is not a {name}'s name"),
            );
        }
    }
}

fn check_analysis(path: &str, analysis: &Analysis, found: &mut Findings) {
    found.duration(&format!("{path}.window"), analysis.window.as_deref(), false);
    let mut seen = BTreeSet::new();
    for (i, check) in analysis.checks.iter().enumerate() {
        let path = format!("{path}.checks[{i}]");
        if check.name.is_empty() {
            found.add(format!("{path}.name"), "is missing");
        } else if !seen.insert(&check.name) {
            found.add(
                format!("{path}.name"),
                format!("`{}` is here twice; rename one", check.name),
            );
        }
        check_bound(&format!("{path}.bound"), check.bound, found);
    }
}

fn check_bound(path: &str, bound: Bound, found: &mut Findings) {
    if bound == Bound::default() {
        found.add(path, "is empty; set `min`, `max` or `worseThanStable`");
    }
    if let (Some(min), Some(max)) = (bound.min, bound.max)
        && min > max
    {
        found.add(path, format!("`min` {min} is above `max` {max}"));
    }
    if bound.worse_than_stable.is_some_and(|percent| percent < 0.0) {
        found.add(
            format!("{path}.worseThanStable"),
            "is negative; use 0 or more",
        );
    }
}

fn check_limits(path: &str, limits: &Limits, found: &mut Findings) {
    for (name, value) in [
        ("ackDeadline", &limits.ack_deadline),
        ("drainDeadline", &limits.drain_deadline),
        ("readyDeadline", &limits.ready_deadline),
    ] {
        found.duration(&format!("{path}.{name}"), value.as_deref(), false);
    }
}

fn check_control(path: &str, spec: &ReleaseSpec, control: &Control, found: &mut Findings) {
    if control.attempt == Some(0) {
        found.add(format!("{path}.attempt"), "is 0; attempts count from 1");
    }
    let steps = spec.strategy.step_count();
    for (name, step) in [
        ("approvedStep", control.approved_step),
        ("jumpTo", control.jump_to),
    ] {
        if let Some(step) = step
            && !(1..=steps).contains(&step)
        {
            found.add(
                format!("{path}.{name}"),
                format!("{step} is not a step; the plan has 1 to {steps}"),
            );
        }
    }
    if control.aborted && control.take_over.is_some() {
        found.add(
            format!("{path}.takeOver"),
            "cannot stand beside `aborted`; remove one",
        );
    }
}

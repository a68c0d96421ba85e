use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};

use super::*;
use crate::schema;

/// Progress with every field set.
fn full_progress(at: Option<&MicroTime>) -> Progress {
    Progress {
        since: at.cloned(),
        pinned_at: at.cloned(),
        step: Some(StepStatus {
            number: 1,
            of: 2,
            entered_at: at.cloned(),
            acked_at: at.cloned(),
            summary: "1/2".into(),
        }),
        hold: Some(HoldReason::ProxyLag),
        taken_over: Some(Role::New),
        drain: Some(Drain {
            role: Role::Stable,
            revision: 2,
            acked_at: at.cloned(),
            deadline: at.cloned(),
            done_at: at.cloned(),
        }),
        stable_retired: true,
    }
}

/// A status with every field set.
fn full_status() -> ReleaseStatus {
    let at = Some(MicroTime(k8s_openapi::jiff::Timestamp::UNIX_EPOCH));
    let version = |version: &str| VersionStatus {
        version: version.into(),
        deployment: format!("reviews-{version}"),
        replicas: 3,
        ready: 3,
    };
    let verdict = VerdictStatus {
        check: "errors".into(),
        value: Some(1.0),
        baseline: Some(1.0),
        ..VerdictStatus::default()
    };
    ReleaseStatus {
        observed_generation: 1,
        phase: Phase::Holding,
        attempt: 1,
        stable: Some(version("v1")),
        new: Some(version("v2")),
        progress: full_progress(at.as_ref()),
        overlay: Some(Overlay {
            revision: 2,
            shares: vec![Share {
                version: "v2".into(),
                parts: WHOLE,
            }],
            matched: Some(Matched::default()),
            mirror: Some(Mirrored::default()),
            fallback: Some("v1".into()),
            affinity: Some(Affinity::default()),
            salt: "s".into(),
        }),
        weights: Weights {
            observed: Some(1),
            ..Weights::default()
        },
        proxies: ProxyCount::default(),
        waits: vec!["something".into()],
        verdicts: vec![verdict.clone()],
        conditions: vec![Condition {
            last_transition_time: at.clone(),
            ..Condition::default()
        }],
        seen: Seen {
            jump_to: Some(1),
            claim: Some(Claim::default()),
            ..Seen::default()
        },
        journal: vec![Entry {
            at,
            step: Some(1),
            asked_by: Some("jane".into()),
            verdicts: vec![verdict],
            ..Entry::default()
        }],
    }
}

#[test]
fn schema_of_status_knows_every_field() {
    let value = serde_json::to_value(full_status()).unwrap();
    let mut refused = Vec::new();
    schema::release::status().refused(&value, "status", &mut refused);
    assert_eq!(refused, []);
    let back: ReleaseStatus = serde_json::from_value(value).unwrap();
    assert_eq!(back, full_status());
}

#[test]
fn schema_of_spec_knows_every_field() {
    let spec = ReleaseSpec {
        affinity: Some(Affinity::default()),
        analysis: Some(Analysis {
            checks: vec![Check::default()],
            ..Analysis::default()
        }),
        strategy: Strategy {
            canary: Some(Canary {
                steps: vec![CanaryStep {
                    pause: Some(Pause::default()),
                    ..CanaryStep::default()
                }],
                matches: vec![crate::virtual_service::HttpMatch::default()],
            }),
            blue_green: Some(BlueGreen::default()),
            mirror: Some(Mirror::default()),
        },
        new: NewVersion {
            env: vec![EnvVar::default()],
            ..NewVersion::default()
        },
        ..ReleaseSpec::default()
    };
    let mut value = serde_json::to_value(&spec).unwrap();
    // Nulls are passed over; every leaf must be there to be found.
    fill(&mut value);
    let mut refused = Vec::new();
    schema::release::spec().refused(&value, "spec", &mut refused);
    assert_eq!(refused, []);
}

fn fill(value: &mut Value) {
    match value {
        Value::Null => *value = json!("x"),
        Value::Array(items) => items.iter_mut().for_each(fill),
        Value::Object(map) => map.values_mut().for_each(fill),
        _ => {}
    }
}

#[test]
fn definition_has_the_columns_in_order() {
    let definition = crate::crd::release();
    assert_eq!(definition["metadata"]["name"], "releases.aviary.dev");
    let version = &definition["spec"]["versions"][0];
    let columns = version["additionalPrinterColumns"].as_array().unwrap();
    let names: Vec<&str> = columns.iter().filter_map(|c| c["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "Service", "Stable", "New", "Phase", "Step", "Weights", "Waits", "Age"
        ]
    );
    assert_eq!(version["name"], "v1alpha1");
    assert_eq!(version["subresources"], json!({"status": {}}));
}

fn strategy(value: Value) -> Strategy {
    serde_json::from_value(value).unwrap()
}

#[test]
fn stages_end_with_everything() {
    let shape = |value: Value| -> Vec<(u32, usize, bool, bool)> {
        let strategy = strategy(value);
        let stages = strategy.stages();
        stages
            .iter()
            .map(|s| (s.parts, s.matches.len(), s.mirror.is_some(), s.approval))
            .collect()
    };
    let all = (WHOLE, 0, false, false);
    for (value, want) in [
        (
            json!({"canary": {"steps": [{"weight": 0.05}, {"weight": 20, "pause": {"approval": true}}]}}),
            vec![(500, 0, false, false), (200_000, 0, false, true), all],
        ),
        (
            json!({"canary": {"steps": [{"weight": 10}, {"weight": 100, "pause": {"approval": true}}],
                "matches": [{"uri": {"prefix": "/a"}}]}}),
            vec![(100_000, 1, false, false), (WHOLE, 0, false, true)],
        ),
        (
            json!({"canary": {"matches": [{"uri": {"prefix": "/a"}}]}}),
            vec![(0, 1, false, true), all],
        ),
        (json!({"blueGreen": {}}), vec![(0, 0, false, false), all]),
        (json!({"mirror": {}}), vec![(0, 0, true, true), all]),
    ] {
        assert_eq!(shape(value.clone()), want, "{value}");
    }
}

#[test]
fn buckets_of_a_greater_share_hold_those_of_a_smaller() {
    let split = |parts: u32| Overlay {
        shares: vec![
            Share {
                version: "v2".into(),
                parts,
            },
            Share {
                version: "v1".into(),
                parts: WHOLE - parts,
            },
        ],
        ..Overlay::default()
    };
    for (small, great) in [(0, 1), (500, 10_000), (333_333, 333_334), (999_999, WHOLE)] {
        for bucket in [0, 1, 499, 500, 9_999, 333_333, 500_000, 999_999] {
            let inside = |parts| split(parts).version_of(bucket) == Some("v2");
            assert!(!inside(small) || inside(great), "{bucket} left at {great}");
            assert_eq!(inside(great), bucket < great);
        }
    }
    assert!(split(7).is_whole());
}

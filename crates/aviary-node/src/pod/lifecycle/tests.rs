use serde_json::{from_value, json};

use super::super::record::Ended;
use super::*;
use crate::init::protocol::Exit;

fn pod(policy: &str) -> Pod {
    from_value(json!({
        "metadata": {"name": "p"},
        "spec": {
            "restartPolicy": policy,
            "initContainers": [
                {"name": "proxy", "restartPolicy": "Always"},
                {"name": "setup"},
            ],
            "containers": [{"name": "a"}, {"name": "b"}],
        },
    }))
    .unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn running(started: bool) -> Record {
    Record {
        run: Run::Running { since: at(0) },
        started,
        ready: started,
        ..Record::default()
    }
}

fn ended(code: i32) -> Record {
    let exit = Exit {
        finished_at: at(5),
        code,
        signal: None,
        message: None,
    };
    Record {
        run: Run::Ended(Ended {
            started_at: at(0),
            exit,
        }),
        ..Record::default()
    }
}

/// Checks which containers start and stop, given the ones that have a record.
fn check(policy: &str, stopping: bool, records: &[(&str, Record)], start: &[&str], stop: &[&str]) {
    let records = records
        .iter()
        .map(|(name, record)| ((*name).to_owned(), record.clone()))
        .collect();
    let decision = decide(&pod(policy), &records, stopping, at(100));
    assert_eq!((decision.start, decision.stop), (owned(start), owned(stop)));
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn decide_fresh_pod_starts_the_sidecar_alone() {
    check("Always", false, &[], &["proxy"], &[]);
}

#[test]
fn decide_sidecar_not_started_holds_the_rest() {
    check("Always", false, &[("proxy", running(false))], &[], &[]);
}

#[test]
fn decide_sidecar_started_lets_the_next_init_run() {
    check(
        "Always",
        false,
        &[("proxy", running(true))],
        &["setup"],
        &[],
    );
}

#[test]
fn decide_initialized_starts_all_applications() {
    check(
        "Always",
        false,
        &[("proxy", running(true)), ("setup", ended(0))],
        &["a", "b"],
        &[],
    );
}

#[test]
fn decide_failed_init_is_tried_again_unless_never() {
    let records = [("proxy", running(true)), ("setup", ended(1))];
    check("Always", false, &records, &["setup"], &[]);
    check("Never", false, &records, &[], &["proxy"]);
}

#[test]
fn decide_ended_application_follows_the_policy() {
    let records = [
        ("proxy", running(true)),
        ("setup", ended(0)),
        ("a", ended(0)),
        ("b", ended(1)),
    ];
    check("Always", false, &records, &["a", "b"], &[]);
    check("OnFailure", false, &records, &["b"], &[]);
    check("Never", false, &records, &[], &["proxy"]);
}

#[test]
fn decide_sidecar_lost_later_restarts_beside_the_application() {
    let records = [
        ("proxy", ended(1)),
        ("setup", ended(0)),
        ("a", running(true)),
        ("b", ended(1)),
    ];
    check("Always", false, &records, &["proxy", "b"], &[]);
}

#[test]
fn decide_backoff_waits_and_says_until_when() {
    let mut crashed = ended(1);
    crashed.crash.failed(at(0), at(99));
    crashed.crash.failed(at(0), at(99));
    let records: Records = [
        ("proxy".to_owned(), running(true)),
        ("setup".to_owned(), ended(0)),
        ("a".to_owned(), crashed),
        ("b".to_owned(), running(true)),
    ]
    .into();
    let expected = Decision {
        wake_at: Some(at(109)),
        ..Decision::default()
    };
    assert_eq!(decide(&pod("Always"), &records, false, at(100)), expected);
}

#[test]
fn decide_stopping_takes_the_application_before_the_sidecar() {
    let mut records = vec![
        ("proxy", running(true)),
        ("setup", ended(0)),
        ("a", running(true)),
        ("b", ended(0)),
    ];
    check("Always", true, &records, &[], &["a"]);
    records[2].1 = ended(143);
    check("Always", true, &records, &[], &["proxy"]);
    records[0].1 = ended(0);
    let map = records
        .iter()
        .map(|(name, record)| ((*name).to_owned(), record.clone()))
        .collect();
    assert!(decide(&pod("Always"), &map, true, at(100)).finished);
}

#[test]
fn phase_follows_the_containers() {
    let of = |policy: &str, records: &[(&str, Record)]| {
        let records = records
            .iter()
            .map(|(n, r)| ((*n).to_owned(), r.clone()))
            .collect();
        phase(&pod(policy), &records)
    };
    assert_eq!(of("Always", &[]), Phase::Pending);
    let init = [("proxy", running(true)), ("setup", ended(0))];
    let with = |a: Record, b: Record| [&init[..], &[("a", a), ("b", b)]].concat();
    assert_eq!(of("Always", &init), Phase::Pending);
    assert_eq!(of("Always", &with(running(true), ended(1))), Phase::Running);
    assert_eq!(of("Never", &with(ended(0), ended(0))), Phase::Succeeded);
    assert_eq!(of("Never", &with(ended(0), ended(2))), Phase::Failed);
    assert_eq!(
        of("Never", &[("proxy", running(true)), ("setup", ended(1))]),
        Phase::Failed
    );
}

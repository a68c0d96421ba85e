use serde_json::{Value, from_value, json, to_value};

use super::*;
use crate::init::protocol::Exit;

fn pod() -> Pod {
    from_value(json!({
        "metadata": {"name": "p", "namespace": "default", "uid": "u", "generation": 1},
        "spec": {
            "initContainers": [{"name": "istio-proxy", "image": "aviary/proxy:1", "restartPolicy": "Always"}],
            "containers": [{"name": "web", "image": "web:1"}],
        },
        "status": {"conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        ]},
    }))
    .unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn of(records: &[(&str, Record)]) -> Value {
    let records = records
        .iter()
        .map(|(n, r)| ((*n).to_owned(), r.clone()))
        .collect();
    let place = Place {
        address: Some(Ipv4Addr::new(10, 244, 0, 3)),
        start_time: at(1),
        now: at(9),
    };
    to_value(status(&pod(), &records, place)).unwrap()
}

fn running() -> Record {
    Record {
        run: Run::Running { since: at(2) },
        started: true,
        ready: true,
        ..Record::default()
    }
}

fn conditions(status: &Value) -> Vec<String> {
    let list = status["conditions"].as_array().unwrap();
    list.iter()
        .map(|c| {
            let part = |key: &str| c[key].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {}",
                part("type"),
                part("status"),
                part("lastTransitionTime")
            )
        })
        .collect()
}

#[test]
fn status_running_pod_is_ready_with_times() {
    let status = of(&[("istio-proxy", running()), ("web", running())]);
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["podIP"], "10.244.0.3");
    assert_eq!(status["startTime"], "2026-01-01T00:00:01Z");
    let expected = [
        "PodReadyToStartContainers True 2026-01-01T00:00:09Z",
        "Initialized True 2026-01-01T00:00:09Z",
        "Ready True 2026-01-01T00:00:09Z",
        "ContainersReady True 2026-01-01T00:00:09Z",
        "PodScheduled True 2026-01-01T00:00:00Z",
    ];
    assert_eq!(conditions(&status), expected);
    let web = json!({
        "containerID": "process://u-web", "image": "web:1", "imageID": "", "lastState": {}, "name": "web",
        "ready": true, "restartCount": 0, "started": true,
        "state": {"running": {"startedAt": "2026-01-01T00:00:02Z"}},
    });
    assert_eq!(status["containerStatuses"][0], web);
}

#[test]
fn status_sidecar_not_started_holds_pod_pending() {
    let mut proxy = running();
    proxy.started = false;
    proxy.ready = false;
    let status = of(&[("istio-proxy", proxy)]);
    assert_eq!(status["phase"], "Pending");
    assert_eq!(
        status["containerStatuses"][0]["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    assert_eq!(
        status["conditions"][1]["message"],
        "containers with incomplete status: [istio-proxy]"
    );
    assert_eq!(
        status["conditions"][2]["message"],
        "containers with unready status: [istio-proxy web]"
    );
    assert!(
        conditions(&status)[2].ends_with("2026-01-01T00:00:00Z"),
        "unchanged since before"
    );
}

#[test]
fn status_crashed_again_waits_with_the_end_as_last_state() {
    let exit = Exit {
        finished_at: at(5),
        code: 3,
        signal: None,
        message: None,
    };
    let mut web = Record {
        attempt: 1,
        run: Run::Ended(Ended {
            started_at: at(4),
            exit,
        }),
        ..Record::default()
    };
    web.crash.failed(at(1), at(2));
    web.crash.failed(at(4), at(5));
    let status = of(&[("istio-proxy", running()), ("web", web)]);
    let container = &status["containerStatuses"][0];
    assert_eq!(container["restartCount"], 1);
    assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
    let message = "back-off 10s restarting failed container=web pod=p_default(u)";
    assert_eq!(container["state"]["waiting"]["message"], message);
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["phase"], "Running");
}

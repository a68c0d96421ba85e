use aviary_api::release::{HoldReason, Phase, Role};
use serde_json::{Value, json};

use super::{Faults, World, release};

fn world(seed: u64, strategy: &Value) -> World {
    let mut world = World::new(seed, Faults::default());
    world.store.create(&release("first", strategy));
    world
}

fn canary() -> Value {
    json!({"canary": {"steps": [{"weight": 0.5}, {"weight": 20, "pause": {"approval": true}}]}})
}

impl World {
    fn phase(&self) -> Phase {
        let status = self.release("first").and_then(|it| it.status.as_ref());
        status.map_or(Phase::Draft, |status| status.phase)
    }

    fn hold(&self) -> Option<HoldReason> {
        let status = self.release("first").and_then(|it| it.status.as_ref());
        status.and_then(|status| status.progress.hold)
    }

    fn waits(&self) -> String {
        let status = self.release("first").and_then(|it| it.status.as_ref());
        status.map_or_else(String::new, |status| status.waits.join("; "))
    }

    /// Steps until something holds.
    fn until(&mut self, reached: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if reached(self) {
                return;
            }
            self.step();
        }
        panic!("never reached: {:?} {}", self.phase(), self.waits());
    }

    fn calm(&mut self, steps: u32) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// Reasons in the journal with the share of the new version after each.
    fn journal(&self) -> Vec<(String, u32)> {
        let status = self.release("first").and_then(|it| it.status.as_ref());
        let all = status.expect("a status").journal.iter();
        all.map(|entry| (entry.reason.clone(), entry.new_parts))
            .collect()
    }

    fn shares(&self) -> Vec<(String, u32)> {
        let status = self.release("first").and_then(|it| it.status.as_ref());
        let overlay = status.and_then(|status| status.overlay.as_ref());
        let all = overlay.expect("an overlay").shares.iter();
        all.map(|share| (share.version.clone(), share.parts))
            .collect()
    }
}

#[test]
fn canary_goes_through_its_steps_in_order() {
    let mut world = world(1, &canary());
    world.until(|it| it.hold() == Some(HoldReason::Gate));
    assert_eq!(world.waits(), "step 2 of attempt 1 to be approved");
    world.approve("first");
    world.until(|it| it.phase() == Phase::Completed);
    let mut journal = world.journal();
    journal.retain(|(reason, _)| reason != "Observing" && reason != "Holding");
    let journal: Vec<(&str, u32)> = journal.iter().map(|it| (it.0.as_str(), it.1)).collect();
    let all = 1_000_000;
    assert_eq!(
        journal,
        [
            ("Preparing", 0),
            ("TrafficPinned", 0),
            ("StepEntered", 5000),
            ("StepLive", 5000),
            ("StepEntered", 200_000),
            ("StepLive", 200_000),
            ("StepEntered", all),
            ("StepLive", all),
            ("Promoted", all),
            ("TrafficWithdrawn", all),
            ("TrafficGone", all),
            ("Drained", all),
            ("Completed", all),
        ]
    );
    assert!(
        world
            .plan_for("first")
            .is_some_and(|plan| plan.actions.len() <= 2)
    );
}

#[test]
fn version_that_fails_is_rolled_back_and_drained() {
    let mut world = world(2, &canary());
    world.health.new_fails = true;
    world.until(|it| it.phase() == Phase::RolledBack);
    assert!(world.journal().iter().any(|it| it.0 == "CheckFailed"));
    assert_eq!(
        world.shares(),
        [("v2".to_owned(), 0), ("v1".to_owned(), 1_000_000)]
    );
}

#[test]
fn outage_lack_of_data_and_failing_stable_hold_with_their_reason() {
    type Change = fn(&mut World);
    let cases: [(Change, HoldReason); 3] = [
        (|it| it.health.metrics = false, HoldReason::Unavailable),
        (|it| it.health.traffic = false, HoldReason::Inconclusive),
        (
            |it| {
                it.health.new_fails = true;
                it.health.stable_fails = true;
            },
            HoldReason::StableFailing,
        ),
    ];
    for (change, want) in cases {
        let mut world = world(3, &canary());
        change(&mut world);
        world.until(|it| it.hold() == Some(want));
        world.calm(300);
        assert_eq!(world.hold(), Some(want), "it holds for good");
        assert_eq!(world.shares()[0].1, 5000);
    }
}

#[test]
fn proxy_that_does_not_answer_is_named_and_holds() {
    let mut world = world(4, &canary());
    world.until(|it| it.phase() == Phase::Shifting);
    world.mesh.silence(0);
    world.until(|it| it.hold() == Some(HoldReason::ProxyLag));
    assert!(world.waits().contains("missing: p1"), "{}", world.waits());
    world.calm(200);
    assert_eq!(world.hold(), Some(HoldReason::ProxyLag));
    world.wake_proxies();
    world.until(|it| it.hold() == Some(HoldReason::Gate));
}

#[test]
fn second_release_is_refused_with_the_name_of_the_first() {
    let mut world = world(5, &canary());
    world.until(|it| it.phase() == Phase::Preparing);
    let mut other = release("second", &canary());
    other["spec"]["new"]["version"] = "v3".into();
    world.store.create(&other);
    world.calm(20);
    let status = world
        .release("second")
        .and_then(|it| it.status.as_ref())
        .expect("a status");
    assert_eq!(status.phase, Phase::Draft);
    let accepted = &status.conditions[0];
    assert_eq!(
        (accepted.status.as_str(), accepted.message.as_str()),
        (
            "False",
            "waits for release `first` to end, which guards the Service `reviews`"
        )
    );
}

#[test]
fn third_version_supersedes_after_the_second_is_drained() {
    let mut world = world(6, &canary());
    world.until(|it| it.hold() == Some(HoldReason::Gate));
    world.store.edit("first", |it| {
        it.spec.new.version = "v3".to_owned();
        it.spec.new.image = Some("reviews:3".to_owned());
    });
    world.until(|it| it.phase() == Phase::Holding && it.shares()[0].0 == "v3");
    let reasons: Vec<String> = world.journal().into_iter().map(|it| it.0).collect();
    let at = |reason: &str| reasons.iter().position(|it| it == reason);
    assert!(
        at("Superseded") < at("Drained") && at("Drained") < at("BeginsAnew"),
        "{reasons:?}"
    );
}

#[test]
fn release_of_the_stable_version_is_a_way_back() {
    let mut world = world(11, &canary());
    world.until(|it| it.hold() == Some(HoldReason::Gate));
    world
        .store
        .edit("first", |it| it.spec.new.version = "v1".to_owned());
    world.until(|it| it.phase() == Phase::RolledBack);
    world.calm(50);
    assert_eq!(world.phase(), Phase::RolledBack);
    assert_eq!(
        world.journal().last().map(|it| it.0.as_str()),
        Some("RolledBack")
    );
}

#[test]
fn takeover_is_reversible_and_offline_waits_for_rules_that_name_the_loser() {
    let mut world = world(7, &canary());
    world.until(|it| it.hold() == Some(HoldReason::Gate));
    world
        .store
        .edit("first", |it| it.spec.control.take_over = Some(Role::New));
    world.until(|it| it.phase() == Phase::TakenOver);
    assert_eq!(world.shares()[0].1, 1_000_000);
    world
        .store
        .edit("first", |it| it.spec.control.take_over = None);
    world.until(|it| it.hold() == Some(HoldReason::Gate));
    assert_eq!(world.shares()[0].1, 200_000);
    let rule = "reviews.default VirtualService".to_owned();
    world.store.references.insert("v1".to_owned(), vec![rule]);
    world.store.edit("first", |it| {
        it.spec.control.take_over = Some(Role::New);
        it.spec.control.offline = true;
    });
    world.until(|it| it.phase() == Phase::Completed);
    world.calm(50);
    assert_eq!(
        world.waits(),
        "reviews.default VirtualService to name v1 no more, before it goes offline"
    );
    world.store.references.clear();
    world.until(|it| {
        it.phase() == Phase::Offline && !it.store.deployments.contains_key("reviews-v1")
    });
}

#[test]
fn changed_plan_goes_on_at_its_equivalent_step_and_needs_new_approvals() {
    let mut world = world(8, &canary());
    world.until(|it| it.hold() == Some(HoldReason::Gate));
    world.approve("first");
    let plan = json!({"canary": {"steps": [{"weight": 10}, {"weight": 15, "pause": {"approval": true}}, {"weight": 50}]}});
    world.store.edit("first", |it| {
        it.spec.strategy = serde_json::from_value(plan).expect("a plan");
    });
    world.until(|it| it.waits() == "step 2 of attempt 2 to be approved");
    assert_eq!(world.shares()[0].1, 150_000);
}

#[test]
fn completed_release_goes_back_once_stable_is_up_again() {
    let mut world = world(9, &json!({"blueGreen": {}}));
    world.until(|it| it.phase() == Phase::Completed);
    assert_eq!(world.store.ready["reviews-v1"], 0);
    world
        .store
        .edit("first", |it| it.spec.control.aborted = true);
    world.until(|it| it.phase() == Phase::RolledBack);
    assert_eq!(world.store.ready["reviews-v1"], 3);
    assert_eq!(world.shares()[1], ("v1".to_owned(), 1_000_000));
}

/// I6: a controller that dies before any one of its writes comes to the same end.
#[test]
fn controller_killed_between_any_two_writes_comes_to_the_same_end() {
    let strategies = [
        canary(),
        json!({"canary": {"matches": [{"headers": {"end-user": {"exact": "jason"}}}]}}),
        json!({"blueGreen": {"keepOld": "5s"}}),
        json!({"mirror": {}}),
    ];
    for strategy in strategies {
        for fails in [false, true] {
            let end = |killed_at: Option<u32>| {
                let mut world = world(10, &strategy);
                world.health.new_fails = fails;
                world.killed_at = killed_at;
                world.until(|it| it.has_ended("first") || it.hold() == Some(HoldReason::Gate));
                while !world.has_ended("first") {
                    world.approve("first");
                    world.calm(1);
                }
                (
                    world.phase(),
                    world.shares(),
                    world.store.ready.clone(),
                    world.writes,
                )
            };
            let (phase, shares, ready, writes) = end(None);
            for killed_at in 1..=writes {
                let found = end(Some(killed_at));
                let want = (phase, &shares, &ready);
                assert_eq!(
                    (found.0, &found.1, &found.2),
                    want,
                    "killed at write {killed_at}"
                );
            }
        }
    }
}

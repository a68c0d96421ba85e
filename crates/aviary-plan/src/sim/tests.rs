use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::{Faults, World, micro_api};
use crate::kind::{self, DEPLOYMENT, POD};
use crate::object;
use crate::pod;

const SEEDS: u64 = 64;

fn patch(world: &mut World, spec: &Value) {
    let object = json!({"metadata": {"name": "micro-api"}, "spec": spec});
    world.apply(&DEPLOYMENT, &object);
}

fn image(tag: u32) -> Value {
    json!({"template": {"spec": {"containers": [{"name": "c", "image": format!("c:{tag}")}]}}})
}

/// One random act of a user.
fn user(world: &mut World, rng: &mut StdRng) {
    match rng.random_range(0..6) {
        0 | 1 => patch(world, &image(rng.random_range(0..4))),
        2 => patch(world, &json!({"replicas": rng.random_range(0..7)})),
        3 => patch(world, &json!({"paused": rng.random_bool(0.5)})),
        4 => patch(
            world,
            &json!({"strategy": {"rollingUpdate": {
                "maxSurge": rng.random_range(0..3), "maxUnavailable": rng.random_range(0..3)}}}),
        ),
        _ => {
            let names: Vec<String> = world
                .pods()
                .iter()
                .map(|pod| object::name(&pod.metadata).to_owned())
                .collect();
            if !names.is_empty() {
                let name = names[rng.random_range(0..names.len())].clone();
                let now = world.now;
                world.server.delete(&POD, &name, None, now);
            }
        }
    }
}

struct Seen {
    wanted: i32,
    observed: i64,
    spec: Value,
}

fn wanted(sets: &[ReplicaSet]) -> i32 {
    sets.iter()
        .map(|set| {
            set.spec
                .as_ref()
                .and_then(|spec| spec.replicas)
                .unwrap_or(0)
        })
        .sum()
}

fn surge_and_unavailable(deployment: &Deployment) -> (i32, i32, i32) {
    let object = object::to_value(deployment);
    let rolling = &object["spec"]["strategy"]["rollingUpdate"];
    let number = |value: &Value| i32::try_from(value.as_i64().unwrap_or(0)).expect("small");
    let (surge, unavailable) = (
        number(&rolling["maxSurge"]),
        number(&rolling["maxUnavailable"]),
    );
    let desired = number(&object["spec"]["replicas"]);
    if surge == 0 && unavailable == 0 {
        (desired, 0, 1)
    } else {
        (desired, surge, unavailable)
    }
}

fn look(world: &World) -> Seen {
    let deployment = world.deployment("micro-api");
    Seen {
        wanted: wanted(&world.replica_sets()),
        observed: deployment
            .status
            .and_then(|status| status.observed_generation)
            .unwrap_or(0),
        spec: object::to_value(&deployment.spec),
    }
}

/// What must hold after every step in which no user acted.
fn check_step(world: &World, before: &Seen, seed: u64) {
    let after = look(world);
    let deployment = world.deployment("micro-api");
    let (desired, surge, _) = surge_and_unavailable(&deployment);
    assert!(
        after.observed >= before.observed,
        "seed {seed}: a generation went back"
    );
    if after.spec == before.spec && after.wanted > before.wanted {
        // Growth is judged by the spec the manager knew, which the user may have changed since.
        let known = world.manager.cache.deployments.get("default", "micro-api");
        let (known, more, _) = known.map_or((desired, surge, 0), |d| surge_and_unavailable(&d));
        let most = (desired + surge).max(known + more);
        assert!(
            after.wanted <= most,
            "seed {seed}: {} pods wanted, {most} allowed",
            after.wanted
        );
    }
}

/// What must hold once nothing moves.
fn check_rest(world: &World, seed: u64) {
    let restless = world.manager.restless(world.now);
    assert!(
        restless.is_empty(),
        "seed {seed}: planning again gives {restless:#?}"
    );
    let deployment = world.deployment("micro-api");
    let status = deployment.status.clone().unwrap_or_default();
    let pods = world.pods();
    let sets = world.replica_sets();
    assert_eq!(
        i32::try_from(pods.len()).expect("few"),
        wanted(&sets),
        "seed {seed}"
    );
    assert_eq!(
        status.observed_generation, deployment.metadata.generation,
        "seed {seed}"
    );
    assert_eq!(status.terminating_replicas, Some(0), "seed {seed}");
    let spec = deployment.spec.expect("a spec");
    if spec.paused != Some(true) {
        assert_eq!(
            status.updated_replicas.unwrap_or(0),
            spec.replicas.unwrap_or(0),
            "seed {seed}"
        );
        assert_eq!(
            status.available_replicas.unwrap_or(0),
            spec.replicas.unwrap_or(0)
        );
    }
    assert!(sets.len() <= 11, "seed {seed}: history is kept short");
}

#[expect(clippy::disallowed_methods, reason = "one seed is replayed by hand")]
fn seeds() -> Vec<u64> {
    match std::env::var("AVIARY_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("AVIARY_SIM_SEED is a number")],
        Err(_) => (0..SEEDS).collect(),
    }
}

fn start(seed: u64, faults: Faults) -> World {
    let mut world = World::new(seed, faults);
    world.apply(&DEPLOYMENT, &micro_api("c:0"));
    world.apply(
        &kind::SERVICE,
        &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "micro-api"},
            "spec": {"selector": {"app": "micro-api"}, "ports": [{"port": 80}]}}),
    );
    world
}

#[test]
fn simulation_with_faults_keeps_invariants_and_comes_to_rest() {
    let faults = Faults {
        late: 0.4,
        doubled: 0.1,
        conflict: 0.05,
        restart: 0.002,
    };
    for seed in seeds() {
        let mut rng = StdRng::seed_from_u64(seed ^ 0xa5a5);
        let mut world = start(seed, faults);
        for round in 0..20 {
            if round % 4 == 3 {
                user(&mut world, &mut rng);
            }
            let mut before = look(&world);
            for _ in 0..20 {
                let length = world.server.version;
                world.step();
                if world.server.version > length {
                    check_step(&world, &before, seed);
                    before = look(&world);
                }
            }
            world.advance(SignedDuration::from_millis(rng.random_range(0..3000)));
        }
        world.settle(SignedDuration::from_mins(2));
        check_rest(&world, seed);
    }
}

#[test]
fn simulation_of_rollouts_never_takes_availability_below_the_bound() {
    let faults = Faults {
        late: 0.5,
        doubled: 0.1,
        conflict: 0.05,
        restart: 0.002,
    };
    for seed in seeds() {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5a5a);
        let mut world = start(seed, faults);
        world.settle(SignedDuration::from_mins(1));
        let (surge, unavailable) = (rng.random_range(0..3), rng.random_range(0..3));
        patch(
            &mut world,
            &json!({"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}}),
        );
        world.settle(SignedDuration::from_mins(1));
        let (desired, _, unavailable) = surge_and_unavailable(&world.deployment("micro-api"));
        for round in 1..20 {
            if round % 8 == 1 {
                patch(&mut world, &image(round));
            }
            for _ in 0..20 {
                let length = world.server.version;
                world.step();
                if world.server.version == length {
                    continue;
                }
                let now = world.now;
                let pods = world.pods();
                let up = pods
                    .iter()
                    .filter(|p| pod::is_active(p) && pod::is_available(p, 5, now));
                let up = i32::try_from(up.count()).expect("few");
                assert!(
                    up >= desired - unavailable,
                    "seed {seed} round {round}: {up} available"
                );
            }
            world.advance(SignedDuration::from_millis(rng.random_range(0..3000)));
        }
        world.settle(SignedDuration::from_mins(2));
        check_rest(&world, seed);
    }
}

#[test]
fn simulation_of_deletion_leaves_nothing_behind() {
    use crate::plan::Propagation::{Background, Foreground};
    let faults = Faults {
        late: 0.4,
        doubled: 0.1,
        conflict: 0.05,
        restart: 0.0,
    };
    for seed in seeds() {
        let mut world = start(seed, faults);
        world.settle(SignedDuration::from_mins(1));
        let how = if seed % 2 == 0 {
            Background
        } else {
            Foreground
        };
        let now = world.now;
        world
            .server
            .delete(&DEPLOYMENT, "micro-api", Some(how), now);
        world
            .server
            .delete(&kind::SERVICE, "micro-api", Some(Background), now);
        for _ in 0..50 {
            world.step();
        }
        world.settle(SignedDuration::from_mins(1));
        let left: Vec<&(crate::Kind, String)> = world
            .server
            .objects
            .keys()
            .filter(|(found, _)| ![kind::NODE, kind::NAMESPACE, kind::LEASE].contains(found))
            .collect();
        assert!(left.is_empty(), "seed {seed}: {left:?}");
    }
}

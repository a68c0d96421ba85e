use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Error, Write, apply, managed};
use crate::{Kind, Registry};

fn kind(group: &str, plural: &str) -> Kind {
    (**Registry::builtin()
        .get(group, "v1", plural)
        .expect("built in"))
    .clone()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn write<'a>(kind: &'a Kind, manager: &'a str, second: i64) -> Write<'a> {
    Write {
        kind,
        manager,
        subresource: None,
        now: at(second),
    }
}

fn entries(object: &Value) -> &Vec<Value> {
    object["metadata"]["managedFields"]
        .as_array()
        .expect("has entries")
}

fn config(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

/// The recorded `kubectl get deploy -o yaml --show-managed-fields` of a real server.
const GOLDEN: &str = include_str!("testdata/deployment.yaml");

#[test]
fn managed_create_by_kubectl_and_status_by_controller_match_the_recording() {
    let golden: Value = serde_saphyr::from_str(GOLDEN).expect("parses");
    let deployments = kind("apps", "deployments");
    let mut created = golden.clone();
    created["status"] = json!({});
    let metadata = created["metadata"].as_object_mut().expect("object");
    metadata.remove("managedFields");
    let annotations = metadata["annotations"].as_object_mut().expect("object");
    annotations.remove("deployment.kubernetes.io/revision");
    managed(
        &write(&deployments, "kubectl-client-side-apply", 0),
        None,
        &mut created,
    );

    let mut done = golden.clone();
    done["metadata"]["managedFields"] = created["metadata"]["managedFields"].clone();
    let status = Write {
        subresource: Some("status"),
        ..write(&deployments, "kube-controller-manager", 6)
    };
    managed(&status, Some(&created), &mut done);

    let mut expected = golden;
    expected["metadata"]["managedFields"][0]["time"] = json!("2027-01-15T08:00:00Z");
    expected["metadata"]["managedFields"][1]["time"] = json!("2027-01-15T08:00:06Z");
    pretty_eq(entries(&done), entries(&expected));
}

#[track_caller]
fn pretty_eq(left: &[Value], right: &[Value]) {
    let shown = |entries: &[Value]| serde_json::to_string_pretty(entries).expect("serializes");
    assert!(
        left == right,
        "left:\n{}\nright:\n{}",
        shown(left),
        shown(right)
    );
}

#[test]
fn managed_write_without_change_keeps_entries_and_times() {
    let maps = kind("", "configmaps");
    let mut old = config("a", &json!({"k": "v"}));
    managed(&write(&maps, "one", 0), None, &mut old);
    let mut new = old.clone();
    managed(&write(&maps, "two", 5), Some(&old), &mut new);
    assert_eq!(new, old);
}

#[test]
fn managed_change_moves_the_field_to_the_last_writer() {
    let maps = kind("", "configmaps");
    let mut old = config("a", &json!({"k": "v", "l": "w"}));
    managed(&write(&maps, "one", 0), None, &mut old);
    let mut new = old.clone();
    new["data"] = json!({"k": "changed", "m": "x"});
    managed(&write(&maps, "two", 5), Some(&old), &mut new);
    let owned: Vec<(&Value, &Value)> = entries(&new)
        .iter()
        .map(|entry| (&entry["manager"], &entry["fieldsV1"]))
        .collect();
    assert_eq!(
        owned,
        [
            (&json!("one"), &json!({"f:data": {}})),
            (&json!("two"), &json!({"f:data": {"f:k": {}, "f:m": {}}})),
        ]
    );
}

#[test]
fn managed_same_manager_continues_its_entry_with_a_new_time() {
    let maps = kind("", "configmaps");
    let mut old = config("a", &json!({"k": "v"}));
    managed(&write(&maps, "one", 0), None, &mut old);
    let mut new = old.clone();
    new["data"]["l"] = json!("w");
    managed(&write(&maps, "one", 9), Some(&old), &mut new);
    assert_eq!(
        entries(&new),
        &[json!({
            "manager": "one", "operation": "Update", "apiVersion": "v1",
            "time": "2027-01-15T08:00:09Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {".": {}, "f:k": {}, "f:l": {}}},
        })]
    );
}

#[test]
fn managed_eleventh_updater_joins_the_oldest_two() {
    let maps = kind("", "configmaps");
    let mut object = config("a", &json!({}));
    for second in 0..12 {
        let mut next = object.clone();
        next["data"][format!("k{second}")] = json!("v");
        let manager = format!("m{second}");
        managed(&write(&maps, &manager, second), Some(&object), &mut next);
        object = next;
    }
    let managers: Vec<&str> = entries(&object)
        .iter()
        .filter_map(|entry| entry["manager"].as_str())
        .collect();
    assert_eq!(managers.len(), 10);
    assert_eq!(managers[..2], ["ancient-changes", "m3"]);
    assert_eq!(
        entries(&object)[0]["fieldsV1"],
        json!({"f:data": {"f:k0": {}, "f:k1": {}, "f:k2": {}}})
    );
}

#[test]
fn managed_pod_of_a_controller_owns_its_owner_reference_as_a_whole() {
    let pods = kind("", "pods");
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": "web-", "labels": {"app": "web"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u-1",
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {"containers": [{"name": "web", "image": "nginx"}], "nodeName": "n"},
    });
    managed(&write(&pods, "manager", 0), None, &mut pod);
    assert_eq!(
        entries(&pod)[0]["fieldsV1"],
        json!({
            "f:metadata": {
                "f:generateName": {},
                "f:labels": {".": {}, "f:app": {}},
                "f:ownerReferences": {".": {}, "k:{\"uid\":\"u-1\"}": {}},
            },
            "f:spec": {
                "f:containers": {
                    "k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:name": {}},
                },
                "f:nodeName": {},
            },
        })
    );
}

#[test]
fn managed_custom_object_owns_its_spec_as_added() {
    let mut custom = kind("", "configmaps");
    custom.rules = crate::kind::Rules::Custom {
        rules: std::sync::Arc::new(NoRules),
        columns: [].into(),
        selectable: [].into(),
        status: false,
    };
    let mut object = config("a", &json!({"k": "v"}));
    managed(&write(&custom, "one", 0), None, &mut object);
    assert_eq!(
        entries(&object)[0]["fieldsV1"],
        json!({"f:data": {".": {}, "f:k": {}}})
    );
}

#[derive(Debug)]
struct NoRules;

impl crate::kind::CustomRules for NoRules {
    fn validate(&self, _: &Value, _: Option<&Value>) -> Vec<crate::Cause> {
        Vec::new()
    }
}

#[test]
fn apply_creates_and_owns_exactly_what_it_says() {
    let maps = kind("", "configmaps");
    let object = apply(
        &write(&maps, "a", 0),
        None,
        &config("x", &json!({"k": "v"})),
        false,
    )
    .expect("applies");
    assert_eq!(object["data"], json!({"k": "v"}));
    assert_eq!(object["metadata"]["name"], "x");
    assert_eq!(
        entries(&object),
        &[json!({
            "manager": "a", "operation": "Apply", "apiVersion": "v1",
            "time": "2027-01-15T08:00:00Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {"f:k": {}}},
        })]
    );
}

#[test]
fn apply_of_the_same_configuration_changes_nothing() {
    let maps = kind("", "configmaps");
    let wanted = config("x", &json!({"k": "v"}));
    let live = apply(&write(&maps, "a", 0), None, &wanted, false).expect("applies");
    let again = apply(&write(&maps, "a", 7), Some(&live), &wanted, false).expect("applies");
    assert_eq!(again, live);
}

#[test]
fn apply_against_an_update_conflicts_until_forced() {
    let maps = kind("", "configmaps");
    let mut live = config("x", &json!({"k": "v", "other": "1"}));
    managed(&write(&maps, "kubectl-create", 0), None, &mut live);
    let wanted = config("x", &json!({"k": "w"}));
    let error = apply(&write(&maps, "a", 1), Some(&live), &wanted, false).expect_err("conflicts");
    let Error::Conflict { message, causes } = &error else {
        panic!("conflict, got {error:?}")
    };
    assert_eq!(
        message,
        "Apply failed with 1 conflict: conflict with \"kubectl-create\" using v1: .data.k"
    );
    assert_eq!(
        causes[0].message,
        "conflict with \"kubectl-create\" using v1"
    );
    assert_eq!(causes[0].field, ".data.k");
    assert_eq!(error.status().code, 409);

    let forced = apply(&write(&maps, "a", 1), Some(&live), &wanted, true).expect("forced");
    assert_eq!(forced["data"], json!({"k": "w", "other": "1"}));
    assert_eq!(
        entries(&forced)[0]["fieldsV1"],
        json!({"f:data": {"f:k": {}}})
    );
    assert_eq!(
        entries(&forced)[1]["fieldsV1"],
        json!({"f:data": {".": {}, "f:other": {}}})
    );
}

#[test]
fn apply_conflicts_on_several_fields_are_listed() {
    let maps = kind("", "configmaps");
    let live = apply(
        &write(&maps, "a", 0),
        None,
        &config("x", &json!({"k": "1", "l": "1"})),
        false,
    )
    .expect("applies");
    let wanted = config("x", &json!({"k": "2", "l": "2"}));
    let error = apply(&write(&maps, "b", 1), Some(&live), &wanted, false).expect_err("conflicts");
    assert_eq!(
        error.to_string(),
        "Apply failed with 2 conflicts: conflicts with \"a\":\n- .data.k\n- .data.l"
    );
}

#[test]
fn apply_same_value_is_shared_and_goes_with_its_last_owner() {
    let maps = kind("", "configmaps");
    let wanted = config("x", &json!({"k": "v"}));
    let live = apply(&write(&maps, "a", 0), None, &wanted, false).expect("applies");
    let live = apply(&write(&maps, "b", 1), Some(&live), &wanted, false).expect("shared");
    assert_eq!(entries(&live).len(), 2);
    let none = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}});
    let live = apply(&write(&maps, "a", 2), Some(&live), &none, false).expect("applies");
    assert_eq!(live["data"], json!({"k": "v"}));
    let live = apply(&write(&maps, "b", 3), Some(&live), &none, false).expect("applies");
    assert_eq!(live.get("data"), None);
}

#[test]
fn apply_merges_lists_by_key_and_removes_its_own_items_only() {
    let services = kind("", "services");
    let with_ports = |ports: &Value| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"ports": ports},
        })
    };
    let first = with_ports(&json!([{"port": 80, "name": "http"}, {"port": 81, "name": "alt"}]));
    let live = apply(&write(&services, "a", 0), None, &first, false).expect("applies");
    let second = with_ports(&json!([{"port": 443, "name": "https"}]));
    let live = apply(&write(&services, "b", 1), Some(&live), &second, false).expect("applies");
    let third = with_ports(&json!([{"port": 80, "name": "web"}]));
    let live = apply(&write(&services, "a", 2), Some(&live), &third, false).expect("applies");
    assert_eq!(
        live["spec"]["ports"],
        json!([{"port": 80, "name": "web"}, {"port": 443, "name": "https"}])
    );
}

#[test]
fn apply_unknown_field_and_missing_key_are_refused_with_the_recorded_text() {
    let services = kind("", "services");
    let wanted = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "d"},
        "spec": {"foo": 1, "ports": [{"name": "x"}]},
    });
    let error = apply(&write(&services, "a", 0), None, &wanted, false).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "failed to create typed patch object (d/s; v1, Kind=Service): errors:\n  \
         .spec.foo: field not declared in schema\n  \
         .spec.ports: element 0: associative list with keys has an element that omits key field \
         \"port\" (and doesn't have default value)"
    );
}

#[test]
fn apply_managed_fields_in_the_body_are_400() {
    let maps = kind("", "configmaps");
    let mut wanted = config("x", &json!({}));
    wanted["metadata"]["managedFields"] = json!([]);
    let error = apply(&write(&maps, "a", 0), None, &wanted, false).expect_err("refused");
    assert_eq!(
        error,
        Error::Malformed("metadata.managedFields must be nil".to_owned())
    );
}

/// One write: who, whether it is an apply, and which keys with which values.
type Step = (u8, bool, Vec<(u8, u8)>);

fn history() -> impl Strategy<Value = Vec<Step>> {
    let data = proptest::collection::vec((0_u8..4, 0_u8..2), 0..4);
    proptest::collection::vec((0_u8..3, any::<bool>(), data), 1..12)
}

proptest! {
    #[test]
    fn ownership_laws_hold_in_any_history(history in history()) {
        let maps = kind("", "configmaps");
        let mut live: Option<Value> = None;
        for (second, (manager, is_apply, data)) in history.iter().enumerate() {
            let manager = format!("m{manager}");
            let write = write(&maps, &manager, i64::try_from(second).expect("small"));
            let data: serde_json::Map<String, Value> =
                data.iter().map(|(k, v)| (format!("k{k}"), json!(v.to_string()))).collect();
            let wanted = config("x", &Value::Object(data.clone()));
            let next = if *is_apply {
                let next = apply(&write, live.as_ref(), &wanted, true).expect("forced");
                for (name, value) in &data {
                    prop_assert_eq!(&next["data"][name], value);
                }
                let again = apply(&write, Some(&next), &wanted, false).expect("no conflict");
                prop_assert_eq!(&again, &next);
                next
            } else {
                let mut next = wanted.clone();
                if let Some(live) = &live
                    && let Some(entries) = live["metadata"].get("managedFields")
                {
                    next["metadata"]["managedFields"] = entries.clone();
                }
                managed(&write, live.as_ref(), &mut next);
                next
            };
            // Everything owned exists, and everything that exists is owned by someone.
            let mut owned = std::collections::BTreeSet::new();
            for entry in next["metadata"]["managedFields"].as_array().into_iter().flatten() {
                for step in entry["fieldsV1"]["f:data"].as_object().into_iter().flatten() {
                    if let Some(name) = step.0.strip_prefix("f:") {
                        owned.insert(name.to_owned());
                    }
                }
            }
            let present: std::collections::BTreeSet<String> =
                next["data"].as_object().into_iter().flatten().map(|f| f.0.clone()).collect();
            prop_assert_eq!(owned, present);
            live = Some(next);
        }
    }
}

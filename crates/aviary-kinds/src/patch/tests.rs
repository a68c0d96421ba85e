use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Error, json as json_patch, merge, strategic};
use crate::schema::{PatchStrategy, Schema, Type};

fn leaf(kind: Type) -> Arc<Schema> {
    Arc::new(Schema {
        kind,
        ..Schema::default()
    })
}

fn object(fields: &[(&str, Arc<Schema>)]) -> Schema {
    Schema {
        kind: Type::Object,
        properties: fields
            .iter()
            .map(|(name, schema)| ((*name).into(), schema.clone()))
            .collect(),
        ..Schema::default()
    }
}

fn list(items: Schema, merge_key: Option<&str>) -> Arc<Schema> {
    Arc::new(Schema {
        kind: Type::Array,
        items: Some(Arc::new(items)),
        patch: PatchStrategy {
            merge: true,
            merge_key: merge_key.map(Into::into),
            ..PatchStrategy::default()
        },
        ..Schema::default()
    })
}

/// As a pod template: `containers` by name, each with `ports` by containerPort; `finalizers` of
/// scalars; `args` replaced as a whole; free `labels`.
fn pod() -> Schema {
    let port = object(&[
        ("containerPort", leaf(Type::Integer)),
        ("name", leaf(Type::String)),
    ]);
    let args = Schema {
        kind: Type::Array,
        items: Some(leaf(Type::String)),
        ..Schema::default()
    };
    let container = object(&[
        ("name", leaf(Type::String)),
        ("image", leaf(Type::String)),
        ("args", Arc::new(args)),
        ("ports", list(port, Some("containerPort"))),
    ]);
    let labels = Schema {
        kind: Type::Object,
        additional: Some(leaf(Type::String)),
        ..Schema::default()
    };
    object(&[
        ("containers", list(container, Some("name"))),
        ("finalizers", list((*leaf(Type::String)).clone(), None)),
        ("labels", Arc::new(labels)),
        (
            "strategy",
            Arc::new(object(&[("type", leaf(Type::String))])),
        ),
    ])
}

#[track_caller]
fn check(live: Value, patch: &Value, expected: &Value) {
    let mut target = live;
    strategic(&mut target, patch, &pod()).expect("applies");
    assert_eq!(&target, expected);
}

#[test]
fn merge_rfc_7396_vectors_hold() {
    let vectors = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        ),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (
            json!({"a": "b", "b": "c"}),
            json!({"a": null}),
            json!({"b": "c"}),
        ),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (
            json!({"a": [{"b": "c"}]}),
            json!({"a": [1]}),
            json!({"a": [1]}),
        ),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        ),
        (
            json!([1, 2]),
            json!({"a": "b", "c": null}),
            json!({"a": "b"}),
        ),
        (
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        ),
    ];
    for (mut target, patch, expected) in vectors {
        merge(&mut target, &patch);
        assert_eq!(target, expected);
    }
}

#[test]
fn json_rfc_6902_operations_apply_in_order() {
    let mut target = json!({"spec": {"list": ["a", "c"], "x~y/z": 1}});
    let patch = json!([
        {"op": "test", "path": "/spec/list/0", "value": "a"},
        {"op": "add", "path": "/spec/list/1", "value": "b"},
        {"op": "add", "path": "/spec/list/-", "value": "d"},
        {"op": "replace", "path": "/spec/x~0y~1z", "value": 2},
        {"op": "copy", "from": "/spec/list/0", "path": "/first"},
        {"op": "move", "from": "/first", "path": "/spec/first"},
        {"op": "remove", "path": "/spec/list/3"},
    ]);
    json_patch(&mut target, &patch).expect("applies");
    assert_eq!(
        target,
        json!({"spec": {"list": ["a", "b", "c"], "x~y/z": 2, "first": "a"}})
    );
}

#[test]
fn json_failed_operation_is_422_and_changes_nothing() {
    let live = json!({"a": 1});
    for operation in [
        json!({"op": "test", "path": "/a", "value": 2}),
        json!({"op": "remove", "path": "/b"}),
        json!({"op": "replace", "path": "/b", "value": 1}),
    ] {
        let mut target = live.clone();
        let patch = json!([{"op": "add", "path": "/c", "value": 1}, operation]);
        let error = json_patch(&mut target, &patch).expect_err("fails");
        assert_eq!(error.status().code, 422);
        assert_eq!(
            error.to_string(),
            "the server rejected our request due to an error in our request"
        );
        assert_eq!(target, live);
    }
}

#[test]
fn json_patch_that_is_no_list_is_400() {
    let error = json_patch(&mut json!({}), &json!({"op": "add"})).expect_err("fails");
    assert_eq!(error.status().code, 400);
}

#[test]
fn strategic_set_image_merges_the_container_by_name() {
    check(
        json!({"containers": [
            {"name": "side", "image": "s:1"},
            {"name": "web", "image": "w:1", "args": ["-v"]},
        ]}),
        &json!({
            "$setElementOrder/containers": [{"name": "side"}, {"name": "web"}],
            "containers": [{"name": "web", "image": "w:2"}],
        }),
        &json!({"containers": [
            {"name": "side", "image": "s:1"},
            {"name": "web", "image": "w:2", "args": ["-v"]},
        ]}),
    );
}

#[test]
fn strategic_new_items_without_order_go_in_front() {
    check(
        json!({"containers": [{"name": "a"}, {"name": "b"}], "finalizers": ["x", "y"]}),
        &json!({"containers": [{"name": "c"}, {"name": "b", "image": "i"}], "finalizers": ["z"]}),
        &json!({
            "containers": [{"name": "c"}, {"name": "a"}, {"name": "b", "image": "i"}],
            "finalizers": ["z", "x", "y"],
        }),
    );
}

#[test]
fn strategic_set_element_order_reorders_and_keeps_server_only_items() {
    check(
        json!({"containers": [{"name": "a"}, {"name": "injected"}, {"name": "b"}]}),
        &json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
        &json!({"containers": [{"name": "injected"}, {"name": "b"}, {"name": "a"}]}),
    );
}

#[test]
fn strategic_delete_directive_removes_item_and_replace_resets_list() {
    let live = json!({"containers": [{"name": "a"}, {"name": "b", "image": "i"}]});
    check(
        live.clone(),
        &json!({"containers": [{"$patch": "delete", "name": "a"}]}),
        &json!({"containers": [{"name": "b", "image": "i"}]}),
    );
    check(
        live,
        &json!({"containers": [{"name": "c"}, {"$patch": "replace"}]}),
        &json!({"containers": [{"name": "c"}]}),
    );
    check(
        json!({}),
        &json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
        &json!({"containers": [{"name": "c"}]}),
    );
}

#[test]
fn strategic_map_directives_replace_and_delete() {
    let live = json!({"labels": {"a": "1", "b": "2"}});
    check(
        live.clone(),
        &json!({"labels": {"$patch": "replace", "c": "3"}}),
        &json!({"labels": {"c": "3"}}),
    );
    check(
        live,
        &json!({"labels": {"$patch": "delete"}}),
        &json!({"labels": {}}),
    );
}

#[test]
fn strategic_delete_from_primitive_list_removes_scalars() {
    check(
        json!({"finalizers": ["x", "y", "z"]}),
        &json!({"$deleteFromPrimitiveList/finalizers": ["y", "q"]}),
        &json!({"finalizers": ["x", "z"]}),
    );
}

#[test]
fn strategic_retain_keys_drops_the_others() {
    check(
        json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
        &json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
        &json!({"strategy": {"type": "Recreate"}}),
    );
}

#[test]
fn strategic_retain_keys_that_miss_a_patched_key_are_400() {
    let patch = json!({"strategy": {"$retainKeys": ["type"], "other": 1}});
    let error = strategic(&mut json!({"strategy": {}}), &patch, &pod()).expect_err("fails");
    assert_eq!(
        error,
        Error::Malformed("invalid patch format of retainKeys".to_owned())
    );
}

#[test]
fn strategic_atomic_list_is_replaced_and_null_removes() {
    check(
        json!({"containers": [{"name": "a", "image": "i", "args": ["1", "2"]}]}),
        &json!({"containers": [{"name": "a", "image": null, "args": ["3"]}]}),
        &json!({"containers": [{"name": "a", "args": ["3"]}]}),
    );
}

#[test]
fn strategic_nested_lists_merge_by_their_own_key() {
    check(
        json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}]}),
        &json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "web"}]}]}),
        &json!({"containers": [{"name": "a", "ports": [{"containerPort": 80, "name": "web"}]}]}),
    );
}

#[test]
fn strategic_missing_merge_key_is_500_with_the_recorded_text() {
    let live = json!({"containers": [{"name": "a"}]});
    let mut target = live.clone();
    let error = strategic(
        &mut target,
        &json!({"containers": [{"image": "x"}]}),
        &pod(),
    )
    .expect_err("fails");
    assert_eq!(error.status().code, 500);
    assert_eq!(
        error.to_string(),
        "map: map[image:x] does not contain declared merge key: name"
    );
    assert_eq!(target, live);
}

#[test]
fn strategic_absent_list_takes_the_patch_without_directives() {
    check(
        json!({}),
        &json!({
            "$setElementOrder/containers": [{"name": "a"}],
            "containers": [{"name": "a", "image": null}, {"$patch": "delete", "name": "b"}],
        }),
        &json!({"containers": [{"name": "a"}]}),
    );
}

/// Containers with distinct names out of a small alphabet, in any order.
fn containers() -> impl Strategy<Value = Vec<(String, u8)>> {
    proptest::sample::subsequence(vec!["a", "b", "c", "d", "e"], 0..=5)
        .prop_shuffle()
        .prop_flat_map(|names| {
            let count = names.len();
            (Just(names), proptest::collection::vec(0_u8..3, count))
        })
        .prop_map(|(names, images)| names.into_iter().map(str::to_owned).zip(images).collect())
}

fn to_list(containers: &[(String, u8)]) -> Value {
    containers
        .iter()
        .map(|(name, image)| json!({"name": name, "image": image}))
        .collect()
}

proptest! {
    #[test]
    fn merge_with_itself_changes_nothing(containers in containers()) {
        let live = json!({"containers": to_list(&containers)});
        let mut target = live.clone();
        strategic(&mut target, &live, &pod()).expect("applies");
        prop_assert_eq!(target, live);
    }

    #[test]
    fn two_way_patch_leads_from_any_list_to_any_other(old in containers(), new in containers()) {
        let live = json!({"containers": to_list(&old)});
        let goal = json!({"containers": to_list(&new)});
        let mut changes: Vec<Value> = new
            .iter()
            .filter(|item| !old.contains(item))
            .map(|(name, image)| json!({"name": name, "image": image}))
            .collect();
        changes.extend(
            old.iter()
                .filter(|(name, _)| new.iter().all(|(other, _)| other != name))
                .map(|(name, _)| json!({"$patch": "delete", "name": name})),
        );
        let order: Vec<Value> = new.iter().map(|(name, _)| json!({"name": name})).collect();
        let patch = json!({"containers": changes, "$setElementOrder/containers": order});
        let mut target = live;
        strategic(&mut target, &patch, &pod()).expect("applies");
        prop_assert_eq!(target, goal);
    }

    #[test]
    fn patch_of_arbitrary_shape_never_panics(patch in any_json()) {
        let live = json!({
            "containers": [{"name": "a", "ports": [{"containerPort": 1}]}],
            "finalizers": ["x"], "labels": {"a": "b"}, "strategy": {"type": "t"},
        });
        let mut target = live;
        let _ = strategic(&mut target, &patch, &pod());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        Just("containers"),
        Just("finalizers"),
        Just("labels"),
        Just("name"),
        Just("$patch"),
        Just("$retainKeys"),
        Just("$setElementOrder/containers"),
        Just("strategy"),
        Just("$deleteFromPrimitiveList/finalizers"),
        Just("$setElementOrder/finalizers"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!("replace")),
        Just(json!("delete")),
        Just(json!("a")),
        Just(json!(1)),
    ];
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|fields| fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

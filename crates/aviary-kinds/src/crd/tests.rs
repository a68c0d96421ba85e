use jiff::Timestamp;
use serde_json::{Value, json};

use super::{default, kinds, status, validate};
use crate::{Kind, kind::Rules};

/// A definition with one version whose spec has this schema.
fn definition(spec: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                    },
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                ],
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": spec, "status": {"type": "object"}},
                }},
            }],
        },
    })
}

fn widget(spec: &Value) -> Kind {
    kinds(&definition(spec)).expect("can be served").remove(0)
}

fn object(spec: &Value) -> Value {
    json!({
        "apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec,
    })
}

/// The findings about a spec, sorted.
#[track_caller]
fn check(schema: &Value, spec: &Value, expected: &[&str]) {
    check_update(schema, spec, None, expected);
}

#[track_caller]
fn check_update(schema: &Value, spec: &Value, old: Option<&Value>, expected: &[&str]) {
    let Rules::Custom { rules, .. } = widget(schema).rules else {
        panic!("custom")
    };
    let mut causes: Vec<String> = rules
        .validate(&object(spec), old.map(object).as_ref())
        .iter()
        .map(ToString::to_string)
        .collect();
    causes.sort();
    assert_eq!(causes, expected);
}

#[test]
fn kinds_served_version_carries_names_paths_and_columns() {
    let kind = widget(&json!({"type": "object"}));
    assert_eq!(kind.api_version(), "example.com/v1");
    assert_eq!(
        (&*kind.singular, &*kind.list_kind),
        ("widget", "WidgetList")
    );
    assert_eq!(kind.short_names, ["wd".into()]);
    assert!(kind.has_status());
    assert_eq!(&*kind.subresource("scale").expect("served").kind, "Scale");
    assert_eq!(
        &*kind.scale.expect("has paths").spec_replicas,
        ".spec.replicas"
    );
    assert_eq!(kind.schema.name.as_deref(), Some("com.example.v1.Widget"));
    assert!(
        kind.schema
            .field("metadata")
            .is_some_and(|meta| meta.field("labels").is_some())
    );
    let Rules::Custom { columns, .. } = kind.rules else {
        panic!("custom")
    };
    assert_eq!(&*columns[0].json_path, ".spec.size");
}

#[test]
fn kinds_version_not_served_is_left_out() {
    let mut definition = definition(&json!({"type": "object"}));
    let mut second = definition["spec"]["versions"][0].clone();
    second["name"] = json!("v1alpha1");
    second["served"] = json!(false);
    second["storage"] = json!(false);
    definition["spec"]["versions"]
        .as_array_mut()
        .expect("list")
        .push(second);
    let served: Vec<String> = kinds(&definition)
        .expect("served")
        .iter()
        .map(Kind::api_version)
        .collect();
    assert_eq!(served, ["example.com/v1"]);
}

#[test]
fn validate_definition_names_what_is_not_structural() {
    let mut definition = definition(&json!({
        "type": "object",
        "properties": {
            "free": {},
            "list": {"type": "array"},
            "both": {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "additionalProperties": {"type": "string"},
            },
            "shaped": {"type": "object", "oneOf": [{"type": "object"}]},
            "rule": {
                "type": "string",
                "x-kubernetes-validations": [{"rule": "self.size( > "}],
            },
        },
    }));
    default(&mut definition);
    definition["metadata"]["name"] = json!("wrong.example.com");
    let found: Vec<(String, &str)> = validate(&definition, None)
        .iter()
        .map(|cause| (cause.field.clone(), cause.reason))
        .collect();
    let spec = "spec.versions[0].schema.openAPIV3Schema.properties[spec].properties";
    assert_eq!(
        found,
        [
            ("metadata.name".to_owned(), "FieldValueInvalid"),
            (format!("{spec}[free].type"), "FieldValueRequired"),
            (format!("{spec}[list].items"), "FieldValueRequired"),
            (
                format!("{spec}[both].additionalProperties"),
                "FieldValueForbidden"
            ),
            (
                format!("{spec}[shaped].oneOf[0].type"),
                "FieldValueForbidden"
            ),
            (
                format!("{spec}[rule].x-kubernetes-validations[0].rule"),
                "FieldValueInvalid"
            ),
        ]
    );
}

#[test]
fn validate_definition_needs_one_storage_version_and_fixed_names() {
    let mut old = definition(&json!({"type": "object"}));
    default(&mut old);
    let mut new = old.clone();
    new["spec"]["versions"][0]["storage"] = json!(false);
    new["spec"]["scope"] = json!("Cluster");
    let texts: Vec<String> = validate(&new, Some(&old))
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        texts,
        [
            "spec.versions: Invalid value: must have exactly one version marked as storage version",
            "spec.scope: Invalid value: \"Cluster\": field is immutable",
        ]
    );
}

#[test]
fn rules_structural_findings_have_the_real_texts() {
    let schema = json!({
        "type": "object",
        "required": ["host"],
        "properties": {
            "host": {"type": "string", "maxLength": 8},
            "size": {"type": "integer", "minimum": 1, "format": "int32"},
            "color": {"type": "string", "enum": ["red", "blue"]},
            "tag": {"type": "string", "pattern": "^[a-z]+$"},
            "when": {"type": "string", "format": "date-time"},
        },
    });
    check(
        &schema,
        &json!({"host": "ok", "size": 3, "color": "red"}),
        &[],
    );
    check(
        &schema,
        &json!({"size": "big", "color": "green", "tag": "A", "when": "soon"}),
        &[
            "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
            "spec.host: Required value",
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \
             \"string\"",
            "spec.tag: Invalid value: \"A\": spec.tag in body should match '^[a-z]+$'",
            "spec.when: Invalid value: \"soon\": spec.when in body must be of type date-time: \
             \"soon\"",
        ],
    );
    check(
        &schema,
        &json!({"host": "too-long-a-name", "size": 0}),
        &[
            "spec.host: Too long: may not be more than 8 bytes",
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ],
    );
    check(
        &schema,
        &json!({"host": null}),
        &["spec.host: Invalid value: \"null\": spec.host in body must be of type string: \"null\""],
    );
}

#[test]
fn rules_one_of_counts_the_alternatives() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
        "oneOf": [
            {"not": {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}},
            {"required": ["a"]},
            {"required": ["b"]},
        ],
    });
    check(&schema, &json!({}), &[]);
    check(&schema, &json!({"a": "1"}), &[]);
    check(
        &schema,
        &json!({"a": "1", "b": "2"}),
        &[
            "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). \
           Found 2 valid alternatives",
        ],
    );
}

#[test]
fn rules_keyed_list_refuses_a_key_twice() {
    let schema = json!({
        "type": "object",
        "properties": {
            "ports": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}}},
            },
            "tags": {
                "type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"},
            },
        },
    });
    check(
        &schema,
        &json!({"ports": [{"name": "http"}, {"name": "x"}, {"name": "http"}], "tags": ["a", "a"]}),
        &[
            "spec.ports[2]: Duplicate value: {\"name\":\"http\"}",
            "spec.tags[1]: Duplicate value: \"a\"",
        ],
    );
}

fn ruled() -> Value {
    json!({
        "type": "object",
        "properties": {
            "least": {"type": "integer"},
            "most": {"type": "integer"},
            "name": {
                "type": "string",
                "x-kubernetes-validations": [
                    {"rule": "self == oldSelf", "message": "name is immutable"},
                ],
            },
            "delay": {
                "type": "string",
                "x-kubernetes-validations": [{
                    "rule": "duration(self) >= duration('1ms')",
                    "message": "must be a valid duration greater than 1ms",
                }],
            },
        },
        "x-kubernetes-validations": [{
            "rule": "!has(self.least) || !has(self.most) || self.least <= self.most",
            "messageExpression": "'least ' + string(self.least) + ' > ' + string(self.most)",
        }],
    })
}

#[test]
fn rules_cel_shows_scalars_and_only_the_message_for_objects() {
    check(
        &ruled(),
        &json!({"least": 1, "most": 2, "delay": "5s"}),
        &[],
    );
    check(
        &ruled(),
        &json!({"least": 3, "most": 2, "delay": "1us"}),
        &[
            "spec.delay: Invalid value: \"1us\": must be a valid duration greater than 1ms",
            "spec: Invalid value: least 3 > 2",
        ],
    );
}

#[test]
fn rules_cel_transition_rule_needs_an_old_object() {
    check(&ruled(), &json!({"name": "b"}), &[]);
    check_update(
        &ruled(),
        &json!({"name": "b"}),
        Some(&json!({"name": "a"})),
        &["spec.name: Invalid value: \"b\": name is immutable"],
    );
}

#[test]
fn rules_cel_is_skipped_and_said_so_when_the_shape_is_wrong() {
    check(
        &ruled(),
        &json!({"least": "three", "delay": "1us"}),
        &[
            "<nil>: Invalid value: null: some validation rules were not checked because the \
             object was invalid; correct the existing errors to complete validation",
            "spec.least: Invalid value: \"string\": spec.least in body must be of type integer: \
             \"string\"",
        ],
    );
}

#[test]
fn rules_untouched_fault_of_the_stored_object_may_stay() {
    let schema = json!({
        "type": "object",
        "properties": {"size": {"type": "integer", "maximum": 5}, "x": {"type": "integer"}},
    });
    check_update(
        &schema,
        &json!({"size": 9, "x": 2}),
        Some(&json!({"size": 9, "x": 1})),
        &[],
    );
    check_update(
        &schema,
        &json!({"size": 10}),
        Some(&json!({"size": 9})),
        &["spec.size: Invalid value: 10: spec.size in body should be less than or equal to 5"],
    );
}

#[test]
fn status_free_names_are_accepted_and_established() {
    let now = Timestamp::from_second(1_800_000_000).expect("in range");
    let mut definition = definition(&json!({"type": "object"}));
    default(&mut definition);
    let first = status(&definition, &[], now);
    assert_eq!(
        first,
        json!({
            "acceptedNames": definition["spec"]["names"],
            "conditions": [
                {
                    "type": "NamesAccepted", "status": "True", "reason": "NoConflicts",
                    "message": "no conflicts found",
                    "lastTransitionTime": "2027-01-15T08:00:00Z",
                },
                {
                    "type": "Established", "status": "True", "reason": "InitialNamesAccepted",
                    "message": "the initial names have been accepted",
                    "lastTransitionTime": "2027-01-15T08:00:00Z",
                },
            ],
            "storedVersions": ["v1"],
        })
    );
    definition["status"] = first.clone();
    let later = Timestamp::from_second(1_800_000_099).expect("in range");
    assert_eq!(status(&definition, &[], later), first);
}

#[test]
fn status_taken_kind_is_not_established() {
    let now = Timestamp::from_second(1_800_000_000).expect("in range");
    let mut one = definition(&json!({"type": "object"}));
    default(&mut one);
    let mut two = one.clone();
    two["metadata"]["name"] = json!("gadgets.example.com");
    two["spec"]["names"]["plural"] = json!("gadgets");
    two["spec"]["names"]["singular"] = json!("gadget");
    two["spec"]["names"]["shortNames"] = json!([]);
    let status = status(&two, &[&one], now);
    assert_eq!(status["conditions"][0]["reason"], "KindConflict");
    assert_eq!(
        status["conditions"][0]["message"],
        "\"Widget\" is already in use"
    );
    assert_eq!(status["conditions"][1]["status"], "False");
}

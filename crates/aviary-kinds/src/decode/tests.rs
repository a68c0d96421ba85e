use serde_json::json;

use super::*;
use crate::Registry;

fn kind(group: &str, plural: &str) -> std::sync::Arc<Kind> {
    Registry::builtin()
        .get(group, "v1", plural)
        .expect("a built-in kind")
        .clone()
}

#[test]
fn unknown_field_strict_is_refused_with_its_path() {
    let body = json!({"spec": {"template": {"spec": {"containers": [{"name": "a", "imag": "b"}]}}, "foo": 1}});
    let error = kind("apps", "deployments")
        .decode(&body, FieldValidation::Strict)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: \
         unknown field \"spec.template.spec.containers[0].imag\", unknown field \"spec.foo\""
    );
}

#[test]
fn unknown_field_warn_is_dropped_with_a_warning() {
    let body = json!({"metadata": {"name": "x"}, "data": {"a": "b"}, "foo": null});
    let decoded = kind("", "configmaps")
        .decode(&body, FieldValidation::Warn)
        .expect("decodes");
    assert_eq!(decoded.warnings, ["unknown field \"foo\""]);
    assert_eq!(
        decoded.object,
        json!({"metadata": {"name": "x"}, "data": {"a": "b"}, "apiVersion": "v1", "kind": "ConfigMap"})
    );
}

#[test]
fn wrong_type_is_refused_in_the_words_of_go() {
    let cases = [
        (
            json!({"spec": {"replicas": "3"}}),
            "string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            json!({"spec": {"template": {"spec": {"containers": [{"name": 1}]}}}}),
            "number into Go struct field Container.spec.template.spec.containers.name of type string",
        ),
        (
            json!({"metadata": {"labels": {"a": 1}}}),
            "number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            json!({"spec": []}),
            "array into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
    ];
    for (body, text) in cases {
        let error = kind("apps", "deployments")
            .decode(&body, FieldValidation::Warn)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal {text}"
            )
        );
    }
}

#[test]
fn other_kind_is_refused() {
    let body = json!({"apiVersion": "v1", "kind": "Secret"});
    let error = kind("", "configmaps")
        .decode(&body, FieldValidation::Warn)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Secret in version \"v1\" cannot be handled as a ConfigMap")
    );
}

#[test]
fn duplicate_keys_are_found_with_their_paths() {
    let text = br#"{"a": 1, "b": {"c": 1, "c": 2}, "d": [{"e": 1, "e": 1}], "a": 2}"#;
    let (value, duplicates) = parse_json(text).expect("parses");
    assert_eq!(value, json!({"a": 2, "b": {"c": 2}, "d": [{"e": 1}]}));
    assert_eq!(duplicates, ["b.c", "d[0].e", "a"]);
}

#[test]
fn text_without_its_form_is_refused() {
    for (group, plural, body, text) in [
        (
            "",
            "secrets",
            json!({"data": {"a": "b c"}}),
            "illegal base64 data at input byte 1",
        ),
        (
            "",
            "pods",
            json!({"metadata": {"creationTimestamp": "soon"}}),
            "cannot parse \"soon\" as \"2006\"",
        ),
        (
            "",
            "pods",
            json!({"spec": {"containers": [{"resources": {"limits": {"cpu": "1x"}}}]}}),
            "quantities must match the regular expression",
        ),
    ] {
        let error = kind(group, plural)
            .decode(&body, FieldValidation::Warn)
            .unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[derive(Debug)]
struct Anything;

impl crate::kind::CustomRules for Anything {
    fn validate(&self, _: &Value, _: Option<&Value>) -> Vec<crate::Cause> {
        Vec::new()
    }
}

#[test]
fn custom_kind_is_strict_about_metadata_only() {
    let mut custom = Kind::clone(&kind("", "configmaps"));
    let mut schema = Schema::default();
    schema
        .properties
        .insert("metadata".into(), crate::schema::object_meta());
    for name in ["apiVersion", "kind", "spec"] {
        schema
            .properties
            .insert(name.into(), Schema::default().into());
    }
    custom.schema = schema.into();
    custom.rules = Rules::Custom {
        rules: std::sync::Arc::new(Anything),
        columns: [].into(),
        selectable: [].into(),
        status: false,
    };
    let body = json!({"metadata": {"labels": {"a": 1}}, "spec": {"x": null}});
    let error = custom.decode(&body, FieldValidation::Warn).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot unmarshal number into Go struct field ObjectMeta")
    );
    let body = json!({"metadata": {"name": "a", "nam": "b"}, "spec": {"x": null}});
    let decoded = custom
        .decode(&body, FieldValidation::Warn)
        .expect("decodes");
    assert_eq!(decoded.warnings, ["unknown field \"metadata.nam\""]);
    assert_eq!(decoded.object["spec"], json!({"x": null}));
}

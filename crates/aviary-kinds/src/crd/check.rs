//! Whether a definition can be served.
//!
//! Source: apiextensions-apiserver `validation` and "Specifying a structural schema".

use kube_cel::CompilationError;
use regex::Regex;
use serde_json::Value;

use super::{elements, rules, text};
use crate::status::Cause;

/// All findings.
pub(super) fn definition(definition: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut check = Check(shape(definition, old));
    for (index, version) in elements(&definition["spec"]["versions"]).iter().enumerate() {
        let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
        check.rules(&version["schema"]["openAPIV3Schema"], &path);
    }
    check.0
}

/// All findings but those about CEL rules, which take the longest to find.
pub(super) fn shape(definition: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut check = Check::default();
    let spec = &definition["spec"];
    check.names(definition);
    check.versions(spec);
    let strategy = &spec["conversion"]["strategy"];
    if !matches!(strategy.as_str(), None | Some("None")) {
        check.0.push(Cause::unsupported(
            "spec.conversion.strategy",
            strategy,
            &["None"],
        ));
    }
    if let Some(old) = old {
        for (pointer, field) in [
            ("/spec/group", "spec.group"),
            ("/spec/scope", "spec.scope"),
            ("/spec/names/kind", "spec.names.kind"),
        ] {
            let (new, old) = (definition.pointer(pointer), old.pointer(pointer));
            if new != old {
                let value = new.unwrap_or(&Value::Null);
                check
                    .0
                    .push(Cause::invalid(field, value, "field is immutable"));
            }
        }
    }
    check.0
}

#[derive(Default)]
struct Check(Vec<Cause>);

impl Check {
    fn require(&mut self, value: &Value, field: &str) -> bool {
        let present = value.as_str().is_some_and(|text| !text.is_empty());
        if !present {
            self.0.push(Cause::required(field, ""));
        }
        present
    }

    fn names(&mut self, definition: &Value) {
        let spec = &definition["spec"];
        let names = &spec["names"];
        let mut complete = self.require(&spec["group"], "spec.group");
        for name in ["plural", "singular", "kind", "listKind"] {
            complete &= self.require(&names[name], &format!("spec.names.{name}"));
        }
        let plural = text(&names["plural"]);
        let group = text(&spec["group"]);
        for (value, field) in [
            (&names["plural"], "plural"),
            (&names["singular"], "singular"),
        ] {
            if !text(value).is_empty() && !is_label(text(value)) {
                let detail = "a DNS-1035 label must consist of lower case alphanumeric characters \
                     or '-', start with an alphabetic character, and end with an alphanumeric \
                     character (e.g. 'my-name',  or 'abc-123', regex used for validation is \
                     '[a-z]([-a-z0-9]*[a-z0-9])?')";
                self.0
                    .push(Cause::invalid(format!("spec.names.{field}"), value, detail));
            }
        }
        if !group.is_empty() && !group.contains('.') {
            let detail = "should be a domain with at least one dot";
            self.0
                .push(Cause::invalid("spec.group", &spec["group"], detail));
        }
        if complete && definition["metadata"]["name"] != format!("{plural}.{group}") {
            let detail = "must be spec.names.plural+\".\"+spec.group";
            self.0.push(Cause::invalid(
                "metadata.name",
                &definition["metadata"]["name"],
                detail,
            ));
        }
        if !matches!(spec["scope"].as_str(), Some("Cluster" | "Namespaced")) {
            if text(&spec["scope"]).is_empty() {
                self.0.push(Cause::required("spec.scope", ""));
            } else {
                let scopes = ["Cluster", "Namespaced"];
                self.0
                    .push(Cause::unsupported("spec.scope", &spec["scope"], &scopes));
            }
        }
    }

    fn versions(&mut self, spec: &Value) {
        let versions = elements(&spec["versions"]);
        let stored = versions
            .iter()
            .filter(|version| version["storage"] == true)
            .count();
        if stored != 1 {
            self.0.push(Cause {
                reason: "FieldValueInvalid",
                message: "Invalid value: must have exactly one version marked as storage version"
                    .to_owned(),
                field: "spec.versions".to_owned(),
            });
        }
        for (index, version) in versions.iter().enumerate() {
            let path = format!("spec.versions[{index}]");
            self.require(&version["name"], &format!("{path}.name"));
            if versions
                .iter()
                .take(index)
                .any(|other| other["name"] == version["name"])
            {
                self.0
                    .push(Cause::duplicate(format!("{path}.name"), &version["name"]));
            }
            let path = format!("{path}.schema.openAPIV3Schema");
            let schema = &version["schema"]["openAPIV3Schema"];
            if schema.is_object() {
                if text(&schema["type"]).is_empty() {
                    let detail = "must not be empty at the root";
                    self.0.push(Cause::required(format!("{path}.type"), detail));
                } else if schema["type"] != "object" {
                    let detail = "must be object at the root";
                    self.0.push(Cause::invalid(
                        format!("{path}.type"),
                        &schema["type"],
                        detail,
                    ));
                }
                self.node(schema, &path);
            } else {
                self.0.push(Cause::required(path, "schemas are required"));
            }
        }
    }

    /// One node of the structural part, and all below.
    fn node(&mut self, schema: &Value, path: &str) {
        self.keywords(schema, path);
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.properties[{name}]");
            self.typed(field, &path, "specified object fields");
            self.node(field, &path);
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => self.0.push(Cause::forbidden(
                format!("{path}.additionalProperties"),
                "additionalProperties cannot be set to false",
            )),
            Some(field @ Value::Object(_)) => {
                if schema["properties"]
                    .as_object()
                    .is_some_and(|fields| !fields.is_empty())
                {
                    self.0.push(Cause::forbidden(
                        format!("{path}.additionalProperties"),
                        "additionalProperties and properties are mutual exclusive",
                    ));
                }
                let path = format!("{path}.additionalProperties");
                self.typed(field, &path, "specified object fields");
                self.node(field, &path);
            }
            _ => {}
        }
        if let Some(items) = schema.get("items") {
            let path = format!("{path}.items");
            self.typed(items, &path, "specified array items");
            self.node(items, &path);
        } else if schema["type"] == "array" {
            self.0.push(Cause::required(
                format!("{path}.items"),
                "must be specified",
            ));
        }
        self.list(schema, path);
        for (name, branch) in branches(schema) {
            self.branch(branch, &format!("{path}.{name}"));
        }
    }

    fn typed(&mut self, schema: &Value, path: &str, place: &str) {
        let free = [
            "x-kubernetes-int-or-string",
            "x-kubernetes-preserve-unknown-fields",
        ]
        .iter()
        .any(|flag| schema[*flag] == true);
        if text(&schema["type"]).is_empty() && !free {
            let detail = format!("must not be empty for {place}");
            self.0
                .push(Cause::required(format!("{path}.type"), &detail));
        }
    }

    /// Keywords of JSON schema that a definition may not use.
    fn keywords(&mut self, schema: &Value, path: &str) {
        for (name, detail) in [
            ("$ref", "$ref is not supported"),
            ("definitions", "definitions is not supported"),
            ("dependencies", "dependencies is not supported"),
            ("patternProperties", "patternProperties is not supported"),
            ("additionalItems", "additionalItems is not supported"),
        ] {
            if schema.get(name).is_some() {
                self.0
                    .push(Cause::forbidden(format!("{path}.{name}"), detail));
            }
        }
        if schema["uniqueItems"] == true {
            self.0.push(Cause::forbidden(
                format!("{path}.uniqueItems"),
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            ));
        }
        let types = ["object", "array", "string", "integer", "number", "boolean"];
        let given = text(&schema["type"]);
        if !given.is_empty() && !types.contains(&given) {
            self.0.push(Cause::unsupported(
                format!("{path}.type"),
                &schema["type"],
                &types,
            ));
        }
        if let Some(pattern) = schema["pattern"].as_str()
            && let Err(error) = Regex::new(pattern)
        {
            let detail = format!("must be a valid regular expression, but isn't: {error}");
            self.0.push(Cause::invalid(
                format!("{path}.pattern"),
                &schema["pattern"],
                &detail,
            ));
        }
    }

    /// `allOf` and its kin: they may only restrict values, not shape them.
    fn branch(&mut self, schema: &Value, path: &str) {
        for name in [
            "description",
            "type",
            "default",
            "additionalProperties",
            "nullable",
            "title",
        ] {
            if name == "type" && schema["type"].as_str().is_some() && is_int_or_string(schema) {
                continue;
            }
            if schema.get(name).is_some() {
                let detail = "must be empty to be structural";
                self.0
                    .push(Cause::forbidden(format!("{path}.{name}"), detail));
            }
        }
        self.keywords(schema, path);
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            self.branch(field, &format!("{path}.properties[{name}]"));
        }
        if let Some(items) = schema.get("items") {
            self.branch(items, &format!("{path}.items"));
        }
        for (name, branch) in branches(schema) {
            self.branch(branch, &format!("{path}.{name}"));
        }
    }

    fn list(&mut self, schema: &Value, path: &str) {
        let given = &schema["x-kubernetes-list-type"];
        let keys = elements(&schema["x-kubernetes-list-map-keys"]);
        match given.as_str() {
            None | Some("atomic" | "set" | "map") => {}
            Some(_) => self.0.push(Cause::unsupported(
                format!("{path}.x-kubernetes-list-type"),
                given,
                &["atomic", "map", "set"],
            )),
        }
        let keys_path = format!("{path}.x-kubernetes-list-map-keys");
        if given == "map" && keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.0.push(Cause::required(keys_path.as_str(), detail));
        }
        for (index, key) in keys.iter().enumerate() {
            if schema["items"]["properties"].get(text(key)).is_none() {
                let detail = "entries in x-kubernetes-list-map-keys must all be names of item \
                              properties";
                self.0
                    .push(Cause::invalid(format!("{keys_path}[{index}]"), key, detail));
            }
        }
    }

    /// CEL rules that do not compile.
    fn rules(&mut self, schema: &Value, path: &str) {
        if !rules::has_rules(schema) {
            return;
        }
        let Value::Object(map) = schema else { return };
        let own: Value = map
            .iter()
            .filter(|(name, _)| *name == "x-kubernetes-validations" || *name == "type")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for (index, result) in kube_cel::compile_schema(&own)
            .validations
            .iter()
            .enumerate()
        {
            let Err(error) = result else { continue };
            let field = match error {
                CompilationError::MessageExpressionParse { .. } => "messageExpression",
                _ => "rule",
            };
            let rule = &schema["x-kubernetes-validations"][index][field];
            let path = format!("{path}.x-kubernetes-validations[{index}].{field}");
            self.0.push(Cause::invalid(
                path,
                rule,
                &format!("compilation failed: {error}"),
            ));
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            self.rules(field, &format!("{path}.properties[{name}]"));
        }
        for name in ["additionalProperties", "items"] {
            self.rules(&schema[name], &format!("{path}.{name}"));
        }
    }
}

fn branches(schema: &Value) -> Vec<(String, &Value)> {
    let mut all = Vec::new();
    for name in ["allOf", "anyOf", "oneOf"] {
        for (index, branch) in elements(&schema[name]).iter().enumerate() {
            all.push((format!("{name}[{index}]"), branch));
        }
    }
    all.extend(schema.get("not").map(|branch| ("not".to_owned(), branch)));
    all
}

/// The one use of `type` in a branch: `anyOf: [{type: integer}, {type: string}]`.
fn is_int_or_string(branch: &Value) -> bool {
    matches!(text(&branch["type"]), "integer" | "string")
}

fn is_label(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

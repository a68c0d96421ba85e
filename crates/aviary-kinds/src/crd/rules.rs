//! The rules of one version of a custom kind, compiled once.

use std::{collections::HashMap, fmt, sync::OnceLock};

use kube_cel::{CompiledSchema, ErrorKind};
use serde_json::Value;

use super::structural::{self, Patterns};
use crate::{kind::CustomRules, status::Cause};

/// The rules of a schema.
pub(super) struct Compiled {
    schema: Value,
    /// Made when the first object is judged: a server knows many kinds of which few are used.
    programs: OnceLock<Programs>,
}

/// What judging an object needs beside the schema.
struct Programs {
    patterns: Patterns,
    /// `None` when the schema has no CEL rule.
    cel: Option<CompiledSchema>,
    /// What the rules say when they fail, by the rule.
    messages: HashMap<String, String>,
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").finish_non_exhaustive()
    }
}

impl Compiled {
    pub(super) fn new(schema: &Value) -> Self {
        Self {
            schema: schema.clone(),
            programs: OnceLock::new(),
        }
    }

    fn programs(&self) -> &Programs {
        self.programs.get_or_init(|| {
            let mut messages = HashMap::new();
            collect_messages(&self.schema, &mut messages);
            Programs {
                patterns: Patterns::of(&self.schema),
                cel: has_rules(&self.schema).then(|| kube_cel::compile_schema(&self.schema)),
                messages,
            }
        })
    }

    fn structural(&self, object: &Value) -> Vec<Cause> {
        let patterns = &self.programs().patterns;
        let mut causes = structural::object(&self.schema, patterns, object);
        structural::unique_items(&self.schema, object, "", &mut causes);
        causes
    }
}

impl Compiled {
    fn cel_cause(&self, error: &kube_cel::ValidationError, object: &Value) -> Cause {
        let value = at(object, &error.field_path);
        let field = if error.field_path.is_empty() {
            "<nil>"
        } else {
            &error.field_path
        };
        if error.kind == ErrorKind::ValidationFailure {
            return cel_cause(field, value, error.reason.as_deref(), error.message.trim());
        }
        // The rule could not be evaluated: the author's message still says what is wanted.
        let problem = error.message.trim_start_matches("rule evaluation error: ");
        let rule = self
            .programs()
            .messages
            .get(&error.rule)
            .unwrap_or(&error.rule);
        cel_cause(
            field,
            value,
            None,
            &format!("{problem} evaluating rule: {rule}"),
        )
    }
}

impl CustomRules for Compiled {
    fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<Cause> {
        let mut causes = self.structural(new);
        if !causes.is_empty()
            && let Some(old) = old
        {
            // What was wrong before and has not been touched may stay: a definition can become
            // stricter while its objects live on.
            let before = self.structural(old);
            causes.retain(|cause| !before.contains(cause));
        }
        let Some(cel) = &self.programs().cel else {
            return causes;
        };
        if causes.is_empty() {
            if let Err(errors) = kube_cel::validate_compiled(cel, new, old) {
                causes.extend(errors.into_iter().map(|error| self.cel_cause(&error, new)));
            }
        } else {
            causes.push(Cause::invalid(
                "<nil>",
                &Value::Null,
                "some validation rules were not checked because the object was invalid; correct \
                 the existing errors to complete validation",
            ));
        }
        causes
    }
}

/// The finding of a CEL rule. The value is shown when it is a scalar.
fn cel_cause(field: &str, value: Option<&Value>, reason: Option<&str>, message: &str) -> Cause {
    match (reason, value) {
        (Some("FieldValueRequired"), _) => Cause::required(field, message),
        (Some("FieldValueForbidden"), _) => Cause::forbidden(field, message),
        (Some("FieldValueDuplicate"), Some(value)) => Cause::duplicate(field, value),
        (_, Some(value)) if !value.is_object() && !value.is_array() => {
            Cause::invalid(field, value, message)
        }
        _ => Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: {message}"),
            field: field.to_owned(),
        },
    }
}

/// The `message` of every rule that has one, by the rule.
fn collect_messages(schema: &Value, messages: &mut HashMap<String, String>) {
    match schema {
        Value::Object(map) => {
            if let (Some(Value::String(rule)), Some(Value::String(message))) =
                (map.get("rule"), map.get("message"))
            {
                messages.insert(rule.clone(), message.clone());
            }
            map.values()
                .for_each(|child| collect_messages(child, messages));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_messages(item, messages)),
        _ => {}
    }
}

/// The value at a path such as `spec.http[0].name`.
fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = object;
    for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
        value = match step.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?)?,
            None => value.get(step)?,
        };
    }
    Some(value)
}

/// Whether any node of the schema has a CEL rule.
pub(super) fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(map) => {
            map.get("x-kubernetes-validations")
                .is_some_and(Value::is_array)
                || map
                    .iter()
                    .any(|(key, child)| key != "default" && has_rules(child))
        }
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

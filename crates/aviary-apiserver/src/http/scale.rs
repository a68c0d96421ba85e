//! The `scale` subresource: replicas of any kind that has them.

use std::sync::Arc;

use aviary_kinds::{Kind, Status, kind::ScalePaths};
use http::Method;
use serde_json::{Value, json};

use super::{
    Call, input, patch,
    reply::{Reply, converted},
    update,
    write::{self, Attempt, Base},
};
use crate::api::{Api, text};

/// GET, PUT and PATCH of `/scale`.
pub(crate) async fn answer(
    api: &Arc<Api>,
    method: &Method,
    call: &mut Call,
) -> Result<Reply, Status> {
    let kind = Arc::clone(&call.kind);
    let paths = kind.scale.clone().ok_or_else(Status::no_such_resource)?;
    if method == Method::GET {
        let object = api.require(&kind, call.namespace(), call.name())?;
        return Ok(Reply::Plain {
            code: 200,
            value: scale(&object.value, &paths),
        });
    }
    if method != Method::PUT && method != Method::PATCH {
        return Err(Status::method_not_allowed());
    }
    for _ in 0..update::TRIES {
        let old = api.require(&kind, call.namespace(), call.name())?;
        let shown = converted(call, &old.value);
        let wanted = wanted(call, method, &kind, &scale(&shown, &paths))?;
        let version = text(&wanted, &["metadata", "resourceVersion"]);
        if !version.is_empty() && version != old.modified.to_string() {
            return Err(Status::modified(&kind, call.name()));
        }
        let replicas = wanted["spec"]["replicas"].as_i64().unwrap_or(0);
        let mut new = (*shown).clone();
        set(&mut new, &paths.spec_replicas, json!(replicas));
        let (namespace, name) = (call.namespace().to_owned(), call.name().to_owned());
        let base = Base {
            kind: &kind,
            namespace: &namespace,
            name: &name,
            subresource: Some("scale"),
            old: Some(&old),
            applied: false,
        };
        if let Attempt::Done(reply) = write::store(api, call, &base, new).await? {
            return Ok(match reply {
                Reply::Object { code, value, .. } => Reply::Plain {
                    code,
                    value: scale(&value, &paths),
                },
                other => other,
            });
        }
    }
    Err(Status::modified(&kind, call.name()))
}

/// The `Scale` that the client wants.
fn wanted(call: &Call, method: &Method, kind: &Kind, current: &Value) -> Result<Value, Status> {
    if method == Method::PUT {
        return Ok(input::parse(call)?.0);
    }
    let form = patch::form(call, kind)?;
    let document = patch::document(call, form)?;
    if form == patch::Form::Strategic || form == patch::Form::Merge {
        // A Scale has no lists: both forms mean the same.
        return patch::patched(kind, patch::Form::Merge, current, &document);
    }
    patch::patched(kind, form, current, &document)
}

/// `autoscaling/v1 Scale` of an object.
fn scale(object: &Value, paths: &ScalePaths) -> Value {
    let metadata = &object["metadata"];
    let number = |path: &str| at(object, path).and_then(Value::as_i64).unwrap_or(0);
    let mut status = json!({ "replicas": number(&paths.status_replicas) });
    if let Some(selector) = paths.selector.as_ref().and_then(|path| at(object, path)) {
        status["selector"] = json!(selector_text(selector));
    }
    let mut shown = json!({});
    for name in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = metadata.get(name) {
            shown[name] = value.clone();
        }
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": shown,
        "spec": { "replicas": number(&paths.spec_replicas) },
        "status": status,
    })
}

/// A label selector as `kubectl` takes it; text stays text.
fn selector_text(selector: &Value) -> String {
    if let Some(text) = selector.as_str() {
        return text.to_owned();
    }
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let mut terms: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = text(expression, &["key"]);
        let values: Vec<&str> = expression["values"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let values = values.join(",");
        terms.push(match text(expression, &["operator"]) {
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            "NotIn" => format!("{key} notin ({values})"),
            _ => format!("{key} in ({values})"),
        });
    }
    terms.sort();
    terms.join(",")
}

/// The value at `.spec.replicas`.
fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .filter(|step| !step.is_empty())
        .try_fold(object, |value, step| value.get(step))
}

fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        if !place.is_object() {
            *place = json!({});
        }
        place = &mut place[step];
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_of_a_deployment_has_replicas_and_selector() {
        let paths = ScalePaths {
            spec_replicas: ".spec.replicas".into(),
            status_replicas: ".status.replicas".into(),
            selector: Some(".spec.selector".into()),
        };
        let mut object = json!({
            "metadata": { "name": "a", "labels": { "x": "y" } },
            "spec": { "replicas": 3, "selector": { "matchLabels": { "b": "2", "a": "1" } } },
        });
        set(&mut object, ".spec.replicas", json!(5));
        let scale = scale(&object, &paths);
        assert_eq!(scale["spec"]["replicas"], 5);
        assert_eq!(
            scale["status"],
            json!({ "replicas": 0, "selector": "a=1,b=2" })
        );
        assert_eq!(scale["metadata"], json!({ "name": "a" }));
    }
}

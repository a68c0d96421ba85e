//! PATCH in its four forms.

use std::sync::Arc;

use aviary_kinds::{Kind, Status, fields, parse_json, patch};
use serde_json::{Value, json};

use super::{
    Call, create, input,
    reply::{Reply, converted},
    update,
    write::{self, Attempt},
};
use crate::{
    api::{Api, text},
    store::Object,
};

const BUILT_IN: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
];

/// The forms of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// PATCH of an object or of one of its subresources.
pub(crate) async fn answer(api: &Arc<Api>, call: &mut Call) -> Result<Reply, Status> {
    let form = form(call, &call.kind)?;
    let document = document(call, form)?;
    if form == Form::Apply && call.query.get("fieldManager").is_empty() {
        return Err(Status::unprocessable(
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required \
             for apply patch",
        ));
    }
    let kind = Arc::clone(&call.kind);
    for _ in 0..update::TRIES {
        let old = api.read(&kind, call.namespace(), call.name());
        if form == Form::Apply {
            match apply(api, call, old.as_ref(), &document).await? {
                Attempt::Done(reply) => return Ok(reply),
                Attempt::Changed => continue,
            }
        }
        let old = old.ok_or_else(|| Status::not_found(&kind, call.name()))?;
        let new = patched(&kind, form, &converted(call, &old.value), &document)?;
        let new = input::patched(call, &kind, &new)?;
        match update::replace(api, call, &old, new, false).await? {
            Attempt::Done(reply) => return Ok(reply),
            Attempt::Changed => {}
        }
    }
    Err(Status::modified(&kind, call.name()))
}

pub(crate) fn form(call: &Call, kind: &Kind) -> Result<Form, Status> {
    match input::media_type(call).as_str() {
        "application/json-patch+json" => Ok(Form::Json),
        "application/merge-patch+json" => Ok(Form::Merge),
        "application/strategic-merge-patch+json" if kind.strategic_patch => Ok(Form::Strategic),
        "application/apply-patch+yaml" => Ok(Form::Apply),
        _ if kind.strategic_patch => Err(Status::unsupported_media_type(BUILT_IN)),
        _ => Err(Status::unsupported_media_type(CUSTOM)),
    }
}

/// The patch as a value.
pub(crate) fn document(call: &Call, form: Form) -> Result<Value, Status> {
    if form == Form::Apply {
        return input::yaml(&call.body);
    }
    let parsed = parse_json(&call.body);
    parsed
        .map(|(value, _)| value)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))
}

/// The object after a patch that is no apply.
pub(crate) fn patched(
    kind: &Kind,
    form: Form,
    old: &Value,
    document: &Value,
) -> Result<Value, Status> {
    let mut new = old.clone();
    match form {
        Form::Json => patch::json(&mut new, document).map_err(|error| error.status())?,
        Form::Strategic => {
            patch::strategic(&mut new, document, &kind.schema).map_err(|error| error.status())?;
        }
        Form::Merge | Form::Apply => {
            if !document.is_object() {
                return Err(Status::bad_request("a merge patch must be an object"));
            }
            patch::merge(&mut new, document);
        }
    }
    Ok(new)
}

/// Server-side apply; creates the object if it is not there.
async fn apply(
    api: &Arc<Api>,
    call: &mut Call,
    old: Option<&Arc<Object>>,
    document: &Value,
) -> Result<Attempt, Status> {
    let kind = Arc::clone(&call.kind);
    let mut config = input::patched(call, &kind, document)?;
    if text(&config, &["metadata", "name"]).is_empty() {
        config["metadata"]["name"] = json!(call.name());
    }
    let manager = call.manager();
    let subresource = call.subresource().map(str::to_owned);
    let write = fields::Write {
        kind: &kind,
        manager: &manager,
        subresource: subresource.as_deref(),
        now: write::now(),
    };
    let live = old.map(|old| converted(call, &old.value));
    let force = call.query.flag("force");
    let new =
        fields::apply(&write, live.as_deref(), &config, force).map_err(|error| error.status())?;
    if let Some(old) = old {
        return update::replace(api, call, old, new, true).await;
    }
    if subresource.is_some() {
        return Err(Status::not_found(&kind, call.name()));
    }
    if text(&config, &["metadata", "name"]) != call.name() {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            text(&config, &["metadata", "name"]),
            call.name()
        )));
    }
    let mut new = new;
    // What identifies the object belongs to no manager: the merge leaves it out.
    for name in ["name", "namespace"] {
        if let Some(value) = config["metadata"].get(name) {
            new["metadata"][name] = value.clone();
        }
    }
    for name in ["apiVersion", "kind"] {
        new[name] = config[name].clone();
    }
    create::insert(api, call, new, true)
        .await
        .map(Attempt::Done)
}

//! PUT: whole objects, and what every update checks first.

use std::sync::Arc;

use aviary_kinds::{Kind, Status};
use serde_json::{Value, json};

use super::{
    Call, create, input,
    reply::Reply,
    write::{self, Attempt, Base},
};
use crate::{
    api::{Api, text},
    store::Object,
};

/// Times that an update without a precondition is tried again when others write meanwhile.
pub(crate) const TRIES: usize = 16;

/// PUT of an object or of one of its subresources.
pub(crate) async fn answer(api: &Arc<Api>, call: &mut Call) -> Result<Reply, Status> {
    let object = input::object(call)?;
    let kind = Arc::clone(&call.kind);
    for _ in 0..TRIES {
        let Some(old) = api.read(&kind, call.namespace(), call.name()) else {
            let creates = matches!(
                &*kind.kind,
                "Lease" | "Event" | "Endpoints" | "EndpointSlice"
            );
            if creates
                && call.path.subresource.is_empty()
                && text(&object, &["metadata", "uid"]).is_empty()
            {
                let mut object = object;
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    metadata.shift_remove("resourceVersion");
                }
                return create::insert(api, call, object, false).await;
            }
            return Err(Status::not_found(&kind, call.name()));
        };
        match replace(api, call, &old, object.clone(), false).await? {
            Attempt::Done(reply) => return Ok(reply),
            Attempt::Changed => {}
        }
    }
    Err(Status::modified(&kind, call.name()))
}

/// Tries to put a decoded object over the stored one.
pub(crate) async fn replace(
    api: &Api,
    call: &mut Call,
    old: &Arc<Object>,
    mut new: Value,
    applied: bool,
) -> Result<Attempt, Status> {
    let kind = Arc::clone(&call.kind);
    let (namespace, name) = (call.namespace().to_owned(), call.name().to_owned());
    check_identity(&kind, &namespace, &name, &mut new)?;
    check_preconditions(&kind, &name, old, &mut new)?;
    let subresource = call.subresource().map(str::to_owned);
    if subresource.as_deref() == Some("finalize") {
        new = finalized(&old.value, &new);
    }
    let base = Base {
        kind: &kind,
        namespace: &namespace,
        name: &name,
        subresource: subresource.as_deref().filter(|sub| *sub != "finalize"),
        old: Some(old),
        applied,
    };
    write::store(api, call, &base, new).await
}

/// `/finalize` changes the specification's finalizers only.
fn finalized(old: &Value, new: &Value) -> Value {
    let mut result = old.clone();
    result["spec"]["finalizers"] = match new["spec"].get("finalizers") {
        Some(list) if list.is_array() => list.clone(),
        _ => json!([]),
    };
    result
}

fn check_identity(kind: &Kind, namespace: &str, name: &str, new: &mut Value) -> Result<(), Status> {
    let given = text(new, &["metadata", "name"]);
    if given.is_empty() {
        return Err(Status::bad_request(
            "the name of the object must be set in metadata.name",
        ));
    }
    if given != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    if !kind.namespaced() {
        return Ok(());
    }
    let given = text(new, &["metadata", "namespace"]);
    if !given.is_empty() && given != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    new["metadata"]["namespace"] = json!(namespace);
    Ok(())
}

/// Uid and resourceVersion in the body are preconditions.
fn check_preconditions(
    kind: &Kind,
    name: &str,
    old: &Object,
    new: &mut Value,
) -> Result<(), Status> {
    let uid = text(new, &["metadata", "uid"]);
    let stored = text(&old.value, &["metadata", "uid"]);
    if !uid.is_empty() && uid != stored {
        let detail = format!(
            "StorageError: invalid object, Code: 4, Key: {name}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object \
             meta: {stored}"
        );
        return Err(Status::conflict(kind, name, &detail));
    }
    let version = text(new, &["metadata", "resourceVersion"]);
    if !version.is_empty() && version != "0" && version != old.modified.to_string() {
        return Err(Status::modified(kind, name));
    }
    new["metadata"]["resourceVersion"] = json!(old.modified.to_string());
    Ok(())
}

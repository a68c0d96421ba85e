//! What creates and updates have in common: from a wanted object to a stored one.

use std::sync::Arc;

use aviary_kinds::{Kind, Status, crd, fields, status::Cause};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Call, reply::Reply};
use crate::{
    admission::{AdmissionRequest, Denial, Operation},
    allocate,
    api::{self, Api, text},
    builtin, convert,
    store::{Error, Expect, Mutation, Object, Op, Snapshot},
};

/// Reasons that a hook's cause may carry.
const REASONS: [&str; 6] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueNotFound",
    "FieldValueNotSupported",
    "FieldValueRequired",
];

/// Outcome of an attempt to write over a state that was read before.
pub(crate) enum Attempt {
    /// Stored (or nothing to store).
    Done(Reply),
    /// The object changed in between; read again.
    Changed,
}

/// What a write is based on.
pub(crate) struct Base<'a> {
    pub(crate) kind: &'a Arc<Kind>,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) subresource: Option<&'a str>,
    /// The stored object, for an update.
    pub(crate) old: Option<&'a Arc<Object>>,
    /// Set when `managedFields` are already right (server-side apply).
    pub(crate) applied: bool,
}

/// Time of a write in whole seconds, as Kubernetes shows times.
pub(crate) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Runs hooks, defaults, allocation and validation on a wanted object and stores it.
pub(crate) async fn store(
    api: &Api,
    call: &mut Call,
    base: &Base<'_>,
    mut new: Value,
) -> Result<Attempt, Status> {
    let snapshot = api.store.snapshot();
    let shown_old = base
        .old
        .map(|old| super::reply::converted(call, &old.value));
    let old = shown_old.as_deref();
    let owned = (!base.applied).then(|| owners(call, base, old, &new));
    admit(api, call, base, &snapshot, &mut new)?;
    match old {
        None => {
            base.kind.prepare_create(&mut new);
            builtin::initial_status(base.kind, &mut new);
        }
        Some(old) => base.kind.prepare_update(&mut new, old, base.subresource),
    }
    let is_service = &*base.kind.kind == "Service" && base.kind.group.is_empty();
    let is_definition = api::resource(base.kind) == api::DEFINITIONS;
    let _allocation = if is_service {
        Some(api.allocation.lock().await)
    } else {
        None
    };
    let _definitions = if is_definition {
        Some(api.definitions.lock().await)
    } else {
        None
    };
    if is_service {
        allocate::service(&api.config, &api.store.snapshot(), &mut new, old)
            .map_err(|cause| Status::invalid(base.kind, base.name, vec![cause]))?;
    }
    validate(api, call, base, &snapshot, &new, old)?;
    if is_definition {
        define(&snapshot, &mut new, base.name);
    }
    if let Some(owned) = owned {
        new["metadata"]["managedFields"] = owned;
    }
    if let (Some(object), Some(old)) = (base.old, old)
        && same(old, &new)
    {
        let (value, json) = (Arc::clone(&object.value), Some(object.json.clone()));
        return Ok(Attempt::Done(Reply::Object {
            code: 200,
            value,
            json,
        }));
    }
    let code = if base.old.is_none() { 201 } else { 200 };
    if call.query.dry_run()? {
        return Ok(Attempt::Done(Reply::object(code, Arc::new(new))));
    }
    let attempt = commit(api, base, code, convert::to_storage(base.kind, new)).await?;
    if is_definition {
        api.refresh_registry();
    }
    Ok(attempt)
}

/// Who owns which field after a write: the writer owns what it sent and the defaults of that, but
/// nothing that admission or allocation adds later.
/// Otherwise a change to server-side apply would take those fields away.
/// Source: Kubernetes `apiserver/pkg/endpoints/handlers/create.go`.
fn owners(call: &Call, base: &Base<'_>, old: Option<&Value>, sent: &Value) -> Value {
    let mut seen = sent.clone();
    base.kind.default(&mut seen);
    match old {
        None => base.kind.prepare_create(&mut seen),
        Some(old) => base.kind.prepare_update(&mut seen, old, base.subresource),
    }
    let manager = call.manager();
    let write = fields::Write {
        kind: base.kind,
        manager: &manager,
        subresource: base.subresource,
        now: now(),
    };
    fields::managed(&write, old, &mut seen);
    seen["metadata"]["managedFields"].take()
}

/// Whether an update would store what is there already.
fn same(old: &Value, new: &Value) -> bool {
    let mut new = new.clone();
    new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    *old == new
}

async fn commit(api: &Api, base: &Base<'_>, code: u16, new: Value) -> Result<Attempt, Status> {
    let key = api::key(base.kind, base.namespace, base.name);
    let expect = base
        .old
        .map_or(Expect::Absent, |old| Expect::Revision(old.modified));
    let op = if base.old.is_some() && is_finished(&new) {
        Op::Delete(Some(new))
    } else {
        Op::Put(new)
    };
    let mut mutations = vec![Mutation { key, expect, op }];
    if base.old.is_none() && api::resource(base.kind) == "/namespaces" {
        mutations.extend(builtin::namespace_content(&api.ca_pem, base.name, now()));
    }
    match api.store.commit(mutations).await {
        Ok(stored) => {
            let object = stored
                .first()
                .ok_or_else(|| Status::internal("nothing was stored"))?;
            let (value, json) = (Arc::clone(&object.value), Some(object.json.clone()));
            Ok(Attempt::Done(Reply::Object { code, value, json }))
        }
        Err(Error::Conflict { .. }) => Ok(Attempt::Changed),
        Err(error) => Err(api::store_status(&error)),
    }
}

/// Whether an object only waits for its last finalizer, and has none.
fn is_finished(value: &Value) -> bool {
    let metadata = &value["metadata"];
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    let grace = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
    let namespace = text(value, &["kind"]) == "Namespace" && text(value, &["apiVersion"]) == "v1";
    metadata
        .get("deletionTimestamp")
        .is_some_and(|time| !time.is_null())
        && grace == 0
        && none(&metadata["finalizers"])
        && (!namespace || none(&value["spec"]["finalizers"]))
}

/// Defaults, then hooks, then defaults for what the hooks added.
fn admit(
    api: &Api,
    call: &Call,
    base: &Base<'_>,
    snapshot: &Snapshot,
    new: &mut Value,
) -> Result<(), Status> {
    base.kind.default(new);
    let get = api::reader(snapshot.clone());
    let request = request(call, base, &*get)?;
    if base.old.is_none() {
        builtin::mutate(base.kind, &request, new)?;
    }
    for hook in &api.config.admission {
        hook.mutate(&request, new);
    }
    base.kind.default(new);
    Ok(())
}

fn request<'a>(
    call: &'a Call,
    base: &'a Base<'_>,
    get: &'a crate::admission::Get<'a>,
) -> Result<AdmissionRequest<'a>, Status> {
    Ok(AdmissionRequest {
        operation: if base.old.is_some() {
            Operation::Update
        } else {
            Operation::Create
        },
        group: &base.kind.group,
        version: &base.kind.version,
        kind: &base.kind.kind,
        namespace: base.namespace,
        name: base.name,
        subresource: base.subresource,
        user: &call.user.name,
        dry_run: call.query.dry_run()?,
        get,
    })
}

fn validate(
    api: &Api,
    call: &mut Call,
    base: &Base<'_>,
    snapshot: &Snapshot,
    new: &Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    let mut causes = base.kind.validate(new, old);
    if let Some(old) = old {
        causes.extend(new_finalizers(new, old));
    }
    if !causes.is_empty() {
        return Err(Status::invalid(base.kind, base.name, causes));
    }
    let get = api::reader(snapshot.clone());
    let mut warnings = Vec::new();
    let request = request(call, base, &*get)?;
    for hook in &api.config.admission {
        let judged = hook.validate(&request, new, old);
        warnings.extend(judged.map_err(|denial| denied(base.kind, base.name, denial))?);
    }
    call.warnings.extend(warnings);
    Ok(())
}

/// An object that is being deleted takes no new finalizers.
fn new_finalizers(new: &Value, old: &Value) -> Option<Cause> {
    old["metadata"]
        .get("deletionTimestamp")
        .filter(|time| !time.is_null())?;
    let list = |value: &Value| {
        value["metadata"]["finalizers"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    };
    let before = list(old);
    let added: Vec<Value> = list(new)
        .into_iter()
        .filter(|finalizer| !before.contains(finalizer))
        .collect();
    let detail = "no new finalizers can be added if the object is being deleted, found new \
                  finalizers []string";
    let names: Vec<String> = added.iter().map(ToString::to_string).collect();
    let detail = format!("{detail}{{{}}}", names.join(", "));
    (!added.is_empty()).then(|| Cause::forbidden("metadata.finalizers", &detail))
}

/// The answer for a hook's refusal.
pub(crate) fn denied(kind: &Kind, name: &str, denial: Denial) -> Status {
    let causes = denial
        .causes
        .into_iter()
        .map(|cause| {
            let reason = REASONS.iter().find(|reason| **reason == cause.reason);
            let reason = reason.copied().unwrap_or("FieldValueInvalid");
            Cause {
                reason,
                message: cause.message,
                field: cause.field,
            }
        })
        .collect();
    Status::invalid(kind, name, causes)
}

/// Gives a definition the status that makes it served.
fn define(snapshot: &Snapshot, new: &mut Value, name: &str) {
    let others: Vec<Arc<Value>> = snapshot
        .list(api::DEFINITIONS, None, None)
        .filter(|object| object.key.name() != name)
        .map(|object| Arc::clone(&object.value))
        .collect();
    let others: Vec<&Value> = others.iter().map(AsRef::as_ref).collect();
    let status = crd::status(new, &others, now());
    new["status"] = if status.is_null() { json!({}) } else { status };
}

//! DELETE: removal, graceful removal of pods, and waiting for finalizers.

use std::{collections::HashMap, sync::Arc};

use aviary_kinds::{Kind, Status};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    Call, input,
    reply::{Reply, converted},
    select::Selection,
    update::TRIES,
    write,
};
use crate::{
    admission::{AdmissionRequest, Operation},
    api::{self, Api, text},
    store::{Error, Expect, Mutation, Object, Op},
};

const PROTECTED: [&str; 3] = ["default", "kube-system", "kube-public"];

/// `DeleteOptions`, from the body and the query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    grace_seconds: Option<i64>,
    propagation: Option<String>,
    uid: Option<String>,
    revision: Option<String>,
    dry_run: bool,
}

/// What a delete does to an object now.
#[derive(Debug, PartialEq)]
enum Step {
    /// It goes.
    Remove,
    /// It stays, marked; this is its new state.
    Mark(Value),
    /// It is already on its way and nothing changes.
    Nothing,
}

/// DELETE of one object.
pub(crate) async fn one(api: &Arc<Api>, call: &mut Call) -> Result<Reply, Status> {
    let options = options(call)?;
    remove(api, call, &call.kind.clone(), call.name(), &options).await
}

/// DELETE of all objects that a list would show.
pub(crate) async fn collection(api: &Arc<Api>, call: &mut Call) -> Result<Reply, Status> {
    let options = options(call)?;
    let selection = Selection::parse(&call.query, &call.kind, None)?;
    let kind = Arc::clone(&call.kind);
    let resource = api::resource(&kind);
    let snapshot = api.store.snapshot();
    if kind.namespaced() && call.path.namespace.is_none() {
        return Err(Status::method_not_allowed());
    }
    let mut items = Vec::new();
    for object in snapshot.list(&resource, call.path.namespace.as_deref(), None) {
        if !selection.is_empty() && !selection.matches(&kind, &converted(call, &object.value)) {
            continue;
        }
        match remove(api, call, &kind, object.key.name(), &options).await {
            Ok(_) => items.push((Arc::clone(&object.value), object.json.clone())),
            // Somebody else was faster.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let metadata = json!({ "resourceVersion": api.store.snapshot().revision.to_string() });
    Ok(Reply::List { metadata, items })
}

/// Deletes one object of the call's namespace.
pub(crate) async fn remove(
    api: &Api,
    call: &Call,
    kind: &Arc<Kind>,
    name: &str,
    options: &Options,
) -> Result<Reply, Status> {
    if api::resource(kind) == "/namespaces" && PROTECTED.contains(&name) {
        return Err(Status::forbidden(
            kind,
            name,
            "this namespace may not be deleted",
        ));
    }
    for _ in 0..TRIES {
        let old = api.require(kind, call.namespace(), name)?;
        check_preconditions(kind, name, &old, options)?;
        hooks(api, call, kind, name, &old)?;
        let step = step(&old.value, options, write::now());
        if options.dry_run {
            return Ok(answer(kind, &old.value, &step));
        }
        let op = match &step {
            Step::Nothing => return Ok(answer(kind, &old.value, &step)),
            Step::Mark(value) => Op::Put(value.clone()),
            Step::Remove => Op::Delete(None),
        };
        let definition = api::resource(kind) == api::DEFINITIONS && step == Step::Remove;
        let _guard = if definition {
            Some(api.definitions.lock().await)
        } else {
            None
        };
        if definition {
            remove_instances(api, &old.value).await?;
        }
        let expect = Expect::Revision(old.modified);
        let mutation = Mutation {
            key: old.key.clone(),
            expect,
            op,
        };
        match api.store.commit(vec![mutation]).await {
            Ok(stored) => {
                if definition {
                    api.refresh_registry();
                }
                let value = stored.first().map_or(&old.value, |object| &object.value);
                return Ok(answer(kind, value, &step));
            }
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(api::store_status(&error)),
        }
    }
    Err(Status::modified(kind, name))
}

fn answer(kind: &Kind, value: &Arc<Value>, step: &Step) -> Reply {
    match step {
        Step::Remove if !kind.delete_returns_object => {
            let name = text(value, &["metadata", "name"]);
            Reply::Status(Status::deleted(
                kind,
                name,
                text(value, &["metadata", "uid"]),
            ))
        }
        Step::Mark(marked) => {
            let mut marked = marked.clone();
            marked["metadata"]["resourceVersion"] = value["metadata"]["resourceVersion"].clone();
            Reply::object(200, Arc::new(marked))
        }
        _ => Reply::object(200, Arc::clone(value)),
    }
}

/// Reads the options of a DELETE.
pub(crate) fn options(call: &Call) -> Result<Options, Status> {
    let body = if call.body.is_empty() {
        json!({})
    } else {
        input::parse(call)?.0
    };
    from_value(call, &body)
}

/// Reads options from a `DeleteOptions` value and the query.
pub(crate) fn from_value(call: &Call, body: &Value) -> Result<Options, Status> {
    let string = |value: &Value| value.as_str().map(str::to_owned);
    let mut options = Options {
        grace_seconds: body["gracePeriodSeconds"].as_i64(),
        propagation: string(&body["propagationPolicy"]),
        uid: string(&body["preconditions"]["uid"]),
        revision: string(&body["preconditions"]["resourceVersion"]),
        dry_run: call.query.dry_run()? || body["dryRun"].as_array().is_some_and(|d| !d.is_empty()),
    };
    if let Some(orphan) = body["orphanDependents"].as_bool() {
        if options.propagation.is_some() {
            return Err(Status::unprocessable(
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \
                 orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        options.propagation = Some(if orphan { "Orphan" } else { "Background" }.to_owned());
    }
    let from_query = call.query.get("gracePeriodSeconds");
    if let Ok(seconds) = from_query.parse() {
        options.grace_seconds = Some(seconds);
    }
    let policy = call.query.get("propagationPolicy");
    if !policy.is_empty() {
        options.propagation = Some(policy.to_owned());
    }
    let known = ["Orphan", "Background", "Foreground"];
    if let Some(policy) = &options.propagation
        && !known.contains(&policy.as_str())
    {
        return Err(Status::unprocessable(format!(
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \
             \"{policy}\": supported values: \"Background\", \"Foreground\", \"Orphan\""
        )));
    }
    Ok(options)
}

fn check_preconditions(
    kind: &Kind,
    name: &str,
    old: &Object,
    options: &Options,
) -> Result<(), Status> {
    let stored = text(&old.value, &["metadata", "uid"]);
    let failed = |what: &str, wanted: &str, found: &str| {
        let detail = format!(
            "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
        );
        Status::conflict(kind, name, &detail)
    };
    if let Some(uid) = &options.uid
        && uid != stored
    {
        return Err(failed("UID", uid, stored));
    }
    let revision = old.modified.to_string();
    if let Some(wanted) = &options.revision
        && *wanted != revision
    {
        return Err(failed("ResourceVersion", wanted, &revision));
    }
    Ok(())
}

fn hooks(api: &Api, call: &Call, kind: &Kind, name: &str, old: &Object) -> Result<(), Status> {
    let get = api::reader(api.store.snapshot());
    let request = AdmissionRequest {
        operation: Operation::Delete,
        group: &kind.group,
        version: &kind.version,
        kind: &kind.kind,
        namespace: call.namespace(),
        name,
        subresource: None,
        user: &call.user.name,
        dry_run: call.query.dry_run()?,
        get: &*get,
    };
    for hook in &api.config.admission {
        hook.validate(&request, &old.value, None)
            .map_err(|denial| write::denied(kind, name, denial))?;
    }
    Ok(())
}

/// What a delete does to an object, from the object and the options alone.
fn step(old: &Value, options: &Options, now: Timestamp) -> Step {
    let mut new = old.clone();
    let metadata = &old["metadata"];
    let deleting = metadata
        .get("deletionTimestamp")
        .is_some_and(|time| !time.is_null());
    let finalizers = finalizers(metadata, options);
    let grace = grace_seconds(old, options);
    let namespace = text(old, &["kind"]) == "Namespace"
        && text(old, &["apiVersion"]) == "v1"
        && old["spec"]["finalizers"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
    if finalizers.is_empty() && grace == 0 && !namespace {
        return Step::Remove;
    }
    if deleting {
        let left = metadata["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
        if grace >= left && finalizers.len() == count(&metadata["finalizers"]) {
            return Step::Nothing;
        }
    }
    if finalizers.is_empty() {
        if let Some(metadata) = new["metadata"].as_object_mut() {
            metadata.shift_remove("finalizers");
        }
    } else {
        new["metadata"]["finalizers"] = json!(finalizers);
    }
    let grace = if deleting {
        grace.min(
            metadata["deletionGracePeriodSeconds"]
                .as_i64()
                .unwrap_or(grace),
        )
    } else {
        grace
    };
    let at = now
        .checked_add(SignedDuration::from_secs(grace))
        .unwrap_or(now);
    new["metadata"]["deletionTimestamp"] = json!(at.to_string());
    new["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
    if namespace {
        new["status"]["phase"] = json!("Terminating");
        if let Some(metadata) = new["metadata"].as_object_mut() {
            metadata.shift_remove("deletionGracePeriodSeconds");
        }
    }
    if let Some(generation) = metadata["generation"].as_i64()
        && !deleting
    {
        new["metadata"]["generation"] = json!(generation + 1);
    }
    Step::Mark(new)
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// The finalizers after the propagation policy has its say.
fn finalizers(metadata: &Value, options: &Options) -> Vec<String> {
    let list = metadata["finalizers"].as_array().into_iter().flatten();
    let mut list: Vec<String> = list.filter_map(Value::as_str).map(str::to_owned).collect();
    let own = match options.propagation.as_deref() {
        Some("Orphan") => Some("orphan"),
        Some("Foreground") => Some("foregroundDeletion"),
        Some(_) => None,
        None => return list,
    };
    list.retain(|name| name != "orphan" && name != "foregroundDeletion");
    list.extend(own.map(str::to_owned));
    list
}

/// Only pods that run somewhere are given time.
fn grace_seconds(old: &Value, options: &Options) -> i64 {
    if text(old, &["kind"]) != "Pod" || text(old, &["apiVersion"]) != "v1" {
        return 0;
    }
    let unscheduled = text(old, &["spec", "nodeName"]).is_empty();
    let over = matches!(text(old, &["status", "phase"]), "Succeeded" | "Failed");
    if unscheduled || over {
        return 0;
    }
    let own = old["spec"]["terminationGracePeriodSeconds"].as_i64();
    options.grace_seconds.or(own).unwrap_or(30).max(0)
}

/// Removes all objects of a definition that goes away.
async fn remove_instances(api: &Api, definition: &Value) -> Result<(), Status> {
    let resource = format!(
        "{}/{}",
        text(definition, &["spec", "group"]),
        text(definition, &["spec", "names", "plural"])
    );
    for _ in 0..TRIES {
        let snapshot = api.store.snapshot();
        let mutations: HashMap<_, _> = snapshot
            .list(&resource, None, None)
            .map(|object| (object.key.clone(), object.modified))
            .collect();
        if mutations.is_empty() {
            return Ok(());
        }
        let mutations = mutations.into_iter().map(|(key, revision)| Mutation {
            key,
            expect: Expect::Revision(revision),
            op: Op::Delete(None),
        });
        match api.store.commit(mutations.collect()).await {
            Ok(_) | Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(api::store_status(&error)),
        }
    }
    Err(Status::internal(
        "the definition's objects keep changing; try again",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(node: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "a" },
            "spec": { "nodeName": node, "terminationGracePeriodSeconds": 30 },
        })
    }

    fn at() -> Timestamp {
        Timestamp::from_second(1_000_000_000).expect("a time")
    }

    #[test]
    fn step_unscheduled_pod_goes_at_once() {
        assert_eq!(step(&pod(""), &Options::default(), at()), Step::Remove);
    }

    #[test]
    fn step_scheduled_pod_gets_its_grace_and_may_only_shorten_it() {
        let Step::Mark(marked) = step(&pod("n"), &Options::default(), at()) else {
            panic!("not marked")
        };
        assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
        assert_eq!(
            marked["metadata"]["deletionTimestamp"],
            "2001-09-09T01:47:10Z"
        );
        assert_eq!(step(&marked, &Options::default(), at()), Step::Nothing);
        let longer = Options {
            grace_seconds: Some(60),
            ..Options::default()
        };
        assert_eq!(step(&marked, &longer, at()), Step::Nothing);
        let now = Options {
            grace_seconds: Some(0),
            ..Options::default()
        };
        assert_eq!(step(&marked, &now, at()), Step::Remove);
    }

    #[test]
    fn step_foreground_waits_for_its_finalizer() {
        let object = json!({ "kind": "Deployment", "metadata": { "generation": 3 } });
        let options = Options {
            propagation: Some("Foreground".into()),
            ..Options::default()
        };
        let Step::Mark(marked) = step(&object, &options, at()) else {
            panic!("not marked")
        };
        assert_eq!(
            marked["metadata"]["finalizers"],
            json!(["foregroundDeletion"])
        );
        assert_eq!(marked["metadata"]["generation"], 4);
    }

    #[test]
    fn step_namespace_becomes_terminating() {
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {},
            "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
        });
        let Step::Mark(marked) = step(&object, &Options::default(), at()) else {
            panic!("not marked")
        };
        assert_eq!(marked["status"]["phase"], "Terminating");
    }
}

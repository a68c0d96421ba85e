//! GET of one object and of lists.

use std::sync::Arc;

use aviary_kinds::Status;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Call, reply::Reply, select::Selection};
use crate::{
    api::{self, Api},
    store::{Error, Key, Object, Snapshot},
};

/// Where a paged list goes on.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Continue {
    v: String,
    rv: i64,
    start: String,
}

/// One object.
pub(crate) fn get(api: &Api, call: &Call) -> Result<Reply, Status> {
    if let Some(revision) = call.query.revision("resourceVersion")? {
        reached(api, revision)?;
    }
    let object = api.require(&call.kind, call.namespace(), call.name())?;
    Ok(Reply::Object {
        code: 200,
        value: Arc::clone(&object.value),
        json: Some(object.json.clone()),
    })
}

/// A list.
pub(crate) fn list(api: &Api, call: &Call) -> Result<Reply, Status> {
    let selection = Selection::parse(&call.query, &call.kind, None)?;
    let limit = usize::try_from(call.query.number("limit")?.unwrap_or(0)).unwrap_or(usize::MAX);
    let (snapshot, after) = match start(api, call)? {
        Start::At(snapshot, after) => (snapshot, after),
        Start::Expired(after) => return Ok(expired(&after)),
    };
    let resource = api::resource(&call.kind);
    let namespace = call.path.namespace.as_deref();
    let mut items: Vec<(Arc<Value>, Bytes)> = Vec::new();
    let mut last: Option<&Arc<Object>> = None;
    let mut more = 0_usize;
    let after = after.map(|start| format!("{resource}\0{start}"));
    for object in snapshot.list(&resource, namespace, after.as_deref()) {
        if limit > 0 && items.len() == limit {
            more += 1;
            if !selection.is_empty() {
                break;
            }
        } else if selection.is_empty() || matches(call, &selection, object) {
            items.push((Arc::clone(&object.value), object.json.clone()));
            last = Some(object);
        }
    }
    let mut metadata = json!({ "resourceVersion": snapshot.revision.to_string() });
    if more > 0
        && let Some(object) = last
    {
        metadata["continue"] = Value::String(token(snapshot.revision, &object.key));
        if selection.is_empty() {
            metadata["remainingItemCount"] = json!(more);
        }
    }
    Ok(Reply::List { metadata, items })
}

fn matches(call: &Call, selection: &Selection, object: &Object) -> bool {
    let shown = super::reply::converted(call, &object.value);
    selection.matches(&call.kind, &shown)
}

/// Where a list begins.
enum Start {
    /// The state to list, and the key (without the resource) to go on after.
    At(Snapshot, Option<String>),
    /// The state that the client was paging through is forgotten; it was at this key.
    Expired(String),
}

fn start(api: &Api, call: &Call) -> Result<Start, Status> {
    let given = call.query.get("continue");
    if !given.is_empty() {
        let token = read_token(given).ok_or_else(|| {
            Status::bad_request("continue key is not valid: the token is damaged")
        })?;
        let Ok(revision) = u64::try_from(token.rv) else {
            return Ok(Start::At(api.store.snapshot(), Some(token.start)));
        };
        return Ok(match api.store.snapshot_at(revision) {
            Ok(snapshot) => Start::At(snapshot, Some(token.start)),
            Err(_) => Start::Expired(token.start),
        });
    }
    let exact = call.query.get("resourceVersionMatch") == "Exact";
    let revision = call.query.revision("resourceVersion")?;
    match revision {
        None if !call.query.get("resourceVersionMatch").is_empty() => Err(Status::unprocessable(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless \
                 resourceVersion is provided",
        )),
        Some(revision) if exact => {
            let snapshot = api
                .store
                .snapshot_at(revision)
                .map_err(|error| history(&error))?;
            Ok(Start::At(snapshot, None))
        }
        Some(revision) => {
            reached(api, revision)?;
            Ok(Start::At(api.store.snapshot(), None))
        }
        None => Ok(Start::At(api.store.snapshot(), None)),
    }
}

/// 504 for a revision that does not exist yet.
pub(crate) fn reached(api: &Api, revision: u64) -> Result<(), Status> {
    let current = api.store.snapshot().revision;
    if revision > current {
        return Err(Status::resource_version_too_large(revision, current));
    }
    Ok(())
}

/// The answer for a revision that cannot be served.
pub(crate) fn history(error: &Error) -> Status {
    match error {
        Error::Compacted { asked, oldest } => Status::too_old_resource_version(*asked, *oldest),
        Error::Future { asked, current } => Status::resource_version_too_large(*asked, *current),
        other => api::store_status(other),
    }
}

fn token(revision: u64, key: &Key) -> String {
    let start = format!("{}\0{}", key.namespace(), key.name());
    encode(&Continue {
        v: "meta.k8s.io/v1".to_owned(),
        rv: i64::try_from(revision).unwrap_or(-1),
        start,
    })
}

fn encode(token: &Continue) -> String {
    let text = json!({ "v": token.v, "rv": token.rv, "start": token.start });
    URL_SAFE_NO_PAD.encode(text.to_string())
}

fn read_token(text: &str) -> Option<Continue> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// 410 with a token that goes on with the latest state.
fn expired(start: &str) -> Reply {
    let fresh = encode(&Continue {
        v: "meta.k8s.io/v1".to_owned(),
        rv: -1,
        start: start.to_owned(),
    });
    let mut value = Status::expired_continue().to_value();
    value["metadata"] = json!({ "continue": fresh });
    Reply::Plain { code: 410, value }
}

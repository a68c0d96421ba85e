//! POST: new objects.

use std::sync::Arc;

use aviary_kinds::{Cause, Kind, Status};
use serde_json::{Value, json};

use super::{
    Call, input,
    reply::Reply,
    write::{self, Attempt, Base},
};
use crate::api::{Api, text};

/// Letters of generated names: no vowels, no look-alikes.
/// Source: Kubernetes `apimachinery/pkg/util/rand`.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Longest base of a generated name.
const BASE: usize = 58;
/// Names tried before giving up.
const TRIES: usize = 8;

/// POST to a collection.
pub(crate) async fn answer(api: &Arc<Api>, call: &mut Call) -> Result<Reply, Status> {
    let object = input::object(call)?;
    if call.kind.namespaced() && call.path.namespace.is_none() {
        return Err(Status::method_not_allowed());
    }
    insert(api, call, object, false).await
}

/// Stores a decoded object that must not exist yet.
pub(crate) async fn insert(
    api: &Api,
    call: &mut Call,
    mut object: Value,
    applied: bool,
) -> Result<Reply, Status> {
    let kind = Arc::clone(&call.kind);
    let namespace = call.namespace().to_owned();
    prepare_metadata(&kind, &namespace, &mut object)?;
    if kind.namespaced() {
        open_namespace(api, &kind, &namespace, text(&object, &["metadata", "name"]))?;
    }
    let generated = text(&object, &["metadata", "name"]).is_empty();
    let base_name = text(&object, &["metadata", "generateName"]).to_owned();
    for _ in 0..TRIES {
        let mut object = object.clone();
        if generated {
            object["metadata"]["name"] = json!(generate(&base_name));
        }
        let name = text(&object, &["metadata", "name"]).to_owned();
        let base = Base {
            kind: &kind,
            namespace: &namespace,
            name: &name,
            subresource: None,
            old: None,
            applied,
        };
        if !generated && api.read(&kind, &namespace, &name).is_some() {
            return Err(Status::already_exists(&kind, &name));
        }
        match write::store(api, call, &base, object).await? {
            Attempt::Done(reply) => return Ok(reply),
            Attempt::Changed if generated => {}
            Attempt::Changed => return Err(Status::already_exists(&kind, &name)),
        }
    }
    Err(Status::too_many_requests(
        "no unused name was found for generateName; try again",
        1,
    ))
}

/// `<base><5 letters>`.
pub(crate) fn generate(base: &str) -> String {
    let base: String = base.chars().take(BASE).collect();
    let suffix = (0..5).map(|_| {
        let index = rand::random_range(0..LETTERS.len());
        char::from(LETTERS[index])
    });
    base.chars().chain(suffix).collect()
}

fn prepare_metadata(kind: &Kind, namespace: &str, object: &mut Value) -> Result<(), Status> {
    let Some(map) = object.as_object_mut() else {
        return Err(Status::bad_request("the body is no object"));
    };
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else {
        return Err(Status::bad_request("metadata is no object"));
    };
    let string =
        |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    if !string(metadata.get("resourceVersion")).is_empty() {
        return Err(Status::internal_text(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let given = string(metadata.get("namespace"));
    if kind.namespaced() {
        if !given.is_empty() && given != namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata.insert("namespace".to_owned(), json!(namespace));
    } else if !given.is_empty() {
        return Err(Status::bad_request(
            "namespace is not allowed on this type: the kind is cluster-scoped",
        ));
    }
    if string(metadata.get("name")).is_empty() && string(metadata.get("generateName")).is_empty() {
        let cause = Cause::required("metadata.name", "name or generateName is required");
        return Err(Status::invalid(kind, "", vec![cause]));
    }
    for name in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
    ] {
        metadata.shift_remove(name);
    }
    metadata.insert("uid".to_owned(), json!(uid()));
    metadata.insert(
        "creationTimestamp".to_owned(),
        json!(write::now().to_string()),
    );
    Ok(())
}

/// A random (version 4) UUID.
pub(crate) fn uid() -> String {
    let mut bytes: [u8; 16] = rand::random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let number = u128::from_be_bytes(bytes);
    let part = |shift: u32, bits: u32| (number >> shift) & ((1 << bits) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        part(96, 32),
        part(80, 16),
        part(64, 16),
        part(48, 16),
        part(0, 48)
    )
}

/// The namespace must exist and not be on its way out.
fn open_namespace(api: &Api, kind: &Kind, namespace: &str, name: &str) -> Result<(), Status> {
    let key = crate::store::Key::new("/namespaces", "", namespace);
    let snapshot = api.store.snapshot();
    let Some(object) = snapshot.get(&key) else {
        return Err(Status::not_found_resource("", "namespaces", namespace));
    };
    if text(&object.value, &["status", "phase"]) != "Terminating" {
        return Ok(());
    }
    let detail = format!(
        "unable to create new content in namespace {namespace} because it is being terminated"
    );
    let message = format!("namespace {namespace} is being terminated");
    let mut cause = Cause::forbidden("metadata.namespace", "");
    cause.reason = "NamespaceTerminating";
    cause.message = message;
    Err(Status::forbidden(kind, name, &detail).with_causes(vec![cause]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generate_long_base_is_cut() {
        let name = generate(&"a".repeat(80));
        assert_eq!(name.len(), 63);
        assert!(name.bytes().skip(58).all(|byte| LETTERS.contains(&byte)));
    }

    #[test]
    fn uid_is_a_version_4_uuid() {
        let uid = uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(uid.as_bytes()[14], b'4');
    }
}

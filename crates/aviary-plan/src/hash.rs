//! Names derived from a pod template: opaque, stable, safe to read aloud.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use crate::object::to_value;

/// Label that distinguishes the pods of one ReplicaSet from those of its siblings.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Hash of a template, 8 to 10 characters of an alphabet without vowels.
///
/// `collisions` is the Deployment's `status.collisionCount`; each value gives another name.
/// Source: the form of Kubernetes' pod-template-hash (32-bit FNV, printed in decimal, characters
/// mapped to the safe alphabet); the value differs since the input there is a Go dump.
pub fn template_hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut hash = fnv1a(0x811c_9dc5, canonical(template).to_string().as_bytes());
    if let Some(collisions) = collisions {
        hash = fnv1a(hash, &collisions.to_le_bytes());
    }
    format!("{hash:08}")
        .bytes()
        .map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]))
        .collect()
}

/// Hash of any value, the order of its members left aside, as 8 hexadecimal digits.
pub fn value_hash(value: Value) -> String {
    let text = normalise(value).to_string();
    format!("{:08x}", fnv1a(0x811c_9dc5, text.as_bytes()))
}

/// Whether two templates ask for the same pods, the hash label left aside.
pub fn same_template(left: &PodTemplateSpec, right: &PodTemplateSpec) -> bool {
    canonical(left) == canonical(right)
}

/// The template with sorted keys, without the hash label and without empty members.
fn canonical(template: &PodTemplateSpec) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template
        .metadata
        .as_mut()
        .and_then(|meta| meta.labels.as_mut())
    {
        labels.remove(POD_TEMPLATE_HASH);
    }
    normalise(to_value(&template))
}

fn normalise(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map
                .into_iter()
                .map(|(key, value)| (key, normalise(value)))
                .filter(|(_, value)| !is_void(value))
                .collect();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => {
            // An empty item keeps its place: the length of a list has meaning.
            Value::Array(items.into_iter().map(normalise).collect())
        }
        other => other,
    }
}

fn is_void(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn fnv1a(seed: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(seed, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(value: Value) -> PodTemplateSpec {
        serde_json::from_value(value).expect("a template")
    }

    #[test]
    fn hash_is_stable_and_ignores_its_own_label_and_empty_members() {
        let plain = template(
            json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c"}]}}),
        );
        let marked = template(
            json!({"metadata": {"labels": {"app": "x", "pod-template-hash": "zzz"}},
            "spec": {"containers": [{"name": "c", "resources": {}}], "securityContext": {}}}),
        );
        assert!(same_template(&plain, &marked));
        assert_eq!(template_hash(&plain, None), template_hash(&marked, None));
        assert_ne!(template_hash(&plain, None), template_hash(&plain, Some(1)));
    }

    #[test]
    fn hash_differs_by_image_and_has_the_usual_form() {
        let hash = |image: &str| {
            template_hash(
                &template(json!({"spec": {"containers": [{"name": "c", "image": image}]}})),
                None,
            )
        };
        assert_ne!(hash("a:1"), hash("a:2"));
        let value = hash("a:1");
        assert!((8..=10).contains(&value.len()), "{value}");
        assert!(
            value.bytes().all(|byte| ALPHABET.contains(&byte)),
            "{value}"
        );
    }
}

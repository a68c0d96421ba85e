//! Fields of the model that Envoy has no place for: JSON in typed metadata under the key `aviary`.
//!
//! Maps have no order, and encoding the same value twice must give the same bytes: a map of a
//! message holds one key, or is made by [`add`].

use std::collections::HashMap;

use envoy_types::pb::envoy::config::core::v3::Metadata;
use envoy_types::pb::google::protobuf::{StringValue, Struct, Value, value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Fault;
use super::value::{any, unpack};

const KEY: &str = "aviary";

/// Metadata with `extra`, when it is not the default, and one text in Istio's struct.
pub(super) fn metadata<E: Serialize + Default + PartialEq>(
    extra: &E,
    istio: Option<(&str, String)>,
) -> Option<Metadata> {
    let mut metadata = Metadata::default();
    if *extra != E::default() {
        let json = serde_json::to_string(extra).unwrap_or_default();
        metadata.typed_filter_metadata =
            HashMap::from([(KEY.to_owned(), any(&StringValue { value: json }))]);
    }
    if let Some((key, text)) = istio {
        let text = Value {
            kind: Some(value::Kind::StringValue(text)),
        };
        let istio = Struct {
            fields: HashMap::from([(key.to_owned(), text)]),
        };
        metadata.filter_metadata = HashMap::from([("istio".to_owned(), istio)]);
    }
    (metadata != Metadata::default()).then_some(metadata)
}

/// Adds a struct to the metadata, so that all are in the order of their names.
pub(super) fn add(metadata: &mut Metadata, key: &str, fields: Struct) {
    let mut all: Vec<_> = metadata.filter_metadata.drain().collect();
    all.push((key.to_owned(), fields));
    all.sort_by(|(left, _), (right, _)| left.cmp(right));
    // Every map has an order of its own by chance; there are two or three keys.
    while !metadata
        .filter_metadata
        .keys()
        .eq(all.iter().map(|(key, _)| key))
    {
        metadata.filter_metadata = all.iter().cloned().collect();
    }
}

/// The extra fields; their defaults when there are none.
pub(super) fn extra_of<E: DeserializeOwned + Default>(
    metadata: Option<&Metadata>,
) -> Result<E, Fault> {
    let Some(any) = metadata.and_then(|metadata| metadata.typed_filter_metadata.get(KEY)) else {
        return Ok(E::default());
    };
    let text: StringValue = unpack(any)?;
    serde_json::from_str(&text.value).map_err(|error| Fault::new(error.to_string()))
}

/// A text of Istio's struct; empty when absent.
pub(super) fn istio_text_of(metadata: Option<&Metadata>, key: &str) -> String {
    let value = metadata
        .and_then(|metadata| metadata.filter_metadata.get("istio"))
        .and_then(|istio| istio.fields.get(key))
        .and_then(|value| value.kind.as_ref());
    match value {
        Some(value::Kind::StringValue(text)) => text.clone(),
        _ => String::new(),
    }
}

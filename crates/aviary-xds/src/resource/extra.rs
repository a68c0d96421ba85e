//! Fields of the model that Envoy has no place for: JSON in typed metadata under the key `aviary`.

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

/// Adds a struct to the metadata.
pub(super) fn add(metadata: &mut Metadata, key: &str, fields: Struct) {
    metadata.filter_metadata.insert(key.to_owned(), fields);
}

/// Takes the extra fields out; their defaults when there are none.
///
/// What else stands in metadata is for others to read and means nothing here.
pub(super) fn take_extra<E: DeserializeOwned + Default>(
    metadata: &mut Option<Metadata>,
) -> Result<E, Fault> {
    let metadata = metadata.take();
    let Some(any) = metadata
        .as_ref()
        .and_then(|it| it.typed_filter_metadata.get(KEY))
    else {
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

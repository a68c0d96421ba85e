//! Reading bodies.

use aviary_kinds::{Decoded, Kind, Status, parse_json, protobuf};
use serde_json::Value;

use super::Call;

/// Largest accepted body in bytes.
pub(crate) const LIMIT: usize = 3 * 1024 * 1024;

const ACCEPTED: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];

/// A body as a JSON value, with the paths of duplicate keys.
pub(crate) fn parse(call: &Call) -> Result<(Value, Vec<String>), Status> {
    let media = media_type(call);
    if protobuf::is_protobuf(&call.body) {
        return match protobuf::decode(&call.body) {
            Ok(value) => Ok((value, Vec::new())),
            Err(protobuf::Error::UnknownKind { .. }) => Err(Status::unsupported_media_type(&[
                "application/json",
                "application/yaml",
            ])),
            Err(error) => Err(Status::bad_request(error.to_string())),
        };
    }
    match media.as_str() {
        "application/json" | "" | "*/*" => parse_json(&call.body).map_err(|error| {
            Status::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): couldn't get \
                 version/kind; json parse error: {error} ({})",
                call.kind.kind,
                excerpt(&call.body)
            ))
        }),
        "application/yaml" | "text/yaml" | "application/x-yaml" => {
            Ok((yaml(&call.body)?, Vec::new()))
        }
        _ => Err(Status::unsupported_media_type(ACCEPTED)),
    }
}

/// A body as an object of the call's kind; its warnings go to the answer.
pub(crate) fn object(call: &mut Call) -> Result<Value, Status> {
    let (value, duplicates) = parse(call)?;
    let mode = call.query.field_validation()?;
    let Decoded { object, warnings } = call
        .kind
        .decode_with_duplicates(&value, mode, &duplicates)
        .map_err(|error| Status::bad_request(error.to_string()))?;
    call.warnings.extend(warnings);
    Ok(object)
}

/// An object that a patch made, checked as a body would be.
pub(crate) fn patched(call: &mut Call, kind: &Kind, value: &Value) -> Result<Value, Status> {
    let mode = call.query.field_validation()?;
    let Decoded { object, warnings } = kind
        .decode(value, mode)
        .map_err(|error| Status::bad_request(error.to_string()))?;
    call.warnings.extend(warnings);
    Ok(object)
}

/// YAML (a JSON text is one, too).
pub(crate) fn yaml(bytes: &[u8]) -> Result<Value, Status> {
    serde_saphyr::from_slice(bytes)
        .map_err(|error| Status::bad_request(format!("error converting YAML to JSON: {error}")))
}

/// The body's media type without parameters.
pub(crate) fn media_type(call: &Call) -> String {
    let header = call.headers.get(http::header::CONTENT_TYPE);
    let text = header
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    text.split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

fn excerpt(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().take(16).fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

//! Answers: objects, lists and statuses in the shape that the client asked for.

use std::{io, sync::Arc};

use aviary_kinds::{Status, table};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Call, accept::Shape, query::Query, target::Path};

/// Body of every answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What a verb answers, before it is shaped.
pub(crate) enum Reply {
    /// One object.
    Object {
        code: u16,
        value: Arc<Value>,
        /// Its text, if it is at hand.
        json: Option<Bytes>,
    },
    /// A list: `metadata` of the list and its objects.
    List {
        metadata: Value,
        items: Vec<(Arc<Value>, Bytes)>,
    },
    /// Done, nothing to show.
    Status(Status),
    /// An object that is never shaped (`Scale`).
    Plain { code: u16, value: Value },
    /// Already an answer (streams).
    Response(Response<Body>),
}

impl Reply {
    pub(crate) fn object(code: u16, value: Arc<Value>) -> Self {
        Self::Object {
            code,
            value,
            json: None,
        }
    }
}

/// Shapes an answer and adds the warnings of the call.
pub(crate) async fn finish(
    call: &Call,
    outcome: Result<Reply, Status>,
) -> Result<Response<Body>, Status> {
    let mut response = match outcome {
        Err(error) => status(&error),
        Ok(Reply::Status(success)) => status(&success),
        Ok(Reply::Plain { code, value }) => value_response(code, &value),
        Ok(Reply::Response(response)) => response,
        Ok(Reply::Object { code, value, json }) => {
            object(call, code, &value, json, include(&call.query)?)
        }
        Ok(Reply::List { metadata, items }) => list(call, metadata, &items, include(&call.query)?),
    };
    if call.shape == Shape::Yaml && !is_stream(call) {
        response = yaml(response).await?;
    }
    for warning in &call.warnings {
        let text = format!("299 - {}", quoted(warning));
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    Ok(response)
}

/// Watches and logs stay as they are.
fn is_stream(call: &Call) -> bool {
    call.path.watch || call.query.flag("watch") || call.path.subresource == "log"
}

/// A JSON answer as YAML.
async fn yaml(response: Response<Body>) -> Result<Response<Body>, Status> {
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await.map_err(Status::internal)?.to_bytes();
    let value: Value = serde_json::from_slice(&bytes).map_err(Status::internal)?;
    let text = serde_saphyr::to_string(&value).map_err(Status::internal)?;
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/yaml"),
    );
    Ok(Response::from_parts(parts, full(text.into())))
}

fn object(
    call: &Call,
    code: u16,
    value: &Arc<Value>,
    text: Option<Bytes>,
    include: table::IncludeObject,
) -> Response<Body> {
    match call.shape {
        Shape::Table => {
            let revision = crate::api::text(value, &["metadata", "resourceVersion"]);
            let metadata = json!({"resourceVersion": revision});
            let shown = converted(call, value);
            let objects = std::iter::once(shown.as_ref());
            let now = Timestamp::now();
            let table = table::table(&call.kind, objects, metadata, now, include, true);
            value_response(code, &table)
        }
        Shape::Metadata => value_response(code, &metadata_only(value, "PartialObjectMetadata")),
        Shape::Plain | Shape::Discovery | Shape::Yaml => match text {
            Some(text) if is_version(call, value) => json_response(code, text),
            _ => value_response(code, &converted(call, value)),
        },
    }
}

fn list(
    call: &Call,
    metadata: Value,
    items: &[(Arc<Value>, Bytes)],
    include: table::IncludeObject,
) -> Response<Body> {
    let kind = &call.kind;
    match call.shape {
        Shape::Table => {
            let shown: Vec<Arc<Value>> = items
                .iter()
                .map(|(value, _)| converted(call, value))
                .collect();
            let objects = shown.iter().map(AsRef::as_ref);
            let table = table::table(kind, objects, metadata, Timestamp::now(), include, true);
            value_response(200, &table)
        }
        Shape::Metadata => {
            let items: Vec<Value> = items
                .iter()
                .map(|(value, _)| metadata_only(value, "PartialObjectMetadata"))
                .collect();
            let list = json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
                "items": items,
            });
            value_response(200, &list)
        }
        Shape::Plain | Shape::Discovery | Shape::Yaml => {
            let head = format!(
                "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
                json!(kind.list_kind),
                json!(kind.api_version()),
            );
            let mut text = head.into_bytes();
            for (index, (value, json)) in items.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                if is_version(call, value) {
                    text.extend_from_slice(json);
                } else {
                    text.extend_from_slice(converted(call, value).to_string().as_bytes());
                }
            }
            text.extend_from_slice(b"]}");
            json_response(200, text.into())
        }
    }
}

pub(crate) fn include(query: &Query) -> Result<table::IncludeObject, Status> {
    match query.get("includeObject") {
        "" | "Metadata" => Ok(table::IncludeObject::Metadata),
        "None" => Ok(table::IncludeObject::None),
        "Object" => Ok(table::IncludeObject::Object),
        other => Err(Status::bad_request(format!(
            "unrecognized includeObject value: \"{other}\""
        ))),
    }
}

/// Whether an object is stored in the version that the path names.
fn is_version(call: &Call, value: &Value) -> bool {
    crate::api::text(value, &["apiVersion"]) == call.kind.api_version()
}

/// The object in the version that the path names.
pub(crate) fn converted(call: &Call, value: &Arc<Value>) -> Arc<Value> {
    if is_version(call, value) {
        return Arc::clone(value);
    }
    Arc::new(crate::convert::to(&call.kind, value))
}

/// `PartialObjectMetadata` of an object.
pub(crate) fn metadata_only(value: &Value, kind: &str) -> Value {
    json!({
        "kind": kind,
        "apiVersion": "meta.k8s.io/v1",
        "metadata": value.get("metadata").cloned().unwrap_or_default(),
    })
}

/// A `Status` as an answer.
pub(crate) fn status(status: &Status) -> Response<Body> {
    let mut response = value_response(status.code, &status.to_value());
    let retry = status
        .details
        .as_ref()
        .map_or(0, |details| details.retry_after_seconds);
    if retry > 0 {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(retry));
    }
    if status.code == 401 {
        let basic = HeaderValue::from_static("Bearer realm=\"aviary\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, basic);
    }
    response
}

/// 403 for a resource whose kind need not exist.
pub(crate) fn forbidden(path: &Path, detail: &str) -> Status {
    let resource = if path.group.is_empty() {
        path.plural.clone()
    } else {
        format!("{}.{}", path.plural, path.group)
    };
    let message = match &path.name {
        Some(name) => format!("{resource} \"{name}\" is forbidden: {detail}"),
        None => format!("{resource} is forbidden: {detail}"),
    };
    let mut status = Status::forbidden_path("", "", "");
    status.message = message;
    let details = status.details.get_or_insert_default();
    details.name = path.name.clone().unwrap_or_default();
    details.group.clone_from(&path.group);
    details.kind.clone_from(&path.plural);
    status
}

pub(crate) fn value_response(code: u16, value: &Value) -> Response<Body> {
    json_response(code, Bytes::from(value.to_string()))
}

pub(crate) fn json_response(code: u16, text: Bytes) -> Response<Body> {
    with_type(code, "application/json", text)
}

pub(crate) fn text(code: u16, text: &'static str) -> Response<Body> {
    with_type(
        code,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

fn with_type(code: u16, media: &'static str, text: Bytes) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() =
        StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

pub(crate) fn full(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A quoted string of an HTTP header.
fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace(['\n', '\r'], " "))
}

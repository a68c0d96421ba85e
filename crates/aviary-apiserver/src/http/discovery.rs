//! Version, discovery and OpenAPI documents; each is made once per registry.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use aviary_kinds::{
    Registry, Status,
    discovery::{self, Root},
    openapi,
};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    accept::Shape,
    query::Query,
    reply::{self, Body},
    target::Target,
};
use crate::api::Api;

const DISCOVERY_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// A document with its hash.
#[derive(Clone)]
struct Document {
    text: Bytes,
    hash: String,
}

/// What is derived from one registry, on first use.
pub(crate) struct Documents {
    registry: Arc<Registry>,
    core: OnceLock<Document>,
    groups: OnceLock<Document>,
    index: OnceLock<Document>,
    openapi: Mutex<HashMap<(String, String), Option<Document>>>,
}

impl Document {
    fn new(value: &Value) -> Self {
        use std::fmt::Write as _;
        let text = Bytes::from(value.to_string());
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
        let hash = digest
            .as_ref()
            .iter()
            .take(16)
            .fold(String::new(), |mut hash, byte| {
                // Writing to a String cannot fail.
                let _ = write!(hash, "{byte:02X}");
                hash
            });
        Self { text, hash }
    }
}

impl Documents {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            core: OnceLock::new(),
            groups: OnceLock::new(),
            index: OnceLock::new(),
            openapi: Mutex::new(HashMap::new()),
        }
    }

    fn aggregated(&self, root: Root) -> &Document {
        let cell = if root == Root::Core {
            &self.core
        } else {
            &self.groups
        };
        cell.get_or_init(|| Document::new(&discovery::aggregated(&self.registry, root)))
    }

    fn openapi_document(&self, group: &str, version: &str) -> Option<Document> {
        let key = (group.to_owned(), version.to_owned());
        if let Some(document) = self.openapi.lock().get(&key) {
            return document.clone();
        }
        let document = openapi::document(&self.registry, group, version);
        let document = document.as_ref().map(Document::new);
        self.openapi.lock().insert(key, document.clone());
        document
    }

    fn openapi_index(&self) -> &Document {
        self.index.get_or_init(|| {
            let hash = |group: &str, version: &str| {
                self.openapi_document(group, version)
                    .map_or_else(String::new, |doc| doc.hash)
            };
            Document::new(&openapi::index(&self.registry, hash))
        })
    }
}

/// `/version`
pub(crate) fn version() -> Response<Body> {
    let version = json!({
        "major": "1",
        "minor": "36",
        "gitVersion": format!("v1.36.2-aviary.{}", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    });
    reply::value_response(200, &version)
}

/// `/openapi/v2`: an empty document in protobuf.
///
/// kubectl asks for it when it meets a kind that version 3 does not describe, such as `List`; it
/// then only needs to learn that version 2 does not describe it either.
/// Source: gnostic `openapiv2/OpenAPIv2.proto`, message Document (swagger 1, info 2, paths 8,
/// definitions 9).
pub(crate) fn old_openapi() -> Response<Body> {
    let document = b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.36.2\x42\x00\x4a\x00";
    let mut response = reply::json_response(200, Bytes::from_static(document));
    let media =
        HeaderValue::from_static("application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response
}

/// Everything that is no resource and no health check.
pub(crate) fn answer(
    api: &Api,
    target: &Target,
    shape: Shape,
    none_match: &str,
    query: &Query,
) -> Result<Response<Body>, Status> {
    let served = api.served();
    let documents = &served.documents;
    let aggregated = shape == Shape::Discovery;
    let value = match target {
        Target::Core if aggregated => {
            return Ok(tagged(
                documents.aggregated(Root::Core),
                DISCOVERY_TYPE,
                none_match,
            ));
        }
        Target::Groups if aggregated => {
            return Ok(tagged(
                documents.aggregated(Root::Groups),
                DISCOVERY_TYPE,
                none_match,
            ));
        }
        Target::OpenApi => {
            return Ok(tagged(
                documents.openapi_index(),
                "application/json",
                none_match,
            ));
        }
        Target::Document { group, version } => {
            let document = documents.openapi_document(group, version);
            let document = document.ok_or_else(Status::no_such_resource)?;
            let mut response = tagged(&document, "application/json", none_match);
            if query.get("hash") == document.hash {
                let forever = HeaderValue::from_static("public, immutable");
                response
                    .headers_mut()
                    .insert(header::CACHE_CONTROL, forever);
            }
            return Ok(response);
        }
        Target::Core => Some(discovery::api_versions("127.0.0.1")),
        Target::Groups => Some(discovery::api_groups(&served.registry)),
        Target::Group(group) => discovery::api_group(&served.registry, group),
        Target::Resources { group, version } => {
            discovery::resource_list(&served.registry, group, version)
        }
        _ => return Ok(reply::text(404, "404 page not found\n")),
    };
    let value = value.ok_or_else(Status::no_such_resource)?;
    Ok(reply::value_response(200, &value))
}

/// A document with its `ETag`, or 304 if the client has it.
fn tagged(document: &Document, media: &'static str, none_match: &str) -> Response<Body> {
    let tag = format!("\"{}\"", document.hash);
    let mut response = if none_match.split(',').any(|given| given.trim() == tag) {
        let mut response = Response::new(reply::full(Bytes::new()));
        *response.status_mut() = http::StatusCode::NOT_MODIFIED;
        response
    } else {
        reply::json_response(200, document.text.clone())
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

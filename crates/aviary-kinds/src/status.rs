//! `Status` objects: how every refusal is told to the client.
//!
//! Source: k8s.io/apimachinery `pkg/api/errors` (codes, reasons and texts).

use serde_json::{Map, Value, json};

use crate::kind::Kind;

/// One finding about one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable reason: `FieldValueInvalid`, `FieldValueRequired`, ...
    pub reason: &'static str,
    /// Text without the field: `Invalid value: -1: must be greater than or equal to 0`.
    pub message: String,
    /// Path of the field: `spec.replicas`.
    pub field: String,
}

impl Cause {
    /// `Required value[: detail]`.
    pub fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self {
            reason: "FieldValueRequired",
            message,
            field: field.into(),
        }
    }

    /// `Invalid value: <value>: detail`; strings are quoted, objects are shown as JSON.
    pub fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = format!("Invalid value: {value}: {detail}");
        Self {
            reason: "FieldValueInvalid",
            message,
            field: field.into(),
        }
    }

    /// `Duplicate value: <value>`.
    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Duplicate value: {value}");
        Self {
            reason: "FieldValueDuplicate",
            message,
            field: field.into(),
        }
    }

    /// `Unsupported value: <value>: supported values: "a", "b"`.
    pub fn unsupported(field: impl Into<String>, value: &Value, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("\"{s}\"")).collect();
        let message = format!(
            "Unsupported value: {value}: supported values: {}",
            list.join(", ")
        );
        Self {
            reason: "FieldValueNotSupported",
            message,
            field: field.into(),
        }
    }

    /// `Forbidden: detail`.
    pub fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        let message = format!("Forbidden: {detail}");
        Self {
            reason: "FieldValueForbidden",
            message,
            field: field.into(),
        }
    }

    /// `Not found: <value>`.
    pub fn not_found(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Not found: {value}");
        Self {
            reason: "FieldValueNotFound",
            message,
            field: field.into(),
        }
    }

    /// `Too long: may not be more than <max> bytes`.
    pub fn too_long(field: impl Into<String>, max: usize) -> Self {
        let message = format!("Too long: may not be more than {max} bytes");
        Self {
            reason: "FieldValueTooLong",
            message,
            field: field.into(),
        }
    }
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// What an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group.
    pub group: String,
    /// Resource (plural) or, for validation, the kind.
    pub kind: String,
    /// Uid of the object, when known.
    pub uid: String,
    /// Findings.
    pub causes: Vec<Cause>,
    /// Wait this long before trying again; 0 says nothing.
    pub retry_after_seconds: u32,
}

/// An answer that is not an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason; empty when there is none.
    pub reason: &'static str,
    /// Text for people.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
}

impl Status {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self {
            code,
            reason,
            message,
            details: None,
        }
    }

    fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        group.clone_into(&mut details.group);
        kind.clone_into(&mut details.kind);
        name.clone_into(&mut details.name);
        self
    }

    /// Adds findings.
    #[must_use]
    pub fn with_causes(mut self, causes: Vec<Cause>) -> Self {
        self.details.get_or_insert_default().causes = causes;
        self
    }

    /// Tells the client when to try again.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// 404: the object is not there.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Self::not_found_resource(&kind.group, &kind.plural, name)
    }

    /// 404 by names, for objects of kinds that may not be at hand (`namespaces "x" not found`).
    pub fn not_found_resource(group: &str, plural: &str, name: &str) -> Self {
        let resource = group_resource(group, plural);
        Self::new(404, "NotFound", format!("{resource} \"{name}\" not found"))
            .about(group, plural, name)
    }

    /// 404: no such path among the resources.
    pub fn no_such_resource() -> Self {
        let mut status = Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource".to_owned(),
        );
        status.details = Some(Box::default());
        status
    }

    /// 409: the name is taken.
    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.group_resource());
        Self::new(409, "AlreadyExists", message).about(&kind.group, &kind.plural, name)
    }

    /// 409 with any detail.
    pub fn conflict(kind: &Kind, name: &str, detail: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {detail}",
            kind.group_resource()
        );
        Self::new(409, "Conflict", message).about(&kind.group, &kind.plural, name)
    }

    /// 409: the object has changed since the client read it.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and \
             try again",
        )
    }

    /// 409 of server-side apply; `message` and causes come from [`crate::fields`].
    pub fn apply_conflict(message: String, causes: Vec<Cause>) -> Self {
        Self::new(409, "Conflict", message).with_causes(causes)
    }

    /// 422: the object breaks rules of its kind.
    pub fn invalid(kind: &Kind, name: &str, causes: Vec<Cause>) -> Self {
        let list = match &causes[..] {
            [one] => one.to_string(),
            many => {
                let texts: Vec<String> = many.iter().map(ToString::to_string).collect();
                format!("[{}]", texts.join(", "))
            }
        };
        let message = format!("{} \"{name}\" is invalid: {list}", kind.group_kind());
        Self::new(422, "Invalid", message)
            .about(&kind.group, &kind.kind, name)
            .with_causes(causes)
    }

    /// 422 of a patch that cannot be carried out.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message.into())
    }

    /// 403 with any detail: `<resource> "<name>" is forbidden: <detail>`.
    pub fn forbidden(kind: &Kind, name: &str, detail: &str) -> Self {
        let resource = kind.group_resource();
        let message = if name.is_empty() {
            format!("{resource} is forbidden: {detail}")
        } else {
            format!("{resource} \"{name}\" is forbidden: {detail}")
        };
        Self::new(403, "Forbidden", message).about(&kind.group, &kind.plural, name)
    }

    /// 403 of a path that is not a resource.
    pub fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        let message = format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\"");
        let mut status = Self::new(403, "Forbidden", message);
        status.details = Some(Box::default());
        status
    }

    /// 401: no or unknown credentials.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".to_owned())
    }

    /// 400 with any text.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into())
    }

    /// 405: the resource does not do this.
    pub fn method_not_supported(kind: &Kind, verb: &str) -> Self {
        let message = format!(
            "{verb} is not supported on resources of kind \"{}\"",
            kind.group_resource()
        );
        Self::new(405, "MethodNotAllowed", message).about(&kind.group, &kind.plural, "")
    }

    /// 405: the path exists, the method does not.
    pub fn method_not_allowed() -> Self {
        let mut status = Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource".to_owned(),
        );
        status.details = Some(Box::default());
        status
    }

    /// 406: the client accepts none of `accepted`.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        Self::new(
            406,
            "NotAcceptable",
            format!("only the following media types are accepted: {list}"),
        )
    }

    /// 415: the body is in none of `accepted`.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {list}"
            ),
        )
    }

    /// 410: the revision is no longer at hand.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message.into())
    }

    /// 410 of a watch whose start is compacted.
    pub fn too_old_resource_version(asked: u64, oldest: u64) -> Self {
        Self::expired(format!("too old resource version: {asked} ({oldest})"))
    }

    /// 410 of a list whose continue token is too old.
    pub fn expired_continue() -> Self {
        Self::expired(
            "The provided continue parameter is too old to display a consistent list result. You \
             can start a new list without the continue parameter, or use the continue token in \
             this response to retrieve the remainder of the results. Continuing with the provided \
             token results in an inconsistent list - objects that were created, modified, or \
             deleted between the time the first chunk was returned and now may show up in the list.",
        )
    }

    /// 413: the body is too large.
    pub fn too_large(limit_bytes: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit_bytes}");
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// 429: try again later.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", message.into()).with_retry_after(retry_after_seconds)
    }

    /// 500 with any detail.
    pub fn internal(detail: impl std::fmt::Display) -> Self {
        let mut status = Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {detail}"),
        );
        let cause = Cause {
            reason: "",
            message: detail.to_string(),
            field: String::new(),
        };
        status.details = Some(Box::new(Details {
            causes: vec![cause],
            ..Details::default()
        }));
        status
    }

    /// 500 whose text is taken as it is (some real answers are plain Go errors).
    pub fn internal_text(message: impl Into<String>) -> Self {
        Self::new(500, "", message.into())
    }

    /// 501: known, but not served here.
    pub fn not_implemented(message: impl Into<String>) -> Self {
        Self::new(501, "NotImplemented", message.into())
    }

    /// 503: cannot answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message.into())
    }

    /// 504: took too long.
    pub fn timeout(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {}", message.into()))
            .with_retry_after(retry_after_seconds)
    }

    /// 504: the client asks for a revision that does not exist yet.
    pub fn resource_version_too_large(asked: u64, current: u64) -> Self {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let cause = Cause {
            reason: "ResourceVersionTooLarge",
            message: "Too large resource version".to_owned(),
            field: String::new(),
        };
        Self::timeout(message, 1).with_causes(vec![cause])
    }

    /// 200: done, and there is no object to show. Answer of a DELETE.
    pub fn deleted(kind: &Kind, name: &str, uid: &str) -> Self {
        let mut status = Self::new(200, "", String::new()).about(&kind.group, &kind.plural, name);
        uid.clone_into(&mut status.details.get_or_insert_default().uid);
        status
    }

    /// 201: done (binding, eviction).
    pub fn created() -> Self {
        Self::new(201, "", String::new())
    }

    /// The wire form.
    pub fn to_value(&self) -> Value {
        let success = self.code < 300;
        let mut map = Map::new();
        map.insert("kind".into(), json!("Status"));
        map.insert("apiVersion".into(), json!("v1"));
        map.insert("metadata".into(), json!({}));
        map.insert(
            "status".into(),
            json!(if success { "Success" } else { "Failure" }),
        );
        if !self.message.is_empty() {
            map.insert("message".into(), json!(self.message));
        }
        if !self.reason.is_empty() {
            map.insert("reason".into(), json!(self.reason));
        }
        if let Some(details) = &self.details {
            map.insert("details".into(), details.to_value());
        }
        if !success || self.code != 200 {
            map.insert("code".into(), json!(self.code));
        }
        Value::Object(map)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, text) in [
            ("name", &self.name),
            ("group", &self.group),
            ("kind", &self.kind),
            ("uid", &self.uid),
        ] {
            if !text.is_empty() {
                map.insert(key.into(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(Cause::to_value).collect();
            map.insert("causes".into(), Value::Array(causes));
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds".into(), json!(self.retry_after_seconds));
        }
        Value::Object(map)
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (key, text) in [
            ("reason", self.reason),
            ("message", &self.message),
            ("field", &self.field),
        ] {
            if !text.is_empty() {
                map.insert(key.into(), json!(text));
            }
        }
        Value::Object(map)
    }
}

fn group_resource(group: &str, plural: &str) -> String {
    if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    }
}

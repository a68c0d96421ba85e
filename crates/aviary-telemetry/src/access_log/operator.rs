//! The operators of a format.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use super::format::{Error, Host};
use super::parse::Call;
use super::time::Stamp;
use super::values::{Place, Wanted};
use super::{Entry, Tls};

/// One operator, with its argument understood.
#[derive(Debug, Clone)]
pub(super) enum Operator {
    /// A header field, or the second one where the first is absent.
    Field {
        first: usize,
        second: Option<usize>,
        without_query: bool,
    },
    /// A parameter of the path's query.
    QueryParameter { path: usize, name: String },
    /// When it began.
    Start(Stamp),
    /// Known when the format was compiled; `None` is absent for ever.
    Fixed(Option<String>),
    /// A number.
    Number(fn(&Entry) -> Option<u64>),
    /// A text; empty when absent.
    Text(fn(&Entry) -> Cow<'_, str>),
    /// A text that a client made up; empty when absent.
    Foreign(fn(&Entry) -> Cow<'_, str>),
}

/// A value of one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Absent,
    Number(u64),
    Text(Cow<'a, str>),
}

impl Value<'_> {
    /// As text of at most `limit` bytes; `None` when absent.
    pub(super) fn text(&self, limit: Option<usize>) -> Option<Cow<'_, str>> {
        let text = match self {
            Self::Absent => return None,
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Text(text) => Cow::Borrowed(&**text),
        };
        let limit = limit.unwrap_or(usize::MAX);
        if text.len() <= limit {
            return Some(text);
        }
        let end = (0..=limit)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or_default();
        Some(Cow::Owned(text.get(..end).unwrap_or_default().to_owned()))
    }
}

impl Operator {
    /// Understands an operator.
    pub(super) fn new(call: Call<'_>, host: &Host<'_>, wanted: &mut Wanted) -> Result<Self, Error> {
        let wrong = || Error::Argument {
            operator: call.name.to_owned(),
            argument: call.argument.unwrap_or_default().to_owned(),
        };
        let needed = || {
            call.argument
                .filter(|text| !text.is_empty())
                .ok_or_else(wrong)
        };
        let operator = match call.name {
            "REQ" => field(Place::Request, needed()?, wanted),
            "RESP" => field(Place::Response, needed()?, wanted),
            "TRAILER" => field(Place::Trailers, needed()?, wanted),
            "REQ_WITHOUT_QUERY" => match field(Place::Request, needed()?, wanted) {
                Self::Field { first, second, .. } => Self::Field {
                    first,
                    second,
                    without_query: true,
                },
                other => other,
            },
            "QUERY_PARAM" => Self::QueryParameter {
                path: wanted.number(Place::Request, ":path"),
                name: needed()?.to_owned(),
            },
            "START_TIME" => {
                let format = call.argument.filter(|text| !text.is_empty());
                Self::Start(Stamp::new(format).ok_or_else(wrong)?)
            }
            "ENVIRONMENT" => Self::Fixed((host.variable)(needed()?)),
            "HOSTNAME" => Self::Fixed(Some(host.name.to_owned()).filter(|name| !name.is_empty())),
            // Nothing here makes metadata or filter state, and Envoy writes `-` for what is absent.
            "DYNAMIC_METADATA"
            | "CLUSTER_METADATA"
            | "UPSTREAM_METADATA"
            | "METADATA"
            | "FILTER_STATE"
            | "UPSTREAM_FILTER_STATE" => {
                needed()?;
                Self::Fixed(None)
            }
            "GRPC_STATUS" => grpc_status(call.argument).ok_or_else(wrong)?,
            _ if call.argument.is_some() => return Err(wrong()),
            name => number(name)
                .map(Self::Number)
                .or_else(|| text(name))
                .ok_or_else(|| Error::Unknown {
                    operator: name.to_owned(),
                })?,
        };
        Ok(operator)
    }

    /// Whether the value is written by clients and must be escaped in text.
    pub(super) fn is_foreign(&self) -> bool {
        matches!(
            self,
            Self::Field { .. } | Self::QueryParameter { .. } | Self::Foreign(_)
        )
    }

    /// What it stands for in this exchange.
    pub(super) fn value<'a>(&'a self, entry: &'a Entry) -> Value<'a> {
        let text = match self {
            Self::Number(find) => return find(entry).map_or(Value::Absent, Value::Number),
            Self::Text(find) | Self::Foreign(find) => Some(find(entry)),
            Self::Fixed(fixed) => fixed.as_deref().map(Cow::Borrowed),
            Self::Start(stamp) => Some(Cow::Owned(stamp.text(entry.start))),
            Self::QueryParameter { path, name } => parameter(entry, *path, name),
            Self::Field {
                first,
                second,
                without_query,
            } => {
                let values = &entry.values;
                let found = values
                    .get(*first)
                    .or_else(|| second.and_then(|second| values.get(second)));
                if *without_query {
                    found.map(|text| Cow::Owned(text.split('?').next().unwrap_or("").to_owned()))
                } else {
                    found
                }
            }
        };
        text.filter(|text| !text.is_empty())
            .map_or(Value::Absent, Value::Text)
    }
}

fn field(place: Place, argument: &str, wanted: &mut Wanted) -> Operator {
    let (first, second) = match argument.split_once('?') {
        Some((first, second)) => (first, Some(second)),
        None => (argument, None),
    };
    Operator::Field {
        first: wanted.number(place, first),
        second: second.map(|name| wanted.number(place, name)),
        without_query: false,
    }
}

fn parameter<'a>(entry: &'a Entry, path: usize, name: &str) -> Option<Cow<'a, str>> {
    let path = entry.values.get(path)?;
    let (_, query) = path.split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| Cow::Owned(value.to_owned()))
}

fn grpc_status(argument: Option<&str>) -> Option<Operator> {
    let operator = match argument.unwrap_or("CAMEL_STRING") {
        "CAMEL_STRING" => Operator::Text(|it| name_of(it, &CAMEL)),
        "SNAKE_STRING" => Operator::Text(|it| name_of(it, &SNAKE)),
        "NUMBER" => Operator::Number(|it| it.grpc_status.number().map(u64::from)),
        _ => return None,
    };
    Some(operator)
}

fn name_of<'a>(entry: &Entry, names: &[&'a str; 17]) -> Cow<'a, str> {
    let Some(number) = entry.grpc_status.number() else {
        return Cow::Borrowed("");
    };
    match names.get(usize::from(number)) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(number.to_string()),
    }
}

/// Source: Envoy `Grpc::Utility::grpcStatusToString`.
const CAMEL: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

const SNAKE: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn number(name: &str) -> Option<fn(&Entry) -> Option<u64>> {
    let find: fn(&Entry) -> Option<u64> = match name {
        "RESPONSE_CODE" => |it| Some(u64::from(it.code)),
        "BYTES_RECEIVED" => |it| Some(it.received_bytes),
        "BYTES_SENT" => |it| Some(it.sent_bytes),
        "DURATION" => |it| millis(Some(it.duration)),
        "REQUEST_DURATION" => |it| millis(it.request_duration),
        "RESPONSE_DURATION" => |it| millis(it.response_duration),
        "RESPONSE_TX_DURATION" => {
            |it| millis(Some(it.duration.saturating_sub(it.response_duration?)))
        }
        "CONNECTION_ID" => |it| Some(it.connection_id),
        "UPSTREAM_REQUEST_ATTEMPT_COUNT" => |it| Some(u64::from(it.attempts)),
        "GRPC_STATUS_NUMBER" => |it| it.grpc_status.number().map(u64::from),
        "UPSTREAM_REMOTE_PORT" => |it| port(it.upstream_host),
        "UPSTREAM_LOCAL_PORT" => |it| port(it.upstream_local),
        "DOWNSTREAM_LOCAL_PORT" => |it| port(it.downstream_local),
        "DOWNSTREAM_REMOTE_PORT" => |it| port(it.downstream_remote),
        "DOWNSTREAM_DIRECT_REMOTE_PORT" => |it| port(it.downstream_direct_remote),
        _ => return None,
    };
    Some(find)
}

fn millis(duration: Option<Duration>) -> Option<u64> {
    Some(u64::try_from(duration?.as_millis()).unwrap_or(u64::MAX))
}

fn port(address: Option<SocketAddr>) -> Option<u64> {
    Some(u64::from(address?.port()))
}

fn text(name: &str) -> Option<Operator> {
    let find: fn(&Entry) -> Cow<'_, str> = match name {
        "REQUESTED_SERVER_NAME" => {
            return Some(Operator::Foreign(|it| {
                let name = it.downstream_tls.server_name.as_deref();
                Cow::Borrowed(name.unwrap_or_default())
            }));
        }
        "PROTOCOL" => |it| Cow::Borrowed(it.protocol.unwrap_or_default()),
        "UPSTREAM_PROTOCOL" => |it| Cow::Borrowed(it.upstream_protocol.unwrap_or_default()),
        "RESPONSE_CODE_DETAILS" => |it| Cow::Borrowed(&it.details),
        "CONNECTION_TERMINATION_DETAILS" => |it| Cow::Borrowed(&it.termination_details),
        "RESPONSE_FLAGS" => |it| it.flags.text(),
        "RESPONSE_FLAGS_LONG" => |it| it.flags.long_text(),
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => |it| Cow::Borrowed(&it.upstream_failure),
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => |it| Cow::Borrowed(&it.cluster),
        "ROUTE_NAME" => |it| Cow::Borrowed(&it.route),
        "TRACE_ID" => |it| {
            Cow::Owned(
                it.trace
                    .map_or_else(String::new, |trace| trace.trace_text()),
            )
        },
        "SPAN_ID" => |it| Cow::Owned(it.trace.map_or_else(String::new, |trace| trace.span_text())),
        other => return address(other).or_else(|| tls(other)).map(Operator::Text),
    };
    Some(Operator::Text(find))
}

fn address(name: &str) -> Option<fn(&Entry) -> Cow<'_, str>> {
    let find: fn(&Entry) -> Cow<'_, str> = match name {
        "UPSTREAM_HOST" | "UPSTREAM_REMOTE_ADDRESS" => |it| whole(it.upstream_host),
        "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => |it| ip(it.upstream_host),
        "UPSTREAM_LOCAL_ADDRESS" => |it| whole(it.upstream_local),
        "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => |it| ip(it.upstream_local),
        "DOWNSTREAM_LOCAL_ADDRESS" => |it| whole(it.downstream_local),
        "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT" => |it| ip(it.downstream_local),
        "DOWNSTREAM_REMOTE_ADDRESS" => |it| whole(it.downstream_remote),
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => |it| ip(it.downstream_remote),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => |it| whole(it.downstream_direct_remote),
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => |it| ip(it.downstream_direct_remote),
        _ => return None,
    };
    Some(find)
}

fn whole(address: Option<SocketAddr>) -> Cow<'static, str> {
    Cow::Owned(address.map_or_else(String::new, |address| address.to_string()))
}

fn ip(address: Option<SocketAddr>) -> Cow<'static, str> {
    Cow::Owned(address.map_or_else(String::new, |address| address.ip().to_string()))
}

fn tls(name: &str) -> Option<fn(&Entry) -> Cow<'_, str>> {
    let find: fn(&Entry) -> Cow<'_, str> = match name {
        "DOWNSTREAM_TLS_VERSION" => |it| Cow::Borrowed(it.downstream_tls.version),
        "DOWNSTREAM_TLS_CIPHER" => |it| Cow::Borrowed(it.downstream_tls.cipher),
        "DOWNSTREAM_PEER_URI_SAN" => |it| peer(&it.downstream_tls),
        "DOWNSTREAM_LOCAL_URI_SAN" => |it| local(&it.downstream_tls),
        "UPSTREAM_TLS_VERSION" => |it| Cow::Borrowed(it.upstream_tls.version),
        "UPSTREAM_TLS_CIPHER" => |it| Cow::Borrowed(it.upstream_tls.cipher),
        "UPSTREAM_PEER_URI_SAN" => |it| peer(&it.upstream_tls),
        "UPSTREAM_LOCAL_URI_SAN" => |it| local(&it.upstream_tls),
        _ => return None,
    };
    Some(find)
}

fn peer(tls: &Tls) -> Cow<'_, str> {
    Cow::Borrowed(tls.peer_uri_san.as_deref().unwrap_or_default())
}

fn local(tls: &Tls) -> Cow<'_, str> {
    Cow::Borrowed(tls.local_uri_san.as_deref().unwrap_or_default())
}

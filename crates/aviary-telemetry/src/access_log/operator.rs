//! The operators of a format.

use std::net::SocketAddr;
use std::time::Duration;

use super::format::{Error, Host};
use super::parse::Call;
use super::time::{Moment, Stamp};
use super::values::{Place, Wanted};
use super::{Entry, Tls, put};

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
    Text(fn(&Entry) -> &str),
    /// A text that a client made up; empty when absent.
    Foreign(fn(&Entry) -> &str),
    /// An address with its port.
    Address(fn(&Entry) -> Option<SocketAddr>),
    /// An address without its port.
    Ip(fn(&Entry) -> Option<SocketAddr>),
    /// Response flags, by their short or long names.
    Flags { long: bool },
    /// The trace, in hexadecimal.
    TraceId,
    /// The span, in hexadecimal.
    SpanId,
    /// The name of `grpc-status`.
    Grpc(&'static [&'static str; 17]),
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

    /// Whether the value is a number.
    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Number(_))
    }

    /// Appends what it stands for in this exchange, as it is; whether there is something.
    pub(super) fn put(&self, entry: &Entry, moment: &mut Moment, line: &mut Vec<u8>) -> bool {
        let start = line.len();
        match self {
            Self::Field {
                first,
                second,
                without_query,
            } => {
                let values = &entry.values;
                let found = values
                    .get(*first)
                    .or_else(|| second.and_then(|second| values.get(second)));
                let found = found.unwrap_or_default();
                let whole = if *without_query {
                    found.split(|byte| *byte == b'?').next()
                } else {
                    Some(found)
                };
                line.extend_from_slice(whole.unwrap_or_default());
            }
            Self::QueryParameter { path, name } => {
                line.extend_from_slice(parameter(entry, *path, name).unwrap_or_default());
            }
            Self::Start(stamp) => stamp.put(entry.start, moment, line),
            Self::Fixed(fixed) => {
                line.extend_from_slice(fixed.as_deref().unwrap_or_default().as_bytes());
            }
            Self::Number(find) => {
                if let Some(number) = find(entry) {
                    put::number(number, line);
                }
            }
            Self::Text(find) | Self::Foreign(find) => {
                line.extend_from_slice(find(entry).as_bytes());
            }
            Self::Address(find) => {
                if let Some(address) = find(entry) {
                    put::address(address, line);
                }
            }
            Self::Ip(find) => {
                if let Some(address) = find(entry) {
                    put::ip(address.ip(), line);
                }
            }
            Self::Flags { long: false } => {
                line.extend_from_slice(entry.flags.text().as_bytes());
            }
            Self::Flags { long: true } => {
                line.extend_from_slice(entry.flags.long_text().as_bytes());
            }
            Self::TraceId => {
                if let Some(trace) = &entry.trace {
                    line.extend_from_slice(&trace.trace_digits());
                }
            }
            Self::SpanId => {
                if let Some(trace) = &entry.trace {
                    line.extend_from_slice(&trace.span_digits());
                }
            }
            Self::Grpc(names) => put_status(entry, names, line),
        }
        line.len() > start
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

fn parameter<'a>(entry: &'a Entry, path: usize, name: &str) -> Option<&'a [u8]> {
    let path = entry.values.get(path)?;
    let (_, query) = split_once(path, b'?')?;
    query
        .split(|byte| *byte == b'&')
        .filter_map(|pair| split_once(pair, b'='))
        .find(|(key, _)| *key == name.as_bytes())
        .map(|(_, value)| value)
}

fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

fn grpc_status(argument: Option<&str>) -> Option<Operator> {
    let operator = match argument.unwrap_or("CAMEL_STRING") {
        "CAMEL_STRING" => Operator::Grpc(&CAMEL),
        "SNAKE_STRING" => Operator::Grpc(&SNAKE),
        "NUMBER" => Operator::Number(|it| it.grpc_status.number().map(u64::from)),
        _ => return None,
    };
    Some(operator)
}

fn put_status(entry: &Entry, names: &[&str; 17], line: &mut Vec<u8>) {
    let Some(number) = entry.grpc_status.number() else {
        return;
    };
    match names.get(usize::from(number)) {
        Some(name) => line.extend_from_slice(name.as_bytes()),
        None => put::number(u64::from(number), line),
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
    let find: fn(&Entry) -> &str = match name {
        "REQUESTED_SERVER_NAME" => {
            return Some(Operator::Foreign(|it| {
                it.downstream_tls.server_name.as_deref().unwrap_or_default()
            }));
        }
        "PROTOCOL" => |it| it.protocol.unwrap_or_default(),
        "UPSTREAM_PROTOCOL" => |it| it.upstream_protocol.unwrap_or_default(),
        "RESPONSE_CODE_DETAILS" => |it| &it.details,
        "CONNECTION_TERMINATION_DETAILS" => |it| &it.termination_details,
        "UPSTREAM_TRANSPORT_FAILURE_REASON" => |it| &it.upstream_failure,
        "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => |it| &it.cluster,
        "ROUTE_NAME" => |it| &it.route,
        "RESPONSE_FLAGS" => return Some(Operator::Flags { long: false }),
        "RESPONSE_FLAGS_LONG" => return Some(Operator::Flags { long: true }),
        "TRACE_ID" => return Some(Operator::TraceId),
        "SPAN_ID" => return Some(Operator::SpanId),
        other => return address(other).or_else(|| tls(other).map(Operator::Text)),
    };
    Some(Operator::Text(find))
}

fn address(name: &str) -> Option<Operator> {
    let whole = name.strip_suffix("_WITHOUT_PORT");
    let find: fn(&Entry) -> Option<SocketAddr> = match whole.unwrap_or(name) {
        "UPSTREAM_HOST" if whole.is_none() => |it| it.upstream_host,
        "UPSTREAM_REMOTE_ADDRESS" => |it| it.upstream_host,
        "UPSTREAM_LOCAL_ADDRESS" => |it| it.upstream_local,
        "DOWNSTREAM_LOCAL_ADDRESS" => |it| it.downstream_local,
        "DOWNSTREAM_REMOTE_ADDRESS" => |it| it.downstream_remote,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => |it| it.downstream_direct_remote,
        _ => return None,
    };
    Some(match whole {
        None => Operator::Address(find),
        Some(_) => Operator::Ip(find),
    })
}

fn tls(name: &str) -> Option<fn(&Entry) -> &str> {
    let find: fn(&Entry) -> &str = match name {
        "DOWNSTREAM_TLS_VERSION" => |it| it.downstream_tls.version,
        "DOWNSTREAM_TLS_CIPHER" => |it| it.downstream_tls.cipher,
        "DOWNSTREAM_PEER_URI_SAN" => |it| peer(&it.downstream_tls),
        "DOWNSTREAM_LOCAL_URI_SAN" => |it| local(&it.downstream_tls),
        "UPSTREAM_TLS_VERSION" => |it| it.upstream_tls.version,
        "UPSTREAM_TLS_CIPHER" => |it| it.upstream_tls.cipher,
        "UPSTREAM_PEER_URI_SAN" => |it| peer(&it.upstream_tls),
        "UPSTREAM_LOCAL_URI_SAN" => |it| local(&it.upstream_tls),
        _ => return None,
    };
    Some(find)
}

fn peer(tls: &Tls) -> &str {
    tls.peer_uri_san.as_deref().unwrap_or_default()
}

fn local(tls: &Tls) -> &str {
    tls.local_uri_san.as_deref().unwrap_or_default()
}

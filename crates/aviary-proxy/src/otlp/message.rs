//! Spans as OTLP messages.

use std::time::{Duration, SystemTime};

use aviary_telemetry::trace::{Span, span};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as wire;

/// One export of spans of one service.
pub(super) fn request(
    spans: &[Span],
    service_name: &str,
    node_id: &str,
) -> ExportTraceServiceRequest {
    let version = env!("CARGO_PKG_VERSION");
    let resource = [
        ("service.name", service_name),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "aviary"),
        ("telemetry.sdk.version", version),
    ];
    let scope = wire::ScopeSpans {
        scope: Some(InstrumentationScope {
            name: "aviary".to_owned(),
            version: version.to_owned(),
            ..InstrumentationScope::default()
        }),
        spans: spans.iter().map(|span| encode(span, node_id)).collect(),
        schema_url: String::new(),
    };
    ExportTraceServiceRequest {
        resource_spans: vec![wire::ResourceSpans {
            resource: Some(Resource {
                attributes: resource
                    .map(|(name, value)| attribute(name, value.to_owned()))
                    .to_vec(),
                ..Resource::default()
            }),
            scope_spans: vec![scope],
            schema_url: String::new(),
        }],
    }
}

fn encode(span: &Span, node_id: &str) -> wire::Span {
    let context = span.context;
    let start = nanos(span.start);
    let parent = match context.parent_id {
        0 => Vec::new(),
        parent => parent.to_be_bytes().to_vec(),
    };
    let attributes = span
        .attributes(node_id)
        .into_iter()
        .map(|it| attribute(it.name, it.value))
        .collect();
    wire::Span {
        trace_id: context.trace_id.to_be_bytes().to_vec(),
        span_id: context.span_id.to_be_bytes().to_vec(),
        trace_state: span.trace_state.clone(),
        parent_span_id: parent,
        flags: 1,
        name: span.name.clone(),
        kind: match span.kind {
            span::Kind::Client => wire::span::SpanKind::Client,
            span::Kind::Server => wire::span::SpanKind::Server,
        }
        .into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(whole_nanos(span.duration)),
        attributes,
        status: span.is_error().then(|| wire::Status {
            code: wire::status::StatusCode::Error.into(),
            message: String::new(),
        }),
        ..wire::Span::default()
    }
}

fn attribute(name: &str, value: String) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value)),
        }),
        ..KeyValue::default()
    }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    whole_nanos(since.unwrap_or_default())
}

fn whole_nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

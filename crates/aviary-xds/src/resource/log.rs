//! Access logs.
#![expect(
    deprecated,
    reason = "older forms that Envoy still reads, or only they exist"
)]

use aviary_mesh::access_log::{AccessLog, Comparison, LogFilter, LogFormat, LogSink};
use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLog as ProtoLog, AccessLogFilter, AndFilter, ComparisonFilter, DurationFilter,
    HeaderFilter, NotHealthCheckFilter, OrFilter, ResponseFlagFilter, RuntimeFilter,
    StatusCodeFilter, TraceableFilter, access_log, access_log_filter::FilterSpecifier,
    comparison_filter::Op,
};
use envoy_types::pb::envoy::config::core::v3::{
    RuntimeUInt32, SubstitutionFormatString, substitution_format_string::Format,
};
use envoy_types::pb::envoy::extensions::access_loggers::file::v3::{
    FileAccessLog, file_access_log,
};
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::{
    StderrAccessLog, StdoutAccessLog, stderr_access_log, stdout_access_log,
};
use envoy_types::pb::google::protobuf::{Any, ListValue, Struct, Value, value};

use super::matches::{header, header_of};
use super::value::{any, fraction, inline_string, inline_string_of, percent_of, unpack};
use super::{Fault, Within, each, nothing_left};

const FILE: &str = "envoy.access_loggers.file";
const STDERR: &str = "envoy.access_loggers.stderr";
const STDOUT_PATH: &str = "/dev/stdout";
const STDERR_PATH: &str = "/dev/stderr";

pub(super) fn to_proto(log: &AccessLog) -> ProtoLog {
    let text = format_to_proto(&log.format);
    let file = |path: &str| {
        let config = FileAccessLog {
            path: path.to_owned(),
            access_log_format: text
                .clone()
                .map(file_access_log::AccessLogFormat::LogFormat),
        };
        (FILE, any(&config))
    };
    let (name, config) = match &log.sink {
        LogSink::Stdout => file(STDOUT_PATH),
        LogSink::File(path) => file(path),
        LogSink::Stderr => {
            let config = StderrAccessLog {
                access_log_format: text
                    .clone()
                    .map(stderr_access_log::AccessLogFormat::LogFormat),
            };
            (STDERR, any(&config))
        }
    };
    ProtoLog {
        name: name.to_owned(),
        filter: log.filter.as_ref().map(filter),
        config_type: Some(access_log::ConfigType::TypedConfig(config)),
    }
}

pub(super) fn from_proto(proto: ProtoLog) -> Result<AccessLog, Fault> {
    let Some(access_log::ConfigType::TypedConfig(config)) = proto.config_type else {
        return Err(Fault::new("a configuration in place is missing").at("typed_config"));
    };
    let (sink, format) = sink_of(&config).within("typed_config")?;
    let filter = proto.filter.map(filter_of).transpose().within("filter")?;
    Ok(AccessLog {
        sink,
        format,
        filter,
    })
}

fn sink_of(config: &Any) -> Result<(LogSink, LogFormat), Fault> {
    if config.type_url.ends_with(".StdoutAccessLog") {
        let proto: StdoutAccessLog = unpack(config)?;
        let format = proto.access_log_format.map(|format| {
            let stdout_access_log::AccessLogFormat::LogFormat(format) = format;
            format
        });
        return Ok((LogSink::Stdout, format_of(format).within("log_format")?));
    }
    if config.type_url.ends_with(".StderrAccessLog") {
        let proto: StderrAccessLog = unpack(config)?;
        let format = proto.access_log_format.map(|format| {
            let stderr_access_log::AccessLogFormat::LogFormat(format) = format;
            format
        });
        return Ok((LogSink::Stderr, format_of(format).within("log_format")?));
    }
    let proto: FileAccessLog = unpack(config)?;
    let sink = match proto.path.as_str() {
        "" => return Err(Fault::new("is missing").at("path")),
        STDOUT_PATH => LogSink::Stdout,
        STDERR_PATH => LogSink::Stderr,
        path => LogSink::File(path.to_owned()),
    };
    let format = match proto.access_log_format {
        None => LogFormat::Default,
        Some(file_access_log::AccessLogFormat::Format(text)) => text_of(text),
        Some(file_access_log::AccessLogFormat::LogFormat(format)) => {
            format_of(Some(format)).within("log_format")?
        }
        Some(
            file_access_log::AccessLogFormat::JsonFormat(_)
            | file_access_log::AccessLogFormat::TypedJsonFormat(_),
        ) => {
            let reason = "is deprecated; write `log_format: {json_format: ...}`";
            return Err(Fault::new(reason).at("json_format"));
        }
    };
    Ok((sink, format))
}

fn format_to_proto(format: &LogFormat) -> Option<SubstitutionFormatString> {
    let format = match format {
        LogFormat::Default => return None,
        LogFormat::Text(text) => Format::TextFormatSource(inline_string(text)),
        LogFormat::Json(text) => {
            let json = serde_json::from_str(text).unwrap_or_default();
            Format::JsonFormat(struct_of_json(&json))
        }
    };
    Some(SubstitutionFormatString {
        format: Some(format),
        ..SubstitutionFormatString::default()
    })
}

fn text_of(text: String) -> LogFormat {
    if text.is_empty() {
        return LogFormat::Default;
    }
    LogFormat::Text(text)
}

fn format_of(format: Option<SubstitutionFormatString>) -> Result<LogFormat, Fault> {
    let Some(mut proto) = format else {
        return Ok(LogFormat::Default);
    };
    let format = match proto.format.take() {
        None => LogFormat::Default,
        Some(Format::TextFormat(text)) => text_of(text),
        Some(Format::TextFormatSource(source)) => {
            text_of(inline_string_of(Some(source)).within("text_format_source")?)
        }
        Some(Format::JsonFormat(json)) => LogFormat::Json(json_of_struct(&json).to_string()),
    };
    nothing_left(&proto)?;
    Ok(format)
}

/// With sorted keys, as Envoy writes them.
fn json_of_struct(object: &Struct) -> serde_json::Value {
    let mut keys: Vec<_> = object.fields.iter().collect();
    keys.sort_by_key(|(key, _)| key.as_str());
    let fields = keys
        .into_iter()
        .map(|(key, value)| (key.clone(), json_of(value)));
    serde_json::Value::Object(fields.collect())
}

fn json_of(value: &Value) -> serde_json::Value {
    match &value.kind {
        None | Some(value::Kind::NullValue(_)) => serde_json::Value::Null,
        Some(value::Kind::NumberValue(number)) => (*number).into(),
        Some(value::Kind::StringValue(text)) => text.clone().into(),
        Some(value::Kind::BoolValue(flag)) => (*flag).into(),
        Some(value::Kind::StructValue(object)) => json_of_struct(object),
        Some(value::Kind::ListValue(list)) => list.values.iter().map(json_of).collect(),
    }
}

fn struct_of_json(json: &serde_json::Value) -> Struct {
    let fields = json.as_object().into_iter().flatten();
    Struct {
        fields: fields
            .map(|(key, value)| (key.clone(), value_of_json(value)))
            .collect(),
    }
}

fn value_of_json(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => value::Kind::NullValue(0),
        Json::Bool(flag) => value::Kind::BoolValue(*flag),
        Json::Number(number) => value::Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => value::Kind::StringValue(text.clone()),
        Json::Array(list) => value::Kind::ListValue(ListValue {
            values: list.iter().map(value_of_json).collect(),
        }),
        Json::Object(_) => value::Kind::StructValue(struct_of_json(json)),
    };
    Value { kind: Some(kind) }
}

fn comparison(comparison: Comparison) -> ComparisonFilter {
    let (op, value) = match comparison {
        Comparison::Equal(value) => (Op::Eq, value),
        Comparison::NotEqual(value) => (Op::Ne, value),
        Comparison::AtLeast(value) => (Op::Ge, value),
        Comparison::AtMost(value) => (Op::Le, value),
    };
    ComparisonFilter {
        op: op.into(),
        value: Some(RuntimeUInt32 {
            default_value: value,
            // Envoy wants a name, though no runtime layer has it.
            runtime_key: "access_log.none".to_owned(),
        }),
    }
}

fn comparison_of(proto: Option<ComparisonFilter>) -> Result<Comparison, Fault> {
    let proto = proto.ok_or_else(|| Fault::new("is missing").at("comparison"))?;
    let value = proto.value.map_or(0, |value| value.default_value);
    match Op::try_from(proto.op) {
        Ok(Op::Eq) => Ok(Comparison::Equal(value)),
        Ok(Op::Ne) => Ok(Comparison::NotEqual(value)),
        Ok(Op::Ge) => Ok(Comparison::AtLeast(value)),
        Ok(Op::Le) => Ok(Comparison::AtMost(value)),
        Err(_) => Err(Fault::new("is not known").at("comparison.op")),
    }
}

fn filter(it: &LogFilter) -> AccessLogFilter {
    let all = |filters: &[LogFilter]| filters.iter().map(filter).collect();
    let specifier = match it {
        LogFilter::Status(it) => FilterSpecifier::StatusCodeFilter(StatusCodeFilter {
            comparison: Some(comparison(*it)),
        }),
        LogFilter::Duration(it) => FilterSpecifier::DurationFilter(DurationFilter {
            comparison: Some(comparison(*it)),
        }),
        LogFilter::NotHealthCheck => FilterSpecifier::NotHealthCheckFilter(NotHealthCheckFilter {}),
        LogFilter::Traceable => FilterSpecifier::TraceableFilter(TraceableFilter {}),
        LogFilter::Share(percent) => FilterSpecifier::RuntimeFilter(RuntimeFilter {
            runtime_key: "access_log.none".to_owned(),
            percent_sampled: Some(fraction(*percent)),
            use_independent_randomness: true,
        }),
        LogFilter::All(filters) => FilterSpecifier::AndFilter(AndFilter {
            filters: all(filters),
        }),
        LogFilter::Any(filters) => FilterSpecifier::OrFilter(OrFilter {
            filters: all(filters),
        }),
        LogFilter::Header(it) => FilterSpecifier::HeaderFilter(HeaderFilter {
            header: Some(header(it)),
        }),
        LogFilter::Flags(flags) => FilterSpecifier::ResponseFlagFilter(ResponseFlagFilter {
            flags: flags.clone(),
        }),
    };
    AccessLogFilter {
        filter_specifier: Some(specifier),
    }
}

fn filter_of(proto: AccessLogFilter) -> Result<LogFilter, Fault> {
    Ok(match proto.filter_specifier {
        Some(FilterSpecifier::StatusCodeFilter(it)) => {
            LogFilter::Status(comparison_of(it.comparison).within("status_code_filter")?)
        }
        Some(FilterSpecifier::DurationFilter(it)) => {
            LogFilter::Duration(comparison_of(it.comparison).within("duration_filter")?)
        }
        Some(FilterSpecifier::NotHealthCheckFilter(_)) => LogFilter::NotHealthCheck,
        Some(FilterSpecifier::TraceableFilter(_)) => LogFilter::Traceable,
        // Without independent randomness the request id decides, which is as random.
        Some(FilterSpecifier::RuntimeFilter(it)) => {
            LogFilter::Share(percent_of(it.percent_sampled).within("runtime_filter")?)
        }
        Some(FilterSpecifier::AndFilter(it)) => {
            LogFilter::All(each("filters", it.filters, filter_of).within("and_filter")?)
        }
        Some(FilterSpecifier::OrFilter(it)) => {
            LogFilter::Any(each("filters", it.filters, filter_of).within("or_filter")?)
        }
        Some(FilterSpecifier::HeaderFilter(it)) => {
            let missing = || Fault::new("is missing");
            let header = it.header.ok_or_else(missing).and_then(header_of);
            LogFilter::Header(header.within("header_filter.header")?)
        }
        Some(FilterSpecifier::ResponseFlagFilter(it)) => LogFilter::Flags(it.flags),
        _ => return Err(Fault::new("a filter that is not supported")),
    })
}

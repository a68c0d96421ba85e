//! Small values in protobuf and back.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{
    Address, DataSource, SocketAddress, address, data_source, socket_address,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher};
use envoy_types::pb::envoy::r#type::v3::{FractionalPercent, fractional_percent::DenominatorType};
use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration as ProtoDuration, UInt32Value};
use prost::{Message, Name};

use aviary_mesh::matcher::{FullRegex, StringMatch};

use super::Fault;

pub(super) fn any<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

/// The message in an `Any`.
pub(super) fn unpack<M: Message + Name + Default>(any: &Any) -> Result<M, Fault> {
    if any.type_url != M::type_url() {
        return Err(Fault::new(format!(
            "type {} is not {}",
            any.type_url,
            M::type_url()
        )));
    }
    M::decode(any.value.as_slice()).map_err(|error| Fault::new(error.to_string()))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "wrapper messages stand in optional fields"
)]
pub(super) fn boolean(value: bool) -> Option<BoolValue> {
    Some(BoolValue { value })
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "wrapper messages stand in optional fields"
)]
pub(super) fn number(value: u32) -> Option<UInt32Value> {
    Some(UInt32Value { value })
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "messages stand in optional fields"
)]
pub(super) fn duration(value: Duration) -> Option<ProtoDuration> {
    Some(ProtoDuration {
        seconds: i64::try_from(value.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(value.subsec_nanos()).unwrap_or(0),
    })
}

pub(super) fn duration_of(value: Option<&ProtoDuration>) -> Result<Option<Duration>, Fault> {
    value
        .map(
            |value| match (u64::try_from(value.seconds), u32::try_from(value.nanos)) {
                (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => {
                    Ok(Duration::new(seconds, nanos))
                }
                _ => Err(Fault::new("a negative or malformed duration")),
            },
        )
        .transpose()
}

pub(super) fn bool_of(value: Option<BoolValue>) -> bool {
    value.is_some_and(|value| value.value)
}

pub(super) fn socket_address(address: SocketAddr) -> SocketAddress {
    SocketAddress {
        address: address.ip().to_string(),
        port_specifier: Some(socket_address::PortSpecifier::PortValue(u32::from(
            address.port(),
        ))),
        ..SocketAddress::default()
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "messages stand in optional fields"
)]
pub(super) fn address(value: SocketAddr) -> Option<Address> {
    Some(Address {
        address: Some(address::Address::SocketAddress(socket_address(value))),
    })
}

pub(super) fn socket_address_of(value: &SocketAddress) -> Result<SocketAddr, Fault> {
    let ip: IpAddr = value
        .address
        .parse()
        .map_err(|_| Fault::new(format!("`{}` is not an IP address", value.address)))?;
    match value.port_specifier {
        Some(socket_address::PortSpecifier::PortValue(port)) => u16::try_from(port)
            .map(|port| SocketAddr::new(ip, port))
            .map_err(|_| Fault::new(format!("{port} is not a port"))),
        _ => Err(Fault::new("a port number is missing")),
    }
}

pub(super) fn address_of(value: Option<&Address>) -> Result<SocketAddr, Fault> {
    match value.and_then(|value| value.address.as_ref()) {
        Some(address::Address::SocketAddress(address)) => socket_address_of(address),
        _ => Err(Fault::new("a socket address is missing")),
    }
}

/// Percent in millionths, so that four decimals come back as they were.
pub(super) fn fraction(percent: f64) -> FractionalPercent {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=1,000,000 before"
    )]
    let numerator = (percent * 10_000.0).round().clamp(0.0, 1_000_000.0) as u32;
    FractionalPercent {
        numerator,
        denominator: DenominatorType::Million.into(),
    }
}

pub(super) fn percent_of(value: Option<&FractionalPercent>) -> f64 {
    value.map_or(0.0, |value| f64::from(value.numerator) / 10_000.0)
}

pub(super) fn regex(source: &str) -> RegexMatcher {
    RegexMatcher {
        regex: source.to_owned(),
        engine_type: None,
    }
}

pub(super) fn regex_of(value: &RegexMatcher) -> Result<FullRegex, Fault> {
    FullRegex::new(&value.regex).map_err(Fault::new)
}

pub(super) fn string_matcher(value: &StringMatch, ignore_case: bool) -> StringMatcher {
    use string_matcher::MatchPattern;
    StringMatcher {
        ignore_case,
        match_pattern: Some(match value {
            StringMatch::Exact(value) => MatchPattern::Exact(value.clone()),
            StringMatch::Prefix(value) => MatchPattern::Prefix(value.clone()),
            StringMatch::Suffix(value) => MatchPattern::Suffix(value.clone()),
            StringMatch::Regex(value) => MatchPattern::SafeRegex(regex(value.source())),
        }),
    }
}

pub(super) fn string_match_of(value: &StringMatcher) -> Result<StringMatch, Fault> {
    use string_matcher::MatchPattern;
    match &value.match_pattern {
        Some(MatchPattern::Exact(value)) => Ok(StringMatch::Exact(value.clone())),
        Some(MatchPattern::Prefix(value)) => Ok(StringMatch::Prefix(value.clone())),
        Some(MatchPattern::Suffix(value)) => Ok(StringMatch::Suffix(value.clone())),
        Some(MatchPattern::SafeRegex(value)) => regex_of(value).map(StringMatch::Regex),
        _ => Err(Fault::new("a kind of string match that is not supported")),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "messages stand in optional fields"
)]
pub(super) fn inline_string(value: &str) -> Option<DataSource> {
    Some(DataSource {
        specifier: Some(data_source::Specifier::InlineString(value.to_owned())),
        ..DataSource::default()
    })
}

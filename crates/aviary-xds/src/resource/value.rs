//! Small values in protobuf and back.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::{
    Address, CidrRange, DataSource, RuntimeFractionalPercent, SocketAddress, address, data_source,
    socket_address,
};
use envoy_types::pb::envoy::r#type::v3::{
    FractionalPercent, Percent, fractional_percent::DenominatorType,
};
use envoy_types::pb::google::protobuf::{Any, BoolValue, Duration as ProtoDuration, UInt32Value};
use prost::{Message, Name};

use super::{Fault, Within, nothing_left};

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

pub(super) fn duration_of(value: Option<ProtoDuration>) -> Result<Option<Duration>, Fault> {
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

/// The host, which may be a name, and the port.
pub(super) fn host_and_port_of(mut value: SocketAddress) -> Result<(String, u16), Fault> {
    let host = std::mem::take(&mut value.address);
    let port = match value.port_specifier.take() {
        Some(socket_address::PortSpecifier::PortValue(port)) => {
            port_of(port).within("port_value")?
        }
        _ => return Err(Fault::new("a port number is missing").at("port_value")),
    };
    nothing_left(&value)?;
    Ok((host, port))
}

pub(super) fn socket_address_of(value: SocketAddress) -> Result<SocketAddr, Fault> {
    let (host, port) = host_and_port_of(value)?;
    let ip: IpAddr = host
        .parse()
        .map_err(|_| Fault::new(format!("`{host}` is not an IP address")).at("address"))?;
    Ok(SocketAddr::new(ip, port))
}

/// The part of an address that is a socket's.
pub(super) fn socket_of(value: Option<Address>) -> Result<SocketAddress, Fault> {
    match value.and_then(|value| value.address) {
        Some(address::Address::SocketAddress(address)) => Ok(address),
        _ => Err(Fault::new("a socket address is missing")),
    }
}

pub(super) fn address_of(value: Option<Address>) -> Result<SocketAddr, Fault> {
    socket_of(value).and_then(|address| socket_address_of(address).within("socket_address"))
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

/// Nothing is no share.
pub(super) fn percent_of(value: Option<FractionalPercent>) -> Result<f64, Fault> {
    let Some(value) = value else {
        return Ok(0.0);
    };
    let parts = match DenominatorType::try_from(value.denominator) {
        Ok(DenominatorType::Hundred) => 1.0,
        Ok(DenominatorType::TenThousand) => 100.0,
        Ok(DenominatorType::Million) => 10_000.0,
        Err(_) => return Err(Fault::new("an unknown unit").at("denominator")),
    };
    Ok((f64::from(value.numerator) / parts).min(100.0))
}

pub(super) fn runtime_fraction(percent: f64) -> RuntimeFractionalPercent {
    RuntimeFractionalPercent {
        default_value: Some(fraction(percent)),
        ..RuntimeFractionalPercent::default()
    }
}

/// There is no runtime layer that could say otherwise, so the default value counts.
pub(super) fn runtime_percent_of(
    value: Option<RuntimeFractionalPercent>,
) -> Result<Option<f64>, Fault> {
    value
        .map(|value| percent_of(value.default_value).within("default_value"))
        .transpose()
}

/// A share between 0 and 100.
pub(super) fn share_of(value: Option<Percent>, default: f64) -> Result<f64, Fault> {
    let value = value.map_or(default, |percent| percent.value);
    if (0.0..=100.0).contains(&value) {
        return Ok(value);
    }
    Err(Fault::new(format!("{value} is not between 0 and 100")))
}

/// A range of addresses; bits beyond the prefix do not count.
pub(super) fn range_of(range: &CidrRange) -> Result<ipnet::IpNet, Fault> {
    let length = range.prefix_len.map_or(0, |length| length.value);
    let wrong = || Fault::new(format!("`{}/{length}` is no range", range.address_prefix));
    let address: IpAddr = range.address_prefix.parse().map_err(|_| wrong())?;
    let length = u8::try_from(length).map_err(|_| wrong())?;
    ipnet::IpNet::new(address, length).map_err(|_| wrong())
}

pub(super) fn range(range: &ipnet::IpNet) -> CidrRange {
    CidrRange {
        address_prefix: range.addr().to_string(),
        prefix_len: number(u32::from(range.prefix_len())),
    }
}

pub(super) fn port_of(port: u32) -> Result<u16, Fault> {
    u16::try_from(port).map_err(|_| Fault::new(format!("{port} is not a port")))
}

pub(super) fn status_of(code: u32) -> Result<u16, Fault> {
    u16::try_from(code)
        .ok()
        .filter(|code| (100..600).contains(code))
        .ok_or_else(|| Fault::new(format!("{code} is not a status")))
}

pub(super) fn number_of(value: Option<UInt32Value>) -> Option<u32> {
    value.map(|value| value.value)
}

/// A duration of zero says never.
pub(super) fn never_is_zero(value: Option<ProtoDuration>) -> Result<Option<Duration>, Fault> {
    Ok(duration_of(value)?.filter(|value| !value.is_zero()))
}

/// One of some texts for an empty one.
pub(super) fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

pub(super) fn inline_string(value: &str) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::InlineString(value.to_owned())),
        ..DataSource::default()
    }
}

/// Text in place; nothing is the empty text.
pub(super) fn inline_string_of(value: Option<DataSource>) -> Result<String, Fault> {
    match value.and_then(|value| value.specifier) {
        None => Ok(String::new()),
        Some(data_source::Specifier::InlineString(text)) => Ok(text),
        Some(data_source::Specifier::InlineBytes(bytes)) => {
            String::from_utf8(bytes).map_err(|_| Fault::new("is not text").at("inline_bytes"))
        }
        Some(_) => Err(Fault::new("text in place is needed")),
    }
}

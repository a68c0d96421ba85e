//! Settings of HTTP/1 and HTTP/2 connections.

use aviary_mesh::listener::{Http2, PingKeepalive, TcpKeepalive};
use envoy_types::pb::envoy::config::core::v3::{
    Http1ProtocolOptions, Http2ProtocolOptions, KeepaliveSettings,
    TcpKeepalive as ProtoTcpKeepalive,
};

use super::value::{duration, duration_of, number, number_of};
use super::{Fault, Within, nothing_left};

/// `None` when nothing is set.
pub(super) fn http2(http2: &Http2) -> Option<Http2ProtocolOptions> {
    (*http2 != Http2::default()).then(|| http2_options(http2))
}

pub(super) fn http2_options(http2: &Http2) -> Http2ProtocolOptions {
    Http2ProtocolOptions {
        max_concurrent_streams: http2.max_concurrent_streams.and_then(number),
        initial_stream_window_size: http2.stream_window_bytes.and_then(number),
        initial_connection_window_size: http2.connection_window_bytes.and_then(number),
        connection_keepalive: http2.keepalive.map(|keepalive| KeepaliveSettings {
            interval: duration(keepalive.interval),
            timeout: duration(keepalive.timeout),
            ..KeepaliveSettings::default()
        }),
        ..Http2ProtocolOptions::default()
    }
}

pub(super) fn http2_of(proto: Option<Http2ProtocolOptions>) -> Result<Http2, Fault> {
    let mut proto = proto.unwrap_or_default();
    let http2 = Http2 {
        max_concurrent_streams: number_of(proto.max_concurrent_streams.take()),
        stream_window_bytes: number_of(proto.initial_stream_window_size.take()),
        connection_window_bytes: number_of(proto.initial_connection_window_size.take()),
        keepalive: proto
            .connection_keepalive
            .take()
            .map(keepalive_of)
            .transpose()
            .within("connection_keepalive")?,
    };
    nothing_left(&proto)?;
    Ok(http2)
}

fn keepalive_of(mut proto: KeepaliveSettings) -> Result<PingKeepalive, Fault> {
    let missing = || Fault::new("a duration is missing");
    let keepalive = PingKeepalive {
        interval: duration_of(proto.interval.take())
            .and_then(|it| it.ok_or_else(missing))
            .within("interval")?,
        timeout: duration_of(proto.timeout.take())
            .and_then(|it| it.ok_or_else(missing))
            .within("timeout")?,
    };
    nothing_left(&proto)?;
    Ok(keepalive)
}

/// Refuses what is not the default. Trailers are always passed on, absolute targets always read,
/// and HTTP/1.0 is always answered.
pub(super) fn http1_of(proto: Option<Http1ProtocolOptions>) -> Result<(), Fault> {
    let mut proto = proto.unwrap_or_default();
    if let Some(allowed) = proto.allow_absolute_url.take()
        && !allowed.value
    {
        return Err(Fault::new("is always on").at("allow_absolute_url"));
    }
    proto.enable_trailers = false;
    proto.accept_http_10 = false;
    nothing_left(&proto)
}

pub(super) fn tcp_keepalive(keepalive: &TcpKeepalive) -> ProtoTcpKeepalive {
    ProtoTcpKeepalive {
        keepalive_probes: keepalive.probes.and_then(number),
        keepalive_time: keepalive.time_seconds.and_then(number),
        keepalive_interval: keepalive.interval_seconds.and_then(number),
    }
}

pub(super) fn tcp_keepalive_of(proto: ProtoTcpKeepalive) -> TcpKeepalive {
    TcpKeepalive {
        probes: number_of(proto.keepalive_probes),
        time_seconds: number_of(proto.keepalive_time),
        interval_seconds: number_of(proto.keepalive_interval),
    }
}

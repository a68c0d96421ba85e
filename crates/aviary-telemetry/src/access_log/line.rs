//! Lines in Istio's default text format, for exchanges that the proxy keeps whole.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// Everything that one line says. Empty strings and `None` are written as `-`.
///
/// Source: Istio's default `accessLogFormat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the request or connection began.
    pub start: SystemTime,
    /// Method, path with query and protocol; `None` for TCP.
    pub request: Option<RequestLine>,
    /// Status of the reply; 0 when there was none.
    pub code: u16,
    /// Envoy's response flags; empty when none.
    pub flags: Cow<'static, str>,
    /// Envoy's response code details.
    pub details: Cow<'static, str>,
    /// Why the upstream connection failed.
    pub upstream_failure: Cow<'static, str>,
    /// Body bytes from the client.
    pub bytes_received: u64,
    /// Body bytes to the client.
    pub bytes_sent: u64,
    /// From first to last byte.
    pub duration: Duration,
    /// Time the upstream took for the head of its reply.
    pub upstream_service_time: Option<Duration>,
    /// Request headers worth a column.
    pub headers: Headers,
    /// The endpoint.
    pub upstream_host: Option<SocketAddr>,
    /// The cluster.
    pub upstream_cluster: Cow<'static, str>,
    /// Our end of the connection to the endpoint.
    pub upstream_local: Option<SocketAddr>,
    /// Our end of the client's connection, or what it meant to reach.
    pub downstream_local: Option<SocketAddr>,
    /// The client.
    pub downstream_remote: Option<SocketAddr>,
    /// Server name that the client asked for in TLS.
    pub server_name: Cow<'static, str>,
    /// Name of the route.
    pub route_name: Cow<'static, str>,
}

/// What was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestLine {
    /// Method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// `HTTP/1.1`, `HTTP/2` …
    pub protocol: &'static str,
}

/// Request headers worth a column; empty when absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// `x-forwarded-for`.
    pub forwarded_for: String,
    /// `user-agent`.
    pub user_agent: String,
    /// `x-request-id`.
    pub request_id: String,
    /// Host that was asked for.
    pub authority: String,
}

impl Entry {
    /// An entry about which nothing is known but its start.
    pub fn new(start: SystemTime) -> Self {
        Self {
            start,
            request: None,
            code: 0,
            flags: Cow::Borrowed(""),
            details: Cow::Borrowed(""),
            upstream_failure: Cow::Borrowed(""),
            bytes_received: 0,
            bytes_sent: 0,
            duration: Duration::ZERO,
            upstream_service_time: None,
            headers: Headers::default(),
            upstream_host: None,
            upstream_cluster: Cow::Borrowed(""),
            upstream_local: None,
            downstream_local: None,
            downstream_remote: None,
            server_name: Cow::Borrowed(""),
            route_name: Cow::Borrowed(""),
        }
    }

    /// The line, with its end.
    pub fn text(&self) -> String {
        let mut line = String::with_capacity(400);
        let _ = write!(line, "[{}] \"", timestamp(self.start));
        match &self.request {
            Some(RequestLine {
                method,
                path,
                protocol,
            }) => {
                put(method, &mut line);
                line.push(' ');
                put(path, &mut line);
                let _ = write!(line, " {protocol}");
            }
            None => line.push_str("- - -"),
        }
        let _ = write!(
            line,
            "\" {} {} {} - \"",
            self.code,
            dash(&self.flags),
            dash(&self.details)
        );
        put(&self.upstream_failure, &mut line);
        let service_time = self
            .upstream_service_time
            .map_or_else(|| "-".to_owned(), |time| time.as_millis().to_string());
        let _ = write!(
            line,
            "\" {} {} {} {service_time}",
            self.bytes_received,
            self.bytes_sent,
            self.duration.as_millis(),
        );
        let headers = &self.headers;
        let values = [
            &headers.forwarded_for,
            &headers.user_agent,
            &headers.request_id,
            &headers.authority,
        ];
        for value in values {
            line.push_str(" \"");
            put(value, &mut line);
            line.push('"');
        }
        let _ = writeln!(
            line,
            " \"{}\" {} {} {} {} {} {}",
            address(self.upstream_host),
            dash(&self.upstream_cluster),
            address(self.upstream_local),
            address(self.downstream_local),
            address(self.downstream_remote),
            dash(&self.server_name),
            dash(&self.route_name),
        );
        line
    }
}

fn dash(value: &str) -> &str {
    if value.is_empty() { "-" } else { value }
}

/// Control characters and quotes are escaped: a client must not be able to write lines of its own.
fn put(value: &str, line: &mut String) {
    for character in dash(value).chars() {
        match character {
            '"' => line.push_str("\\\""),
            control if control.is_control() => {
                let _ = write!(line, "\\x{:02x}", u32::from(control));
            }
            other => line.push(other),
        }
    }
}

fn address(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "-".to_owned(), |address| address.to_string())
}

/// `2026-11-21T10:00:00.123Z`, as Envoy's `%START_TIME%`.
fn timestamp(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis(),
    )
}

/// Year, month and day of a count of days since 1970-01-01 (the Gregorian calendar in eras of
/// 400 years that begin in March, so that the leap day comes last).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;

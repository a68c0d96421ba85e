//! Ages as kubectl shows them: `5s`, `3m20s`, `2d4h`.
//!
//! Source: k8s.io/apimachinery `duration.HumanDuration`.

use jiff::Timestamp;
use serde_json::Value;

/// Time from an RFC 3339 text to `now`; `<unknown>` when there is none, `<invalid>` when it is
/// no time or lies in the future.
pub fn since(time: &Value, now: Timestamp) -> String {
    match time.as_str() {
        None | Some("") => "<unknown>".to_owned(),
        Some(text) => match text.parse::<Timestamp>() {
            Ok(time) => human(seconds_between(time, now)),
            Err(_) => "<invalid>".to_owned(),
        },
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    let millis = to.as_millisecond() - from.as_millisecond();
    // Truncation toward zero, as Go's conversion does: a second of clock skew is forgiven.
    millis / 1000
}

fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |a: i64, unit_a: &str, b: i64, unit_b: &str| {
        if b == 0 {
            format!("{a}{unit_a}")
        } else {
            format!("{a}{unit_a}{b}{unit_b}")
        }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human_durations_read_as_kubectl_prints_them() {
        let (minute, hour, day) = (60, 3600, 86_400);
        for (seconds, text) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (200, "3m20s"),
            (10 * minute + 5, "10m"),
            (3 * hour, "3h"),
            (3 * hour + 90 * minute, "4h30m"),
            (47 * hour, "47h"),
            (2 * day + 4 * hour, "2d4h"),
            (8 * day + hour, "8d"),
            (800 * day, "2y70d"),
            (3650 * day, "10y"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }

    #[test]
    fn since_nothing_is_unknown() {
        assert_eq!(since(&Value::Null, Timestamp::UNIX_EPOCH), "<unknown>");
        assert_eq!(since(&"soon".into(), Timestamp::UNIX_EPOCH), "<invalid>");
    }
}

//! Go's duration syntax (`1m30s`, `250ms`, `1.5h`), as Istio's objects write times.

use std::time::Duration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write for example `7s`, `250ms` or `1m30s`")]
pub struct Error(String);

/// Reads a duration that is not negative.
///
/// Source: Go `time.ParseDuration`.
///
/// # Errors
/// [`Error`] with the text, when it is empty, has no unit, or is negative or too long.
pub fn parse(text: &str) -> Result<Duration, Error> {
    let wrong = || Error(text.to_owned());
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (digits, tail) = rest.split_at(number);
        let unit_len = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_len);
        let value: f64 = digits.parse().map_err(|_| wrong())?;
        seconds += value * unit_seconds(unit).ok_or_else(wrong)?;
        rest = next;
    }
    // Nanoseconds are rounded: 0.3 s must not become 299999999 ns.
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_forms_are_read() {
        for (text, millis) in [
            ("7s", 7_000),
            ("250ms", 250),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("0", 0),
            ("0s", 0),
            (".5s", 500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("300ms"), Ok(Duration::from_millis(300)));
    }

    #[test]
    fn duration_without_unit_or_negative_is_refused() {
        for text in ["", "5", "-1s", "s", "1x", "1s2", "..s", "1e9h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

//! Texts that must have a form: quantities, times, base64.

use base64::Engine as _;
use jiff::Timestamp;

use crate::quantity::Quantity;

/// Judges a text of a built-in kind.
///
/// # Errors
/// The text of the refusal, as Go's decoders word it.
pub(super) fn check(format: Option<&str>, text: &str) -> Result<(), String> {
    match format {
        Some("quantity") if Quantity::parse(text).is_none() => {
            Err("quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                .to_owned())
        }
        Some("date-time") if text.parse::<Timestamp>().is_err() => Err(format!(
            "parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"{text}\" as \"2006\""
        )),
        Some("byte") => base64::engine::general_purpose::STANDARD
            .decode(text)
            .map(|_| ())
            .map_err(|error| {
                format!(
                    "illegal base64 data at input byte {}",
                    position(&error, text)
                )
            }),
        _ => Ok(()),
    }
}

fn position(error: &base64::DecodeError, text: &str) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => {
            *at
        }
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
            text.len() / 4 * 4
        }
    }
}

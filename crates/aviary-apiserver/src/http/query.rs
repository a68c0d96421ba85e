//! Query parameters.

use aviary_kinds::{FieldValidation, Status};

/// The decoded parameters of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter; empty when absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value)
    }

    /// Whether a boolean parameter is on.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1" | "True")
    }

    /// A number, or `None` when absent.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseUint: parsing \"{text}\": invalid syntax of parameter {name}"
            ))
        })
    }

    /// Whether the request is only to be tried (`dryRun=All`).
    pub(crate) fn dry_run(&self) -> Result<bool, Status> {
        match self.get("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => Err(Status::unprocessable(format!(
                "dryRun: Unsupported value: \"{other}\": supported values: \"All\""
            ))),
        }
    }

    pub(crate) fn field_validation(&self) -> Result<FieldValidation, Status> {
        let text = self.get("fieldValidation");
        FieldValidation::parse(text).ok_or_else(|| {
            Status::unprocessable(format!(
                "fieldValidation: Unsupported value: \"{text}\": supported values: \"Ignore\", \
                 \"Strict\", \"Warn\""
            ))
        })
    }

    /// A resourceVersion parameter: `None` when absent.
    pub(crate) fn revision(&self, name: &str) -> Result<Option<u64>, Status> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "invalid resource version \"{text}\": strconv.ParseUint: parsing \"{text}\": \
                 invalid syntax"
            ))
        })
    }
}

/// Undoes percent encoding; bytes that are no UTF-8 become replacement characters.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' if plus_is_space => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let pair = (ahead.next().and_then(hex), ahead.next().and_then(hex));
                if let (Some(high), Some(low)) = pair {
                    bytes.push(high * 16 + low);
                    rest = ahead;
                } else {
                    bytes.push(b'%');
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_encoded_selector_is_decoded() {
        let query = Query::parse("labelSelector=app%3Dx%2Cv+in+%28a%29&watch=1&limit=5&bad=%zz");
        assert_eq!(query.get("labelSelector"), "app=x,v in (a)");
        assert!(query.flag("watch"));
        assert_eq!(query.number("limit"), Ok(Some(5)));
        assert_eq!(query.get("bad"), "%zz");
        assert_eq!(query.get("none"), "");
    }
}

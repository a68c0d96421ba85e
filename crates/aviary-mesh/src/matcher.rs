//! How strings are compared: the one matcher for paths, headers and query parameters.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A regular expression in RE2 syntax that must match the whole value.
///
/// Source: Envoy `type.matcher.v3.RegexMatcher` (full match).
#[derive(Clone)]
pub struct FullRegex {
    source: String,
    compiled: regex::Regex,
}

impl FullRegex {
    /// Compiles `source`.
    ///
    /// # Errors
    /// The parser's message when `source` is not a regular expression or compiles to over 1 MiB.
    pub fn new(source: &str) -> Result<Self, String> {
        regex::RegexBuilder::new(&format!("^(?:{source})$"))
            .size_limit(1 << 20)
            .dot_matches_new_line(true)
            .build()
            .map(|compiled| Self {
                source: source.to_owned(),
                compiled,
            })
            .map_err(|error| error.to_string())
    }

    /// The expression as it was written, without anchors.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the whole of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.compiled.is_match(value)
    }
}

impl fmt::Debug for FullRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.source)
    }
}

impl PartialEq for FullRegex {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for FullRegex {}

impl Serialize for FullRegex {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

impl<'de> Deserialize<'de> for FullRegex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::new(&source).map_err(serde::de::Error::custom)
    }
}

/// A comparison of one string.
///
/// Source: Envoy `type.matcher.v3.StringMatcher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StringMatch {
    /// Equal.
    Exact(String),
    /// Starts with.
    Prefix(String),
    /// Ends with.
    Suffix(String),
    /// Has it in it.
    Contains(String),
    /// The whole value matches.
    Regex(FullRegex),
}

impl StringMatch {
    /// Whether `value` matches; `ignore_case` folds ASCII case for all but regular expressions.
    pub fn matches(&self, value: &str, ignore_case: bool) -> bool {
        fn head(value: &str, part: &str, fold: bool) -> bool {
            let (value, part) = (value.as_bytes(), part.as_bytes());
            value.len() >= part.len()
                && if fold {
                    value[..part.len()].eq_ignore_ascii_case(part)
                } else {
                    value.starts_with(part)
                }
        }
        fn tail(value: &str, part: &str, fold: bool) -> bool {
            let (value, part) = (value.as_bytes(), part.as_bytes());
            value.len() >= part.len()
                && if fold {
                    value[value.len() - part.len()..].eq_ignore_ascii_case(part)
                } else {
                    value.ends_with(part)
                }
        }
        match self {
            Self::Exact(want) if ignore_case => value.eq_ignore_ascii_case(want),
            Self::Exact(want) => value == want,
            Self::Prefix(want) => head(value, want, ignore_case),
            Self::Suffix(want) => tail(value, want, ignore_case),
            Self::Contains(want) if ignore_case => value
                .to_ascii_lowercase()
                .contains(&want.to_ascii_lowercase()),
            Self::Contains(want) => value.contains(want.as_str()),
            Self::Regex(regex) => regex.is_match(value),
        }
    }
}

/// A comparison of one string, with its case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Text {
    /// What it must be.
    pub is: StringMatch,
    /// Folds ASCII case, for all but regular expressions.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub ignore_case: bool,
}

impl Text {
    /// Whether `value` matches.
    pub fn matches(&self, value: &str) -> bool {
        self.is.matches(value, self.ignore_case)
    }
}

impl From<StringMatch> for Text {
    fn from(is: StringMatch) -> Self {
        Self {
            is,
            ignore_case: false,
        }
    }
}

/// A condition on one request header (or pseudo header such as `:method`).
///
/// Source: Envoy `config.route.v3.HeaderMatcher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderMatch {
    /// Lower-case name; `:method`, `:authority`, `:scheme` and `:path` name the pseudo headers.
    pub name: String,
    /// What the value must be; `None` asks only for presence.
    pub value: Option<StringMatch>,
    /// Turns the answer round.
    pub invert: bool,
    /// A missing header counts as the empty string (Istio's `withoutHeaders`), and so as present.
    pub missing_as_empty: bool,
    /// Folds ASCII case of the value.
    pub ignore_case: bool,
}

impl HeaderMatch {
    /// Whether it holds for a header with the values that `each` hands out: one that fits is
    /// enough, or none that does where the answer is turned round.
    ///
    /// Source: Envoy 1.40 `HeaderUtility::matchHeaders`, which looks at each value of its own.
    pub fn holds_for(&self, each: impl FnOnce(&mut dyn FnMut(&str))) -> bool {
        let (mut present, mut fits) = (false, false);
        let wanted = self.value.as_ref();
        each(&mut |value| {
            present = true;
            fits |= wanted.is_none_or(|wanted| wanted.matches(value, self.ignore_case));
        });
        match wanted {
            None => (present || self.missing_as_empty) != self.invert,
            Some(_) if present => fits != self.invert,
            Some(wanted) if self.missing_as_empty => {
                wanted.matches("", self.ignore_case) != self.invert
            }
            // Envoy: a value condition on a missing header fails, turned round or not.
            Some(_) => false,
        }
    }
}

/// A condition on one query parameter.
///
/// Source: Envoy `config.route.v3.QueryParameterMatcher`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryMatch {
    /// Name of the parameter, case-sensitive.
    pub name: String,
    /// What the first value must be; `None` asks only for presence.
    pub value: Option<StringMatch>,
    /// Folds ASCII case of the value.
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub ignore_case: bool,
}

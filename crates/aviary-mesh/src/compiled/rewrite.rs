//! New paths by regular expressions.

/// A compiled [`crate::route::PathRewrite::Regex`].
#[derive(Debug)]
pub(crate) struct Rewrite {
    pattern: regex::Regex,
    /// In the syntax of crate `regex`: `${1}`.
    substitution: String,
}

impl Rewrite {
    /// Compiles an RE2 expression and a substitution with `\1` groups.
    ///
    /// # Errors
    /// The parser's message when `pattern` is not a regular expression.
    pub(super) fn new(pattern: &str, substitution: &str) -> Result<Self, String> {
        let pattern = regex::RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
            .map_err(|error| error.to_string())?;
        let mut out = String::with_capacity(substitution.len() + 8);
        let mut rest = substitution.chars();
        while let Some(character) = rest.next() {
            match character {
                '$' => out.push_str("$$"),
                '\\' => match rest.next() {
                    Some(digit) if digit.is_ascii_digit() => {
                        out.push_str("${");
                        out.push(digit);
                        out.push('}');
                    }
                    Some('\\') => out.push('\\'),
                    _ => return Err(format!("bad group in substitution `{substitution}`")),
                },
                other => out.push(other),
            }
        }
        Ok(Self {
            pattern,
            substitution: out,
        })
    }

    /// The new path.
    pub(crate) fn apply(&self, path: &str) -> String {
        self.pattern
            .replace_all(path, self.substitution.as_str())
            .into_owned()
    }
}

/// Whether a regular-expression rewrite can be used.
///
/// # Errors
/// What is wrong with it.
pub fn check_rewrite(pattern: &str, substitution: &str) -> Result<(), String> {
    Rewrite::new(pattern, substitution).map(drop)
}

//! Path templates.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::matcher::FullRegex;

/// Characters of a segment, for a bracket expression. Source: Envoy `kPathGlob`.
const SEGMENT: &str = r"a-zA-Z0-9\-._~%!$&'()+,;:@*=";

/// A path template as Istio has it: `{*}` is one segment or a part of it, `{**}` any number of
/// segments; the latter stands once and is the last of both.
///
/// Source: Envoy `UriTemplateMatchConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    source: String,
    regex: FullRegex,
}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(source: &str) -> Result<Self, String> {
        let refuse = |reason: &str| Err(format!("template `{source}` {reason}"));
        if !source.starts_with('/') {
            return refuse("does not start with `/`");
        }
        let mut regex = String::new();
        let mut rest = source;
        let mut ended = false;
        while let Some((literal, tail)) = rest.split_once('{') {
            regex.push_str(&regex::escape(literal));
            if ended {
                return refuse("has something after `{**}` that is no literal");
            }
            rest = if let Some(tail) = tail.strip_prefix("*}") {
                let _ = write!(regex, "[{SEGMENT}]+");
                tail
            } else if let Some(tail) = tail.strip_prefix("**}") {
                ended = true;
                let _ = write!(regex, "[{SEGMENT}/]*");
                tail
            } else {
                return refuse("has something other than `{*}` and `{**}` in braces");
            };
        }
        if rest.contains(['}', '*']) || source.replace("{*}", "").replace("{**}", "").contains('*')
        {
            return refuse("has `*` or `}` outside of `{*}` and `{**}`");
        }
        regex.push_str(&regex::escape(rest));
        Ok(Self {
            source: source.to_owned(),
            regex: FullRegex::new(&regex)?,
        })
    }

    /// The template as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether a path without query matches.
    pub fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(source: String) -> Result<Self, String> {
        Self::new(&source)
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.source
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    #[test]
    fn template_each_form_takes_what_envoy_takes() {
        let cases = [
            ("/foo/{*}", "/foo/bar", true),
            ("/foo/{*}", "/foo/bar/baz", false),
            ("/foo/{*}", "/foo/", false),
            ("/foo/{**}", "/foo/", true),
            ("/foo/{**}", "/foo/a/b", true),
            ("/{*}/bar/{**}", "/x/bar/y/z", true),
            ("/{*}/bar/{**}", "/x/baz/y", false),
            ("/foo/{**}/end", "/foo/a/b/end", true),
            ("/a.b/{*}", "/aXb/c", false),
        ];
        for (template, path, expected) in cases {
            let compiled = Template::new(template).expect("a template");
            assert_eq!(compiled.matches(path), expected, "{template} {path}");
        }
    }

    #[test]
    fn template_malformed_is_refused() {
        for template in ["foo", "/{**}/{*}", "/{name}", "/a*", "/{*", "/{**}/{**}"] {
            assert!(Template::new(template).is_err(), "{template}");
        }
    }
}

//! Label and field selectors of lists and watches.

use aviary_kinds::{Kind, Status};
use serde_json::Value;

use super::query::Query;

/// Which objects a request means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    labels: Vec<Requirement>,
    fields: Vec<(String, bool, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

impl Selection {
    /// Reads `labelSelector` and `fieldSelector`; `name` adds `metadata.name=<name>`.
    pub(crate) fn parse(query: &Query, kind: &Kind, name: Option<&str>) -> Result<Self, Status> {
        let labels = parse_labels(query.get("labelSelector")).map_err(|detail| {
            Status::bad_request(format!("unable to parse requirement: {detail}"))
        })?;
        let mut fields = parse_fields(query.get("fieldSelector"))?;
        let known = kind.selectable_fields(&Value::Null);
        for (field, _, _) in &fields {
            if !known.iter().any(|(name, _)| **name == **field) {
                let message = format!("field label not supported: {field}");
                return Err(Status::bad_request(message));
            }
        }
        if let Some(name) = name {
            fields.push(("metadata.name".to_owned(), true, name.to_owned()));
        }
        Ok(Self { labels, fields })
    }

    /// Whether everything is selected.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, kind: &Kind, object: &Value) -> bool {
        self.matches_labels(object) && self.matches_fields(kind, object)
    }

    fn matches_labels(&self, object: &Value) -> bool {
        let labels = object
            .get("metadata")
            .and_then(|metadata| metadata.get("labels"));
        self.labels.iter().all(|requirement| {
            let value = labels
                .and_then(|labels| labels.get(&requirement.key))
                .and_then(Value::as_str);
            requirement.test.holds(value)
        })
    }

    fn matches_fields(&self, kind: &Kind, object: &Value) -> bool {
        if let [(field, true, wanted)] = self.fields.as_slice()
            && field == "metadata.name"
        {
            return crate::api::text(object, &["metadata", "name"]) == wanted;
        }
        if self.fields.is_empty() {
            return true;
        }
        let values = kind.selectable_fields(object);
        self.fields.iter().all(|(field, equal, wanted)| {
            let value = values.iter().find(|(name, _)| **name == **field);
            value.is_some_and(|(_, value)| (value == wanted) == *equal)
        })
    }
}

impl Test {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::In(set) => value.is_some_and(|value| set.iter().any(|item| item == value)),
            Self::NotIn(set) => value.is_none_or(|value| !set.iter().any(|item| item == value)),
            Self::Greater(than) => number().is_some_and(|number| number > *than),
            Self::Less(than) => number().is_some_and(|number| number < *than),
        }
    }
}

fn parse_fields(text: &str) -> Result<Vec<(String, bool, String)>, Status> {
    let terms = text
        .split(',')
        .map(str::trim)
        .filter(|term| !term.is_empty());
    terms
        .map(|term| {
            let split = term
                .split_once("!=")
                .map(|(field, value)| (field, false, value))
                .or_else(|| {
                    term.split_once("==")
                        .map(|(field, value)| (field, true, value))
                })
                .or_else(|| {
                    term.split_once('=')
                        .map(|(field, value)| (field, true, value))
                });
            let (field, equal, value) = split.ok_or_else(|| {
                Status::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{term}'"
                ))
            })?;
            Ok((field.trim().to_owned(), equal, value.trim().to_owned()))
        })
        .collect()
}

/// Splits at commas outside parentheses and reads each requirement.
fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    let mut depth = 0_u32;
    let terms = text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    });
    terms
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .map(requirement)
        .collect()
}

fn requirement(term: &str) -> Result<Requirement, String> {
    let make = |key: &str, test| {
        let key = key.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        if key.is_empty() || !key.chars().all(plain) {
            return Err(format!(
                "<nil>: Invalid value: \"{key}\": a label key must be a qualified name"
            ));
        }
        Ok(Requirement {
            key: key.to_owned(),
            test,
        })
    };
    let one = |value: &str| vec![value.trim().to_owned()];
    if let Some(key) = term.strip_prefix('!') {
        return make(key, Test::Absent);
    }
    if let Some(inner) = term.strip_suffix(')') {
        let (head, set) = inner
            .split_once('(')
            .ok_or_else(|| format!("found ')' in '{term}'"))?;
        let set = set
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        return match head.trim().rsplit_once(char::is_whitespace) {
            Some((key, "in")) => make(key, Test::In(set)),
            Some((key, "notin")) => make(key, Test::NotIn(set)),
            _ => Err(format!("found '{}', expected: in, notin", head.trim())),
        };
    }
    if let Some((key, value)) = term.split_once("!=") {
        return make(key, Test::NotIn(one(value)));
    }
    if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        return make(key, Test::In(one(value)));
    }
    for (sign, greater) in [('>', true), ('<', false)] {
        if let Some((key, value)) = term.split_once(sign) {
            let number = value
                .trim()
                .parse()
                .map_err(|_| format!("'{value}' is no integer"))?;
            return make(
                key,
                if greater {
                    Test::Greater(number)
                } else {
                    Test::Less(number)
                },
            );
        }
    }
    make(term, Test::Exists)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(selector: &str, expected: bool) {
        let object = json!({"metadata": {"labels": {"app": "x", "n": "5"}}});
        let labels = parse_labels(selector).expect(selector);
        let selection = Selection {
            labels,
            fields: Vec::new(),
        };
        assert_eq!(selection.matches_labels(&object), expected, "{selector}");
    }

    #[test]
    fn label_selector_forms_match_as_documented() {
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("app=x", true),
            ("app==y", false),
            ("app!=y,n", true),
            ("tier!=web", true),
            ("app in (x, y),n in (5)", true),
            ("app notin (x,y)", false),
            ("none notin (x)", true),
            ("n>4,n<6", true),
            ("n>5", false),
        ] {
            check(selector, expected);
        }
    }

    #[test]
    fn label_selector_nonsense_is_refused() {
        for selector in ["app of (x)", "a b", "n>x", "=", "app)"] {
            assert!(parse_labels(selector).is_err(), "{selector}");
        }
    }

    #[test]
    fn field_selector_without_operator_is_refused() {
        assert!(parse_fields("metadata.name").is_err());
        assert_eq!(
            parse_fields("a=b,c!=d").map_err(|status| status.code),
            Ok(vec![
                ("a".into(), true, "b".into()),
                ("c".into(), false, "d".into())
            ])
        );
    }
}

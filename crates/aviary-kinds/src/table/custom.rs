//! Rows of custom kinds: cells by JSON path.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{age::since, columns::define};
use crate::kind::PrinterColumn;

/// Name, then the definition's columns; name and age when it has none.
pub(super) fn columns(columns: &[PrinterColumn]) -> Vec<Value> {
    let mut all = vec![define("Name", "string", "name", "", 0)];
    if columns.is_empty() {
        all.push(define("Age", "date", "", "", 0));
    }
    all.extend(columns.iter().map(|column| {
        let format = column.format.as_deref().unwrap_or_default();
        let description = column.description.as_deref().unwrap_or_default();
        define(
            &column.name,
            &column.kind,
            format,
            description,
            column.priority,
        )
    }));
    all
}

pub(super) fn cells(columns: &[PrinterColumn], object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![object["metadata"]["name"].clone()];
    if columns.is_empty() {
        cells.push(json!(since(&object["metadata"]["creationTimestamp"], now)));
    }
    cells.extend(columns.iter().map(|column| cell(column, object, now)));
    cells
}

/// A path that finds nothing, or a value of another type, gives an empty cell.
fn cell(column: &PrinterColumn, object: &Value, now: Timestamp) -> Value {
    let Some(value) = first(object, &column.json_path) else {
        return Value::Null;
    };
    match (&*column.kind, value) {
        (_, Value::Null) => Value::Null,
        ("date", Value::String(_)) => json!(since(value, now)),
        ("integer", Value::Number(number)) => {
            number.as_i64().map_or(Value::Null, |number| json!(number))
        }
        ("boolean", Value::Bool(_))
        | ("number", Value::Number(_))
        | ("string", Value::String(_)) => value.clone(),
        ("string", other) => json!(other.to_string()),
        _ => Value::Null,
    }
}

/// One step of a JSON path.
#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    All,
    /// `[?(@.type=="Ready")]`: items whose field has this text.
    Where(Vec<String>, String),
}

/// The first value that a JSON path (`.spec.hosts[0]`) finds; `None` too for a path outside the
/// subset: fields, `['field']`, `[n]`, `[*]` and `[?(@.field=="text")]`.
pub(crate) fn first<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let steps = parse(path)?;
    walk(object, &steps)
}

fn walk<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match step {
        Step::Field(name) => walk(value.get(name)?, rest),
        Step::Index(index) => walk(value.get(index)?, rest),
        Step::All => match value {
            Value::Array(items) => items.iter().find_map(|item| walk(item, rest)),
            Value::Object(map) => map.values().find_map(|item| walk(item, rest)),
            _ => None,
        },
        Step::Where(fields, wanted) => value.as_array()?.iter().find_map(|item| {
            let found = fields.iter().try_fold(item, |at, field| at.get(field))?;
            (found.as_str() == Some(wanted))
                .then(|| walk(item, rest))
                .flatten()
        }),
    }
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path
        .trim()
        .trim_start_matches('{')
        .trim_end_matches('}')
        .trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let (inside, after) = bracket(after)?;
            steps.push(subscript(inside)?);
            rest = after;
        } else {
            let (name, after) = field(rest.strip_prefix('.').unwrap_or(rest));
            match &*name {
                "" if after.is_empty() => break,
                "" if after.starts_with('[') => {}
                "" => return None,
                "*" => steps.push(Step::All),
                _ => steps.push(Step::Field(name)),
            }
            rest = after;
        }
    }
    Some(steps)
}

/// Splits at the `]` that closes a subscript, outside quotes.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, ']') => {
                let (inside, after) = text.split_at(at);
                return Some((inside, after.strip_prefix(']')?));
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

fn subscript(inside: &str) -> Option<Step> {
    if inside == "*" {
        return Some(Step::All);
    }
    if let Ok(index) = inside.parse() {
        return Some(Step::Index(index));
    }
    if let Some(condition) = inside.strip_prefix("?(").and_then(|c| c.strip_suffix(')')) {
        let (left, right) = condition.split_once("==")?;
        let fields = left
            .trim()
            .strip_prefix("@.")?
            .split('.')
            .map(str::to_owned)
            .collect();
        return Some(Step::Where(fields, unquote(right.trim())?.to_owned()));
    }
    Some(Step::Field(unquote(inside)?.to_owned()))
}

fn unquote(text: &str) -> Option<&str> {
    ['\'', '"']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// Splits off a field name; a backslash makes the next dot part of the name.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => return (name, text.split_at(at).1),
            _ => name.push(c),
        }
    }
    (name, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_paths_find_their_first_value() {
        let object = json!({
            "spec": {"hosts": ["a", "b"], "http": [{"name": "x"}, {"name": "y"}]},
            "metadata": {"labels": {"app.kubernetes.io/name": "z"}},
            "status": {"conditions": [
                {"type": "A", "status": "False"},
                {"type": "Ready", "status": "True"},
            ]},
        });
        for (path, found) in [
            (".spec.hosts", Some(json!(["a", "b"]))),
            (".spec.hosts[1]", Some(json!("b"))),
            (".spec.http[*].name", Some(json!("x"))),
            ("{.spec.hosts[0]}", Some(json!("a"))),
            (
                ".metadata.labels.app\\.kubernetes\\.io/name",
                Some(json!("z")),
            ),
            (
                ".metadata.labels['app.kubernetes.io/name']",
                Some(json!("z")),
            ),
            (
                ".status.conditions[?(@.type==\"Ready\")].status",
                Some(json!("True")),
            ),
            (".spec.none", None),
            (".spec..hosts", None),
        ] {
            assert_eq!(first(&object, path).cloned(), found, "{path}");
        }
    }
}

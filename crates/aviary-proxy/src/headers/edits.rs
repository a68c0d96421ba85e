//! The edits that a route, its virtual host and its table ask for.

use aviary_http::Fields;
use aviary_mesh::route::HeaderEdits;

/// Does the edits of all levels, in order.
pub(crate) fn apply(fields: &mut Fields, levels: [&HeaderEdits; 4]) {
    for edits in levels {
        if !edits.is_empty() {
            edit(fields, edits);
        }
    }
}

/// Removals, then overwrites, then additions; what depends on whether a field is there is judged
/// between the first two. `host` is not touched here.
///
/// Source: Envoy `HeaderParser::evaluateHeaders`.
fn edit(fields: &mut Fields, edits: &HeaderEdits) {
    for name in &edits.remove {
        fields.remove(name.as_str());
    }
    let there = |(name, _): &&(String, String)| fields.contains(name.as_str());
    let replaced: Vec<_> = edits.replace.iter().filter(there).collect();
    let absent: Vec<_> = edits.add_if_absent.iter().filter(|it| !there(it)).collect();
    for (name, value) in edits.set.iter().chain(replaced) {
        fields.set(name.as_str(), value.as_bytes());
    }
    for (name, value) in edits.add.iter().chain(absent) {
        fields.append(name.as_str(), value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in pairs {
            fields.append(*name, value.as_bytes());
        }
        fields
    }

    fn pair(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn edit_order_is_remove_set_add() {
        let edits = HeaderEdits {
            remove: vec!["a".into(), "b".into()],
            set: pair("b", "1"),
            add: pair("b", "2"),
            ..HeaderEdits::default()
        };
        let mut got = fields(&[("a", "0"), ("b", "0")]);
        edit(&mut got, &edits);
        assert_eq!(got, fields(&[("b", "1"), ("b", "2")]));
    }

    #[test]
    fn edit_with_a_condition_looks_before_anything_is_set() {
        let edits = HeaderEdits {
            set: pair("a", "1"),
            replace: pair("b", "2"),
            add_if_absent: pair("a", "3"),
            ..HeaderEdits::default()
        };
        let mut got = Fields::new();
        edit(&mut got, &edits);
        assert_eq!(got, fields(&[("a", "1"), ("a", "3")]));
        let mut got = fields(&[("a", "0"), ("b", "0")]);
        edit(&mut got, &edits);
        assert_eq!(got, fields(&[("a", "1"), ("b", "2")]));
    }
}

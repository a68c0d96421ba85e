//! Edits of heads: what routes ask for, and what an edge believes of nobody.

use aviary_http::Fields;
use aviary_mesh::route::HeaderEdits;

/// Removes what an edge believes of nobody: who forwarded, and Envoy's own controls.
pub(crate) fn strip_claims(fields: &mut Fields) {
    let starts = |name: &[u8], part: &[u8]| {
        name.get(..part.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(part))
    };
    fields.remove_where(|_, name| starts(name, b"x-envoy-") || starts(name, b"x-forwarded-"));
}

/// Applies edits: removals, then overwrites, then additions. `host` is not touched here.
pub(crate) fn edit(fields: &mut Fields, edits: &HeaderEdits) {
    for name in &edits.remove {
        fields.remove(name.as_str());
    }
    for (name, value) in &edits.set {
        fields.set(name.as_str(), value.as_bytes());
    }
    for (name, value) in &edits.add {
        fields.append(name.as_str(), value.as_bytes());
    }
}

/// Sets a field to a number.
pub(crate) fn set_number(fields: &mut Fields, name: &str, number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        // A remainder of ten fits.
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    fields.set(name, &digits[at..]);
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

    #[test]
    fn edit_order_is_remove_set_add() {
        let edits = HeaderEdits {
            remove: vec!["a".into(), "b".into()],
            set: vec![("b".into(), "1".into())],
            add: vec![("b".into(), "2".into())],
            ..HeaderEdits::default()
        };
        let mut got = fields(&[("a", "0"), ("b", "0")]);
        edit(&mut got, &edits);
        assert_eq!(got, fields(&[("b", "1"), ("b", "2")]));
    }

    #[test]
    fn strip_claims_leaves_the_rest() {
        let mut got = fields(&[
            ("x-forwarded-for", "1"),
            ("X-Envoy-Retry-On", "5xx"),
            ("x-b", "1"),
        ]);
        strip_claims(&mut got);
        assert_eq!(got, fields(&[("x-b", "1")]));
    }

    #[test]
    fn set_number_writes_decimal() {
        for number in [0, 7, 10, u64::MAX] {
            let mut got = Fields::new();
            set_number(&mut got, "x-n", number);
            assert_eq!(got.text("x-n"), Some(number.to_string().as_str()));
        }
    }
}

//! Label selectors of the plain key-value kind.

use std::collections::BTreeMap;

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// Whether `labels` has every pair of `selector`. An empty selector matches everything; who gives
/// an empty selector another meaning (a Service's matches nothing) checks first.
pub fn matches(selector: &Labels, labels: &Labels) -> bool {
    selector
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selector_needs_every_pair() {
        let labels = Labels::from([("app".into(), "a".into()), ("version".into(), "v1".into())]);
        assert!(matches(&Labels::new(), &labels));
        assert!(matches(
            &Labels::from([("app".into(), "a".into())]),
            &labels
        ));
        assert!(!matches(
            &Labels::from([("app".into(), "b".into())]),
            &labels
        ));
        assert!(!matches(
            &Labels::from([("team".into(), "b".into())]),
            &labels
        ));
    }
}

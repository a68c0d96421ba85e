//! `testdata/golden/*.yaml`: one idea each; the whole model of one proxy is the snapshot.

use super::support::{documents, kind_of};
use crate::{ProxyKey, ProxyKind, Snapshot, translate};

#[test]
#[expect(clippy::disallowed_methods, reason = "test data lies in files")]
fn goldens_translate_to_their_snapshots() {
    insta::glob!("../../testdata/golden", "*.yaml", |path| {
        let text = std::fs::read_to_string(path).expect("readable");
        let mut snapshot = Snapshot::default();
        for object in documents(&text) {
            let kind = kind_of(&object).expect("a kind of the mesh");
            snapshot.insert(kind, &object).expect("readable object");
        }
        snapshot.settle();
        // The first line names the proxy: `# sidecar default app=client`.
        let mut words = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1);
        let kind = match words.next() {
            Some("router") => ProxyKind::Router,
            _ => ProxyKind::Sidecar,
        };
        let namespace = words.next().unwrap_or("default").to_owned();
        let pairs = words.filter_map(|word| word.split_once('='));
        let labels = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let (config, diagnostics) = translate(
            &snapshot,
            &ProxyKey {
                kind,
                namespace,
                labels,
            },
        );
        assert_eq!(diagnostics, []);
        insta::assert_json_snapshot!(config);
    });
}

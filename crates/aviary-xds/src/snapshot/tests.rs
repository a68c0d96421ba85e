use super::*;
use aviary_mesh::RouteTable;

fn config(ignore_port_in_host: bool) -> Arc<MeshConfig> {
    let mut config = MeshConfig::default();
    for (name, ignore_port_in_host) in [("a", false), ("b", ignore_port_in_host)] {
        let table = RouteTable {
            name: name.to_owned(),
            ignore_port_in_host,
            ..RouteTable::default()
        };
        config.routes.insert(name.to_owned(), Arc::new(table));
    }
    Arc::new(config)
}

#[test]
fn snapshot_unchanged_resource_is_taken_over_and_changed_one_gets_a_version() {
    let before = Snapshot::new(1, config(false), None);
    let after = Snapshot::new(2, config(true), Some(&before));
    let entry = |snapshot: &Snapshot, name| snapshot.entries(Kind::Routes)[name].clone();
    assert!(Arc::ptr_eq(
        &entry(&before, "a").body,
        &entry(&after, "a").body
    ));
    assert_ne!(entry(&before, "b").version, entry(&after, "b").version);
    let alone = Snapshot::new(3, config(true), None);
    assert_eq!(entry(&alone, "b"), entry(&after, "b"));
    assert_eq!(after.version(), 2);
}

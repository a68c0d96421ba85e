//! Overlays as objects: changes, residue, remarks.

use super::*;
use crate::{Kind, ObjectKey, analyze};

#[test]
fn original_rules_applied_again_change_nothing() {
    let route =
        "{match: [{uri: {prefix: /}}], route: [{destination: {host: reviews, subset: v1}}]}";
    let objects = [subsets(), &rules(route)];
    let mut mesh = mesh(&objects);
    mesh.apply(&release(&shares(100_000, 900_000)));
    let before = crate::translate(&mesh.snapshot, &key());
    for object in objects {
        mesh.apply(object);
    }
    assert_eq!(crate::translate(&mesh.snapshot, &key()), before);
    check(&answers(&mesh, GET), &[(V1, 0.9), (V2, 0.1)]);
    mesh.delete(Kind::Release, "prod", "reviews-v2");
    assert_eq!(answer(&mesh, GET), "v1|reviews");
    assert_eq!(
        page(&mesh)
            .config
            .clusters
            .keys()
            .filter(|it| it.contains('='))
            .count(),
        0
    );
}

#[test]
fn only_a_change_of_the_overlay_is_a_change() {
    let mut mesh = mesh(&[]);
    let mut object: serde_json::Value =
        serde_saphyr::from_str(&release(&shares(100_000, 900_000))).unwrap();
    let insert = |mesh: &mut Mesh, object: &serde_json::Value| {
        mesh.snapshot.insert(Kind::Release, object).unwrap()
    };
    assert!(insert(&mut mesh, &object));
    object["status"]["waits"] = serde_json::json!(["for an approval"]);
    object["metadata"]["resourceVersion"] = "2".into();
    assert!(!insert(&mut mesh, &object));
    object["status"]["overlay"]["revision"] = 2.into();
    assert!(insert(&mut mesh, &object));
    mesh.snapshot.settle();
    let service = ObjectKey::new("prod", "reviews");
    let (release, overlay) = mesh.snapshot.overlay(&service).unwrap();
    assert_eq!((release.name.as_str(), overlay.revision), ("reviews-v2", 2));
    object["status"]["overlay"] = serde_json::Value::Null;
    assert!(insert(&mut mesh, &object));
    mesh.snapshot.settle();
    assert!(mesh.snapshot.overlay(&service).is_none());
}

#[test]
fn overlays_that_cannot_work_are_told() {
    let codes = |mesh: &Mesh| {
        let found = analyze(&mesh.snapshot);
        found
            .into_iter()
            .map(|it| (it.code, it.path))
            .collect::<Vec<_>>()
    };
    let path = |text: &str| text.to_owned();
    let half = mesh(&[&release(&shares(0, 900_000))]);
    assert_eq!(codes(&half), [("AV0203", path("status.overlay.shares"))]);
    assert_eq!(answer(&half, GET), "|reviews");

    let mut twice = mesh(&[&release(&shares(100_000, 900_000))]);
    twice.apply(&release(&shares(0, 1_000_000)).replace("reviews-v2", "zz"));
    assert_eq!(codes(&twice), [("AV0202", path("spec.service"))]);
    check(&answers(&twice, GET), &[(V1, 0.9), (V2, 0.1)]);

    let gone = mesh(&[&release_of("gone", &shares(0, 1_000_000))]);
    assert_eq!(codes(&gone), [("AV0201", path("spec.service"))]);

    let empty = shares(100_000, 900_000).replace("v2", "v9");
    let without = mesh(&[&release(&empty)]);
    assert_eq!(codes(&without), [("AV0204", path("status.overlay"))]);
}

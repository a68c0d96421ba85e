//! Users keep their version.

use std::sync::Arc;

use aviary_mesh::{
    compiled::Table,
    resolve::{self, Outcome},
};
use rand::{SeedableRng, rngs::SmallRng};

use super::super::support::Request;
use super::*;

/// The users, of 100,000, whom the new version serves.
fn members(mesh: &Mesh, count: u32) -> Vec<bool> {
    let proxy = page(mesh);
    let table = Table::new(Arc::clone(&proxy.config.routes["9080"]));
    let mut rng = SmallRng::seed_from_u64(11);
    let mut head = Request::new(GET);
    let users = (0..count).map(|user| {
        let cookie = format!("lang=de; user=u{user}");
        head.headers.insert("cookie".to_owned(), cookie);
        match resolve::request(&table, &head, &mut rng).outcome {
            Outcome::Forward(target) => target.branch.name.contains("version=v2"),
            other => panic!("{other:?}"),
        }
    });
    users.collect()
}

#[test]
fn affinity_only_adds_users_while_the_share_grows() {
    const USERS: u32 = 100_000;
    let at = |parts: u32, salt: &str| {
        let overlay = format!(
            "affinity: {{cookie: user}}, {}",
            shares(parts, 1_000_000 - parts)
        );
        let text = release(&overlay).replace("salt: s", &format!("salt: {salt}"));
        mesh(&[&text])
    };
    let mut before = vec![false; USERS as usize];
    for parts in [10_000, 50_000, 200_000, 500_000, 1_000_000] {
        let now = members(&at(parts, "s"), USERS);
        assert!(
            before.iter().zip(&now).all(|(was, is)| !was || *is),
            "{parts}: someone left"
        );
        let count = now.iter().filter(|it| **it).count();
        let share = f64::from(u32::try_from(count).unwrap()) / f64::from(USERS);
        assert!(
            (share - f64::from(parts) / 1e6).abs() < 0.002,
            "{parts}: {share}"
        );
        before = now;
    }
    let [one, same, other] = ["a", "a", "b"].map(|salt| members(&at(500_000, salt), 1_000));
    assert_eq!(one, same);
    assert_ne!(one, other);
    let anybody = answers(&at(200_000, "s"), GET);
    check(&anybody, &[(V1, 0.8), (V2, 0.2)]);
}

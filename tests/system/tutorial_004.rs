//! Tutorial 004: a canary of Bookinfo's reviews in the namespace `prod`, as printed.

use std::time::Duration;

use anyhow::Result;
use aviary_tests::{Installation, Page, Shares, assert_share, eventually, manifest};

/// How long a change may take until it is live.
const LIVE: Duration = Duration::from_secs(10);

/// The tutorial's first part leaves all versions of reviews and the other services running.
fn bookinfo_in_prod() -> Result<Installation> {
    let mesh = Installation::start()?;
    mesh.kubectl("create namespace prod").ok()?;
    mesh.kubectl("label namespace prod istio-injection=enabled")
        .ok()?;
    mesh.kubectl("-n prod apply -f bookinfo.yaml").ok()?;
    let rules = manifest("bookinfo-mesh.yaml")?;
    // Part one supplies the gateway and the rules of the other services; the rules of reviews are this part's own.
    let others: Vec<&str> = rules
        .split("\n---\n")
        .filter(|document| !document.contains("name: reviews\n"))
        .collect();
    mesh.apply("-n prod", &others.join("\n---\n"))?;
    mesh.kubectl("-n prod scale deployment reviews-v2 reviews-v3 --replicas=1")
        .ok()?;
    let all = [
        "productpage-v1",
        "details-v1",
        "ratings-v1",
        "reviews-v1",
        "reviews-v2",
        "reviews-v3",
    ];
    mesh.wait_for("prod", &all)?;
    eventually("the first page", LIVE, || Ok(page(&mesh).status == 200))?;
    Ok(mesh)
}

fn page(mesh: &Installation) -> Page {
    mesh.get("/productpage", &[])
}

/// Which version of reviews made this page.
fn version(page: &Page) -> String {
    match page {
        Page {
            status: 200, body, ..
        } if body.contains("stars black") => "v2",
        Page {
            status: 200, body, ..
        } if body.contains("stars red") => "v3",
        Page {
            status: 200, body, ..
        } if body.contains("Reviews served by") => "v1",
        _ => "failure",
    }
    .to_owned()
}

fn shares(mesh: &Installation, count: usize) -> Shares {
    Shares::count(&mesh.get_many("/productpage", &[], count), version)
}

fn wait_until_all(mesh: &Installation, wanted: &str) -> Result<()> {
    let took = eventually(&format!("all traffic on {wanted}"), LIVE, || {
        Ok(shares(mesh, 20).of(wanted) == 20)
    })?;
    println!("{wanted} has everything after {took:?}");
    Ok(())
}

#[test]
fn canary_as_printed_moves_measured_shares() -> Result<()> {
    let mesh = bookinfo_in_prod()?;

    // Steps 1 and 2: the old versions go, v1 comes.
    mesh.kubectl("-n prod delete deployment reviews-v1 reviews-v2 reviews-v3")
        .ok()?;
    let bookinfo = manifest("bookinfo.yaml")?;
    let deployment = |name: &str| {
        let of = |document: &&str| {
            document.contains("kind: Deployment")
                && document.contains(&format!("\n  name: {name}\n"))
        };
        bookinfo
            .split("\n---\n")
            .find(of)
            .unwrap_or_default()
            .replace("replicas: 0", "replicas: 1")
    };
    mesh.apply("-n prod", &deployment("reviews-v1"))?;
    mesh.wait_for("prod", &["reviews-v1"])?;

    // Steps 3 and 4: subsets and a route to v1.
    mesh.kubectl("create -f destination-rule-reviews.yaml")
        .ok()?;
    mesh.kubectl("create -f virtual-service-reviews.yaml")
        .ok()?;
    wait_until_all(&mesh, "v1")?;
    assert_share(&shares(&mesh, 300), "v1", 1.0);

    // Step 5: v2 is there and gets nothing.
    mesh.apply("-n prod", &deployment("reviews-v2"))?;
    mesh.wait_for("prod", &["reviews-v2"])?;
    assert_share(&shares(&mesh, 1000), "v1", 1.0);

    // Step 6: create refuses, replace moves 10 %.
    let again = mesh.kubectl("create -f virtual-service-reviews-90-10.yaml");
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("AlreadyExists"), "{}", again.stderr);
    mesh.kubectl("replace -f virtual-service-reviews-90-10.yaml")
        .ok()?;
    eventually("v2 sees traffic", LIVE, || {
        Ok(shares(&mesh, 50).of("v2") > 0)
    })?;
    let split = shares(&mesh, 1000);
    assert_share(&split, "v1", 0.9);
    assert_share(&split, "v2", 0.1);

    // Step 8: everything on v2, and step 8's note: everything back on v1.
    mesh.kubectl("replace -f virtual-service-reviews-v2.yaml")
        .ok()?;
    wait_until_all(&mesh, "v2")?;
    assert_share(&shares(&mesh, 300), "v2", 1.0);
    mesh.kubectl("replace -f virtual-service-reviews.yaml")
        .ok()?;
    wait_until_all(&mesh, "v1")?;

    // Step 9: jason waits for ratings, nobody else does.
    mesh.kubectl("replace -f virtual-service-reviews-v2.yaml")
        .ok()?;
    wait_until_all(&mesh, "v2")?;
    mesh.kubectl("apply -f virtual-service-ratings-test-delay.yaml")
        .ok()?;
    delay_for_jason(&mesh)
}

fn delay_for_jason(mesh: &Installation) -> Result<()> {
    let jar = mesh.home().join("cookies").display().to_string();
    let login = mesh.get(
        "/login",
        &[
            "-c",
            &jar,
            "-d",
            "username=jason&passwd=",
            "-o",
            "/dev/null",
        ],
    );
    assert_eq!(login.status, 302);
    let jason = || mesh.get("/productpage", &["-b", &jar]);
    eventually("the delay is live", LIVE, || {
        Ok(jason().took > Duration::from_secs(3))
    })?;
    let slow = jason();
    assert_eq!(slow.status, 200);
    assert!(
        slow.body
            .contains("Sorry, product reviews are currently unavailable"),
        "{}",
        slow.body
    );
    let seconds = slow.took.as_secs_f64();
    assert!(
        (5.8..7.0).contains(&seconds),
        "two attempts of 3 s each, but it took {seconds} s"
    );

    for _ in 0..20 {
        let other = page(mesh);
        assert_eq!(version(&other), "v2");
        assert!(other.took < Duration::from_secs(1), "{:?}", other.took);
    }
    Ok(())
}

//! Everything that must hold before a change lands.

use anyhow::Result;

use crate::run::{cargo, program, step, target};
use crate::{tidy, tools};

/// Runs the checks in order and stops at the first that fails.
pub(crate) fn run(system: Option<&str>) -> Result<()> {
    if system.is_none() {
        step("format", || {
            program(&mut cargo(&["fmt", "--all", "--check"]))
        })?;
        step("tidy", || tidy::run(false))?;
        step("lints", || {
            program(&mut cargo(&[
                "clippy",
                "--locked",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ]))
        })?;
        step("unit, golden, simulation and integration tests", || {
            program(&mut cargo(&[
                "test",
                "--locked",
                "--workspace",
                "--exclude",
                "aviary-tests",
                "--quiet",
            ]))
        })?;
    }
    let mut kubectl = None;
    let mut envoy = None;
    step("programs of others", || {
        tools::nft(true)?;
        kubectl = Some(tools::kubectl()?);
        envoy = Some(tools::envoy()?);
        Ok(())
    })?;
    step("build of what the system tests run", || {
        // The whole workspace, as above: another choice of packages would build its dependencies anew.
        program(&mut cargo(&["build", "--locked", "--workspace"]))
    })?;
    step("system tests: the tutorials and the faults", || {
        let mut tests = cargo(&["test", "--locked", "--workspace", "--test", "system"]);
        tests
            .env("AVIARY_TEST_PROGRAMS", target().join("debug"))
            .envs(kubectl.map(|path| ("AVIARY_TEST_KUBECTL", path)))
            .envs(envoy.map(|path| ("AVIARY_TEST_ENVOY", path)))
            // Each test starts an installation of its own; two cores carry one at a time.
            .args(["--", "--test-threads=1", "--nocapture"])
            .args(system);
        program(&mut tests)
    })
}

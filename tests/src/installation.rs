//! An installation of the product in a folder of its own.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Tells folders of one test process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// What a program did.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// Itself when the program succeeded.
    ///
    /// # Errors
    /// What it said when it did not.
    pub fn ok(self) -> Result<Self> {
        ensure!(
            self.code == 0,
            "exit code {}\n{}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }
}

/// An answer over HTTP, as curl saw it.
#[derive(Debug, Clone)]
pub struct Page {
    /// Status; 0 when there was no answer.
    pub status: u16,
    /// Body.
    pub body: String,
    /// Time until the last byte.
    pub took: Duration,
}

/// A running installation.
#[derive(Debug)]
pub struct Installation {
    home: PathBuf,
    programs: PathBuf,
    user: Option<u32>,
    gateway: String,
}

impl Installation {
    /// Starts an empty mesh.
    ///
    /// # Errors
    /// What `aviary up` said.
    pub fn start() -> Result<Self> {
        Self::start_as(None, "up")
    }

    /// Starts `command` (`up` or `demo`) as the user with this id, or as the user of the tests.
    ///
    /// # Errors
    /// What the command said.
    pub fn start_as(user: Option<u32>, command: &str) -> Result<Self> {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let home = PathBuf::from(format!("/tmp/aviary-test-{}-{number}", std::process::id()));
        let mut programs = programs()?;
        std::fs::create_dir_all(&home)?;
        if let Some(user) = user {
            // The build folder may be closed to others; the programs need not be.
            let copies = home.with_extension("bin");
            std::fs::create_dir_all(&copies)?;
            for name in ["aviary", "bookinfo", "micro-api"] {
                std::fs::copy(programs.join(name), copies.join(name))?;
            }
            programs = copies;
            std::os::unix::fs::chown(&home, Some(user), Some(user))?;
        }
        let mut this = Self {
            home,
            programs,
            user,
            gateway: String::new(),
        };
        this.up(command)?;
        Ok(this)
    }

    /// Starts it again after [`Self::down`].
    ///
    /// # Errors
    /// What the command said.
    pub fn up(&mut self, command: &str) -> Result<()> {
        let args = [
            command,
            "--detach",
            "--gateway-port=0",
            "--gateway-tls-port=0",
            "--api-port=0",
        ];
        self.aviary(args).ok().context("aviary up")?;
        let status = self.status()?;
        status["gateway"]
            .as_str()
            .context("no gateway")?
            .clone_into(&mut self.gateway);
        Ok(())
    }

    /// Stops it.
    ///
    /// # Errors
    /// What `aviary down` said.
    pub fn down(&self) -> Result<()> {
        self.aviary(["down"]).ok().map(drop)
    }

    /// Its folder.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// URL of the ingress gateway, without a slash at the end.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// `aviary status -o json`.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.aviary(["status", "-o", "json"]).stdout,
        )?)
    }

    /// Process id of one of its parts: `control`, `node`, `sandbox`, `supervisor`.
    ///
    /// # Errors
    /// It does not run.
    pub fn process(&self, part: &str) -> Result<i64> {
        self.status()?["processes"][part]
            .as_i64()
            .with_context(|| format!("{part} does not run"))
    }

    /// Kills a part without warning.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&self, part: &str) -> Result<()> {
        let pid = self.process(part)?.to_string();
        run(Command::new("kill").args(["-9", &pid])).ok().map(drop)
    }

    /// Runs the product's own command line.
    pub fn aviary(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Outcome {
        let mut command = self.command(&self.programs.join("aviary"));
        command.args(args);
        run(&mut command)
    }

    /// Runs the pinned kubectl; `args` is split at blanks.
    pub fn kubectl(&self, args: &str) -> Outcome {
        let kubectl = std::env::var("AVIARY_TEST_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let mut command = self.command(Path::new(&kubectl));
        command
            .args(args.split_whitespace())
            .env("KUBECONFIG", self.home.join("kubeconfig"))
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests"));
        run(&mut command)
    }

    /// Runs a shell line with the pinned `kubectl` on its path and `$M` as the manifests' folder.
    ///
    /// # Errors
    /// The link to kubectl cannot be made.
    pub fn shell(&self, line: &str) -> Result<Outcome> {
        let folder = self.home.join("bin");
        std::fs::create_dir_all(&folder)?;
        let link = folder.join("kubectl");
        if !link.exists() {
            std::os::unix::fs::symlink(std::env::var("AVIARY_TEST_KUBECTL")?, &link)?;
        }
        let path = format!(
            "{}:{}",
            folder.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let mut command = self.command(Path::new("bash"));
        command
            .args(["-c", line])
            .env("KUBECONFIG", self.home.join("kubeconfig"))
            .env("M", Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests"))
            .env("PATH", path)
            .env("COLUMNS", "200");
        Ok(run(&mut command))
    }

    /// Applies YAML text by kubectl; `options` such as `-n prod` are split at blanks.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn apply(&self, options: &str, yaml: &str) -> Result<()> {
        let file = self.home.join(format!(
            "apply-{}.yaml",
            NUMBER.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::write(&file, yaml)?;
        self.kubectl(&format!("apply {options} -f {}", file.display()))
            .ok()
            .map(drop)
    }

    /// Waits until the Deployments named have all replicas available.
    ///
    /// # Errors
    /// What kubectl said.
    pub fn wait_for(&self, namespace: &str, deployments: &[&str]) -> Result<()> {
        for name in deployments {
            self.kubectl(&format!(
                "-n {namespace} rollout status deployment/{name} --timeout=60s"
            ))
            .ok()
            .with_context(|| {
                let pods = self
                    .kubectl(&format!("-n {namespace} get pods -o wide"))
                    .stdout;
                format!("deployment {name}\n{pods}")
            })?;
        }
        Ok(())
    }

    /// Runs a command inside the node's network.
    pub fn in_node(&self, argv: &[&str]) -> Outcome {
        self.aviary(["exec", "--node", "--"].iter().chain(argv))
    }

    /// Asks the gateway for `path` with curl; `options` come before the URL.
    pub fn get(&self, path: &str, options: &[&str]) -> Page {
        curl(&format!("{}{path}", self.gateway), options)
    }

    /// Asks the gateway `count` times in sequence over one connection and gives the answers.
    pub fn get_many(&self, path: &str, options: &[&str], count: usize) -> Vec<Page> {
        let url = format!("{}{path}#[1-{count}]", self.gateway);
        let mut command = Command::new("curl");
        command
            .args(["-s", "-w", "\n\u{1}%{http_code} %{time_total}\u{2}"])
            .args(options)
            .arg(url);
        run(&mut command)
            .stdout
            .split_terminator('\u{2}')
            .filter_map(|part| part.rsplit_once("\n\u{1}"))
            .map(|(body, facts)| page(body, facts))
            .collect()
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("AVIARY_HOME", &self.home)
            .env("HOME", &self.home)
            .stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user).gid(user).current_dir("/");
        }
        command
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for part in ["control", "node", "up"] {
                let log = self.home.join(format!("logs/{part}.log"));
                let text = std::fs::read_to_string(log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let last = lines[lines.len().saturating_sub(15)..].join("\n");
                println!("---- end of {part}.log\n{last}");
            }
            println!("{}", self.kubectl("get pods -A -o wide").stdout);
        }
        let _ = self.down();
        let _ = std::fs::remove_dir_all(self.home.with_extension("bin"));
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// Asks for `url` with curl.
fn curl(url: &str, options: &[&str]) -> Page {
    let mut command = Command::new("curl");
    command
        .args(["-s", "-w", "\n\u{1}%{http_code} %{time_total}"])
        .args(options)
        .arg(url);
    let outcome = run(&mut command);
    let (body, facts) = outcome.stdout.rsplit_once("\n\u{1}").unwrap_or(("", "0 0"));
    page(body, facts)
}

fn page(body: &str, facts: &str) -> Page {
    let (status, seconds) = facts.split_once(' ').unwrap_or((facts, "0"));
    Page {
        status: status.parse().unwrap_or(0),
        body: body.to_owned(),
        took: Duration::from_secs_f64(seconds.parse().unwrap_or(0.0)),
    }
}

/// Runs a program to its end.
fn run(command: &mut Command) -> Outcome {
    match command.output() {
        Ok(output) => Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        },
        Err(error) => Outcome {
            code: -1,
            stdout: String::new(),
            stderr: format!("{command:?}: {error}"),
        },
    }
}

/// Where the built programs are.
pub(crate) fn programs() -> Result<PathBuf> {
    let folder = std::env::var_os("AVIARY_TEST_PROGRAMS")
        .map(PathBuf::from)
        .context("run these tests by `cargo xtask test`, which builds the programs first")?;
    for name in ["aviary", "bookinfo", "micro-api"] {
        if !folder.join(name).is_file() {
            bail!("`{name}` is not built in {}", folder.display());
        }
    }
    Ok(folder)
}

/// Whether the programs are those of a release build.
///
/// # Errors
/// They are not there.
pub fn are_programs_optimized() -> Result<bool> {
    Ok(programs()?.ends_with("release"))
}

/// Text of one of the tutorials' manifests.
///
/// # Errors
/// There is no such file.
pub fn manifest(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("manifests")
        .join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Asks `condition` again until it holds.
///
/// # Errors
/// It does not hold within `limit`; the text says what it was about.
pub fn eventually(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let started = Instant::now();
    loop {
        if condition().with_context(|| what.to_owned())? {
            return Ok(started.elapsed());
        }
        ensure!(started.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

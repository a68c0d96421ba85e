//! Starting an installation: the supervisor.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncBufReadExt;
use tokio_util::sync::CancellationToken;

use super::demo;
use super::report::{Lock, Up};
use crate::cli::UpArgs;
use crate::client::{self, Identity};
use crate::home::{Home, write_private};
use crate::output::{self, Phase, paint};
use crate::ports::Bound;
use crate::supervise::{self, Part, Running, end};

/// How long a part may take to be ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// Commands that only ask whether a supervisor runs hold its lock for a moment.
const PROBES: Duration = Duration::from_secs(2);

/// What an installation is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// The mesh alone.
    Empty,
    /// Bookinfo on it.
    Bookinfo,
}

/// Starts the installation and stays, or with `--detach` leaves it behind.
pub(crate) fn run(home: &Home, args: &UpArgs, content: Content) -> Result<ExitCode> {
    home.create()?;
    if let Some(up) = Up::load_lasting(home)? {
        return join(home, &up, content);
    }
    if args.detach {
        return detach(home, args, content);
    }
    let Some(_lock) = Lock::take_within(home, PROBES)? else {
        bail!(
            "another `aviary` is just starting under `{}`",
            home.path().display()
        );
    };
    let _ = std::fs::remove_file(home.up_file());
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(supervise(home, args, content));
    let _ = std::fs::remove_file(home.up_file());
    done
}

/// What `up` and `demo` do when an installation runs already.
fn join(home: &Home, up: &Up, content: Content) -> Result<ExitCode> {
    match content {
        Content::Empty => {
            output::note(&format!(
                "already running (process {}); see `aviary status`",
                up.pid
            ));
        }
        Content::Bookinfo => {
            ensure!(
                up.ready,
                "the installation is still starting; try again in a moment"
            );
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let client = runtime.block_on(async { client::connect(home, Identity::Admin) })?;
            runtime.block_on(demo::deploy(&client, &up.gateway))?;
            demo::announce(home, &up.gateway);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts the supervisor in the background and relays what it says until it is ready.
fn detach(home: &Home, args: &UpArgs, content: Content) -> Result<ExitCode> {
    let mut child = std::process::Command::new(std::env::current_exe()?)
        .arg("--home")
        .arg(home.path())
        .arg(if content == Content::Empty {
            "up"
        } else {
            "demo"
        })
        .args(["--gateway-port", &args.gateway_port.to_string()])
        .args(["--gateway-tls-port", &args.gateway_tls_port.to_string()])
        .args(["--api-port", &args.api_port.to_string()])
        .env("AVIARY_DETACHED", "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot start the supervisor")?;
    end_on_interrupt(Pid::from_raw(i32::try_from(child.id())?));
    let talk = child.stderr.take().context("no pipe")?;
    let mut ready = false;
    for line in BufReader::new(talk).lines() {
        let line = line?;
        if line == READY {
            ready = true;
            break;
        }
        output::note(&line);
    }
    if ready {
        output::note("it runs in the background; stop it with `aviary down`");
        return Ok(ExitCode::SUCCESS);
    }
    child.wait()?;
    Ok(ExitCode::FAILURE)
}

/// Ctrl-C while one waits for a detached supervisor ends it: nobody would know that it runs.
///
/// Its number is not given to another process before this one has waited for it.
fn end_on_interrupt(supervisor: Pid) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        if let Ok(runtime) = runtime {
            runtime.block_on(super::interrupted());
            let _ = kill(supervisor, Signal::SIGTERM);
        }
    });
}

/// The line by which a detached supervisor lets its parent go.
const READY: &str = "aviary is ready";

async fn supervise(home: &Home, args: &UpArgs, content: Content) -> Result<ExitCode> {
    let asked_to_stop = CancellationToken::new();
    let interrupted = asked_to_stop.clone();
    tokio::spawn(async move {
        super::interrupted().await;
        interrupted.cancel();
    });
    let detached = std::env::var_os("AVIARY_DETACHED").is_some();
    tokio::select! {
        ended = supervise::wait_for_earlier_parts(home.path()) => ended?,
        () = asked_to_stop.cancelled() => return Ok(ExitCode::SUCCESS),
    }

    let sockets = Sockets::bind(home, args)?;
    make_xds_key(home)?;
    let up = sockets.up();
    up.store(home)?;
    let mut parts = Parts::new(home, &sockets);
    let outcome = tokio::select! {
        started = start(home, &sockets, &mut parts, content) => started,
        () = asked_to_stop.cancelled() => Ok(()),
    };
    if let Err(error) = outcome {
        parts.end_all().await;
        return Err(error);
    }
    if asked_to_stop.is_cancelled() {
        parts.end_all().await;
    } else {
        parts.report(up, true).store(home)?;
        if detached {
            output::note(READY);
            output::detach(&home.join("logs/up.log"))?;
        } else {
            output::note(&paint(
                "Ctrl-C stops everything; the objects are kept for the next start.",
                "2",
            ));
        }
        parts.run(home, &sockets, asked_to_stop).await;
    }
    if !detached {
        output::note("\nstopped; nothing of it runs any more");
    }
    Ok(ExitCode::SUCCESS)
}

/// The host's sockets.
struct Sockets {
    api: Bound,
    gateway: Bound,
    gateway_tls: Bound,
}

impl Sockets {
    fn bind(home: &Home, args: &UpArgs) -> Result<Self> {
        let path = home.join("run/ports.json");
        let last: Vec<u16> = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let sockets = Self {
            api: Bound::bind(args.api_port, last.first().copied())?,
            gateway: Bound::bind(args.gateway_port, last.get(1).copied())?,
            gateway_tls: Bound::bind(args.gateway_tls_port, last.get(2).copied())?,
        };
        let now = [&sockets.api, &sockets.gateway, &sockets.gateway_tls];
        write_private(&path, &serde_json::to_vec(&now.map(|s| s.address.port()))?)?;
        for (socket, what) in now
            .iter()
            .zip(["API server", "gateway (HTTP)", "gateway (HTTPS)"])
        {
            if let Some(wanted) = socket.instead_of {
                output::note(&format!(
                    "  {} port {wanted} is taken: the {what} listens on {} instead",
                    paint("!", "33;1"),
                    socket.address.port()
                ));
            }
        }
        Ok(sockets)
    }

    fn up(&self) -> Up {
        Up {
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            ready: false,
            api_server: format!("https://{}", self.api.address),
            gateway: format!("http://{}", self.gateway.address),
            gateway_tls: format!("https://{}", self.gateway_tls.address),
            control: None,
            node: None,
            sandbox: None,
        }
    }
}

/// The running children, in the order in which they are started.
struct Parts<'a> {
    sandbox: (Part<'a>, Option<Running>),
    control: (Part<'a>, Option<Running>),
    node: (Part<'a>, Option<Running>),
}

impl<'a> Parts<'a> {
    fn new(home: &Home, sockets: &'a Sockets) -> Self {
        let part = |name, args, sockets| {
            (
                Part {
                    name,
                    args,
                    sockets,
                    home: home.path().to_owned(),
                },
                None,
            )
        };
        Self {
            sandbox: part("sandbox", vec![], vec![]),
            control: part(
                "control",
                vec!["--api-fd".to_owned(), sockets.api.fd().to_string()],
                vec![&sockets.api],
            ),
            node: part(
                "node",
                vec![
                    format!("--publish=8080={}", sockets.gateway.fd()),
                    format!("--publish=8443={}", sockets.gateway_tls.fd()),
                ],
                vec![&sockets.gateway, &sockets.gateway_tls],
            ),
        }
    }

    fn report(&self, up: Up, ready: bool) -> Up {
        let id = |part: &(Part<'_>, Option<Running>)| part.1.as_ref().and_then(Running::id);
        Up {
            ready,
            control: id(&self.control),
            node: id(&self.node),
            sandbox: id(&self.sandbox),
            ..up
        }
    }

    /// Pods end with the sandbox: the kernel ends whatever is inside its namespaces.
    async fn end_all(self) {
        for (part, child) in [self.node, self.control, self.sandbox] {
            if let Some(child) = child {
                end(part.name, child).await;
            }
        }
    }

    /// Keeps control and node running until `stop`; without the sandbox everything ends.
    async fn run(self, home: &Home, sockets: &Sockets, stop: CancellationToken) {
        let (Some(mut sandbox), Some(control), Some(node)) =
            (self.sandbox.1, self.control.1, self.node.1)
        else {
            return;
        };
        let pids = |control, node, sandbox| Up {
            ready: true,
            control,
            node,
            sandbox,
            ..sockets.up()
        };
        let sandbox_id = sandbox.id();
        let report = |control, node| {
            if let Err(error) = pids(control, node, sandbox_id).store(home) {
                output::error(&error);
            }
        };
        let current = std::cell::Cell::new((control.id(), node.id()));
        let parts = async {
            tokio::join!(
                self.control.0.keep_running(control, stop.clone(), |id| {
                    current.set((id, current.get().1));
                    report(current.get().0, current.get().1);
                }),
                self.node.0.keep_running(node, stop.clone(), |id| {
                    current.set((current.get().0, id));
                    report(current.get().0, current.get().1);
                }),
            )
        };
        tokio::pin!(parts);
        tokio::select! {
            _ = &mut parts => {}
            _ = sandbox.wait() => {
                output::note(&format!(
                    "the holder of the node's namespaces ended and with it all pods; its log is `{}`",
                    self.sandbox.0.log_path().display()
                ));
                stop.cancel();
                parts.await;
            }
        }
        end("sandbox", sandbox).await;
    }
}

/// Starts the parts one after the other and waits until each is ready.
async fn start(
    home: &Home,
    sockets: &Sockets,
    parts: &mut Parts<'_>,
    content: Content,
) -> Result<()> {
    let begun = Instant::now();
    let phase = Phase::begin("control plane");
    parts.control.1 = Some(parts.control.0.start(false)?);
    parts.sandbox.1 = Some(parts.sandbox.0.start(true)?);
    let client = ready(
        "control",
        parts.control.1.as_mut(),
        &parts.control.0,
        async {
            loop {
                if let Ok(client) = client::connect(home, Identity::Admin)
                    && client.apiserver_version().await.is_ok()
                    && home.kubeconfig().exists()
                {
                    return Ok(client);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        },
    )
    .await?;
    phase.done(&format!("https://{}", sockets.api.address));

    let phase = Phase::begin("node");
    wait_for_sandbox(&mut parts.sandbox).await?;
    parts.node.1 = Some(parts.node.0.start(false)?);
    ready(
        "node",
        parts.node.1.as_mut(),
        &parts.node.0,
        Box::pin(demo::node_ready(&client)),
    )
    .await?;
    phase.done("pods on 10.244.0.0/16, Services on 10.96.0.0/16");

    let phase = Phase::begin("ingress gateway");
    ready(
        "node",
        parts.node.1.as_mut(),
        &parts.node.0,
        demo::gateway_ready(&client, &phase),
    )
    .await?;
    phase.done(&format!("http://{}", sockets.gateway.address));
    match content {
        Content::Bookinfo => {
            demo::deploy(&client, &format!("http://{}", sockets.gateway.address)).await?;
            output::note(&format!(
                "  everything is up after {}",
                output::seconds(begun.elapsed())
            ));
            demo::announce(home, &format!("http://{}", sockets.gateway.address));
        }
        Content::Empty => {
            output::note(&format!(
                "  the mesh is up after {}",
                output::seconds(begun.elapsed())
            ));
            demo::announce_empty(home);
        }
    }
    Ok(())
}

/// Waits for `condition`, unless the part ends or it takes too long.
async fn ready<T>(
    name: &str,
    child: Option<&mut Running>,
    part: &Part<'_>,
    condition: impl Future<Output = Result<T>>,
) -> Result<T> {
    let child = child.context("not started")?;
    tokio::select! {
        ready = condition => ready,
        status = child.wait() => bail!(
            "{name} ended at once ({}):\n{}",
            status.map_or_else(|e| e.to_string(), |s| s.to_string()),
            last_lines(part)
        ),
        () = tokio::time::sleep(PATIENCE) => bail!(
            "{name} was not ready within {} s:\n{}",
            PATIENCE.as_secs(),
            last_lines(part)
        ),
    }
}

async fn wait_for_sandbox((part, child): &mut (Part<'_>, Option<Running>)) -> Result<()> {
    let child = child.as_mut().context("not started")?;
    let said = child.take_stdout().context("the sandbox has no output")?;
    let mut line = String::new();
    let mut said = tokio::io::BufReader::new(said);
    match tokio::time::timeout(PATIENCE, said.read_line(&mut line)).await {
        Ok(Ok(_)) if line.trim() == "ready" => Ok(()),
        _ => bail!(
            "the node's namespaces could not be made:\n{}\nAviary needs unprivileged user namespaces and the program \
             `nft` (Debian: `apt-get install nftables`)",
            last_lines(part)
        ),
    }
}

/// The end of a part's log, for an error message.
fn last_lines(part: &Part<'_>) -> String {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(part.log_path()) {
        let mut bytes = Vec::new();
        let _ = file.read_to_end(&mut bytes);
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    let lines: Vec<&str> = text.lines().collect();
    let last = lines
        .iter()
        .skip(lines.len().saturating_sub(8))
        .map(|l| format!("    {l}"));
    format!(
        "{}\n  (whole log: {})",
        last.collect::<Vec<_>>().join("\n"),
        part.log_path().display()
    )
}

/// Makes the key of the proxies' tokens at the first start.
fn make_xds_key(home: &Home) -> Result<()> {
    let path = home.join("pki/xds.key");
    if path.exists() {
        return Ok(());
    }
    let key: [u8; 32] = rand::random();
    let text = key.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
        text
    });
    write_private(&path, text.as_bytes())
}

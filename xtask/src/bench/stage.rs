//! Where the benchmarks run: a folder, ports, the load tool, the upstream.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::bench::process::Process;
use crate::bench::scenario::{Requests, Scenario, Work};
use crate::run::{pass, root, target};

/// The core of the proxy, and that of load and upstream.
pub(crate) const PROXY_CORE: usize = 0;
pub(crate) const LOAD_CORE: usize = 1;

/// Everything around a proxy under test.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Scratch; made anew for each run.
    pub(crate) folder: PathBuf,
    load: PathBuf,
    base_port: u16,
    /// Virtual hosts and clusters of the large configuration.
    services: RefCell<[String; 2]>,
    /// Answers as long as the stage lives.
    server: Process,
}

/// What the load tool says of its requests.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) error: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
}

/// What the load tool read from a stream.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Sunk {
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

/// A load tool that waits for orders.
#[derive(Debug)]
pub(crate) struct Tool(Child);

/// Ports, counted from the base.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Port {
    Listen = 0,
    /// Between the two proxies of mutual TLS.
    Middle = 1,
    Admin = 2,
    Admin2 = 3,
    /// The ADS server.
    Ads = 4,
    Http1 = 11,
    Http2 = 15,
    Source = 16,
}

impl Stage {
    /// Makes the folder and starts the upstream; `load` is the load tool.
    ///
    /// # Errors
    /// A port from `base_port` on is taken.
    pub(crate) fn set(load: &Path, base_port: u16) -> Result<Self> {
        let folder = target().join("bench/run");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("certificates"))?;
        let port = |port: Port| (base_port + port as u16).to_string();
        let http1 = (0..4).map(|n| (base_port + Port::Http1 as u16 + n).to_string());
        let mut command = on(load, LOAD_CORE);
        command
            .arg(load)
            .args(["serve", "--http1"])
            .arg(http1.collect::<Vec<_>>().join(","))
            .args(["--http2", &port(Port::Http2)])
            .args(["--source", &port(Port::Source)]);
        let upstream = Process::start(&mut command, folder.join("upstream.log"))?;
        let mut stage = Self {
            folder,
            load: load.to_owned(),
            base_port,
            services: RefCell::default(),
            server: upstream,
        };
        stage.wait_for_upstream()?;
        crate::run::program(
            Command::new(load)
                .arg("certificates")
                .arg(stage.folder.join("certificates")),
        )?;
        Ok(stage)
    }

    fn wait_for_upstream(&mut self) -> Result<()> {
        let start = Instant::now();
        while TcpStream::connect(self.address(Port::Source)).is_err() {
            if let Some(end) = self.server.ended() {
                bail!("the upstream {end} (choose other ports by --base-port)");
            }
            if start.elapsed() > Duration::from_secs(10) {
                bail!("the upstream does not listen");
            }
            pass(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Where a port is.
    pub(crate) fn address(&self, port: Port) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.base_port + port as u16).into()
    }

    /// The upstream that a scenario's proxy stands before.
    pub(crate) fn upstream(&self, scenario: &Scenario) -> SocketAddr {
        self.address(match scenario.work {
            Work::Bulk => Port::Source,
            Work::Closed(Requests { shape: "grpc", .. }) => Port::Http2,
            _ => Port::Http1,
        })
    }

    /// What the template of the large configuration holds from now on.
    pub(crate) fn set_services(&self, virtual_hosts: String, clusters: String) {
        self.services.replace([virtual_hosts, clusters]);
    }

    /// What templates may name.
    pub(crate) fn variables(&self) -> BTreeMap<&'static str, String> {
        let port = |offset: u16| (self.base_port + offset).to_string();
        let [virtual_hosts, clusters] = self.services.borrow().clone();
        BTreeMap::from([
            ("run", self.folder.display().to_string()),
            (
                "certs",
                self.folder.join("certificates").display().to_string(),
            ),
            ("virtual_hosts", virtual_hosts),
            ("clusters", clusters),
            ("listen", port(Port::Listen as u16)),
            ("mid", port(Port::Middle as u16)),
            ("admin", port(Port::Admin as u16)),
            ("admin2", port(Port::Admin2 as u16)),
            ("ads", port(Port::Ads as u16)),
            ("up1", port(Port::Http1 as u16)),
            ("up2", port(Port::Http1 as u16 + 1)),
            ("up3", port(Port::Http1 as u16 + 2)),
            ("up4", port(Port::Http1 as u16 + 3)),
            ("up_h2", port(Port::Http2 as u16)),
            ("up_src", port(Port::Source as u16)),
        ])
    }

    /// Writes a template's file with its variables filled in and gives its path.
    ///
    /// # Errors
    /// The template is not there or names an unknown variable.
    pub(crate) fn fill(
        &self,
        template: &str,
        variables: &BTreeMap<&'static str, String>,
    ) -> Result<PathBuf> {
        let text = fs::read_to_string(templates().join(template))
            .with_context(|| format!("bench/templates/{template}"))?;
        let mut filled = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").context("`{{` without `}}`")?;
            filled += before;
            filled += variables
                .get(name)
                .with_context(|| format!("{template} names an unknown variable `{name}`"))?;
            rest = after;
        }
        filled += rest;
        let path = self.folder.join(template);
        fs::write(&path, filled)?;
        Ok(path)
    }

    /// A command that runs on a core and ends with this process.
    pub(crate) fn on(&self, core: usize) -> Command {
        on(&self.load, core)
    }

    /// The load tool with a task, on a core.
    pub(crate) fn load_on(&self, core: usize, task: &str) -> Command {
        let mut command = self.on(core);
        command.arg(&self.load).arg(task);
        command
    }

    /// Waits until the proxies' ports can be bound.
    pub(crate) fn wait_for_ports(&self) {
        for port in [Port::Listen, Port::Middle] {
            let start = Instant::now();
            while TcpListener::bind(self.address(port)).is_err()
                && start.elapsed() < Duration::from_secs(5)
            {
                pass(Duration::from_millis(20));
            }
        }
    }

    /// Runs a closed loop against `address`.
    ///
    /// # Errors
    /// The proxy does not take connections, or the load tool gave up.
    pub(crate) fn closed(&self, address: SocketAddr, asked: Requests, time: f64) -> Result<Tally> {
        self.tool("closed", address, asked, &["--seconds", &time.to_string()])
    }

    /// Runs an open loop against `address`.
    ///
    /// # Errors
    /// As of [`Self::closed`].
    pub(crate) fn open(
        &self,
        address: SocketAddr,
        asked: Requests,
        rate: u32,
        time: f64,
    ) -> Result<Tally> {
        let (rate, time) = (rate.to_string(), time.to_string());
        self.tool(
            "open",
            address,
            asked,
            &["--rate", &rate, "--seconds", &time],
        )
    }

    /// Reads bulk data from `address`.
    ///
    /// # Errors
    /// As of [`Self::closed`].
    pub(crate) fn sink(&self, address: SocketAddr, time: f64) -> Result<Sunk> {
        let mut command = self.load_on(LOAD_CORE, "sink");
        command.arg(address.to_string());
        result(command.args(["--seconds", &time.to_string()]))
    }

    fn tool(
        &self,
        task: &str,
        address: SocketAddr,
        asked: Requests,
        more: &[&str],
    ) -> Result<Tally> {
        let mut command = self.load_on(LOAD_CORE, task);
        command.args(more);
        result(command.args(arguments(address, asked)))
    }

    /// Starts a load tool that waits for orders: `count` or `hold`.
    ///
    /// # Errors
    /// It cannot be run.
    pub(crate) fn start(&self, task: &str, address: SocketAddr, asked: Requests) -> Result<Tool> {
        let child = self
            .load_on(LOAD_CORE, task)
            .args(arguments(address, asked))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Tool(child))
    }

    /// Whether one request of this kind is answered as it should be.
    pub(crate) fn answers(&self, address: SocketAddr, work: Work) -> bool {
        match work {
            Work::Bulk => TcpStream::connect(address).is_ok_and(|mut stream| {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                stream.read(&mut [0; 10]).is_ok_and(|read| read > 0)
            }),
            Work::Closed(asked) | Work::Open(asked) => {
                let one = Requests {
                    connections: 1,
                    ..asked
                };
                let tool = self.start("count", address, one);
                tool.is_ok_and(|mut tool| tool.order(1).is_ok())
            }
            Work::Memory | Work::Services => TcpStream::connect(address).is_ok(),
        }
    }
}

impl Tool {
    /// Has it make so many requests, one after the other.
    ///
    /// # Errors
    /// One of them failed.
    pub(crate) fn order(&mut self, requests: u32) -> Result<()> {
        let input = self.0.stdin.as_mut().context("standard input")?;
        input.write_all(format!("{requests}\n").as_bytes())?;
        self.done()
    }

    /// Waits until it has done what it should.
    ///
    /// # Errors
    /// It failed.
    pub(crate) fn done(&mut self) -> Result<()> {
        let mut answer = [0; 5];
        let output = self.0.stdout.as_mut().context("standard output")?;
        if output.read_exact(&mut answer).is_err() || &answer != b"done\n" {
            let mut why = String::new();
            if let Some(talk) = self.0.stderr.as_mut() {
                talk.read_to_string(&mut why)?;
            }
            bail!("load: {}", why.trim());
        }
        Ok(())
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        drop(self.0.stdin.take());
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The folder of the templates.
pub(crate) fn templates() -> PathBuf {
    root().join("bench/templates")
}

fn on(load: &Path, core: usize) -> Command {
    let mut command = Command::new(load);
    command.args(["on", "--core", &core.to_string(), "--"]);
    command
}

fn arguments(address: SocketAddr, asked: Requests) -> [String; 7] {
    [
        address.to_string(),
        "--shape".into(),
        asked.shape.into(),
        "--connections".into(),
        asked.connections.to_string(),
        "--streams".into(),
        asked.streams.to_string(),
    ]
}

/// Runs a load tool and takes its result.
fn result<T: serde::de::DeserializeOwned>(command: &mut Command) -> Result<T> {
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("load: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("the load tool's result")
}

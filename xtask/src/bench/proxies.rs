//! The proxies that are compared.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::bench::process::Process;
use crate::bench::scenario::{Scenario, Work};
use crate::bench::stage::{PROXY_CORE, Port, Stage, templates};
use crate::run::{pass, say};
use crate::tools;

/// All that can be compared; the first three are so by default with ours.
pub(crate) const NAMES: [&str; 4] = ["aviary", "envoy", "haproxy", "nginx"];

/// One proxy, ready to be started.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Its name in results.
    pub(crate) name: &'static str,
    family: Family,
    program: PathBuf,
    /// What its templates may name besides the stage's variables.
    modules: String,
    environment: Vec<(&'static str, PathBuf)>,
    pub(crate) version: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Aviary,
    /// Ours with all telemetry and with none; each only in that scenario.
    AviaryTelemetry(bool),
    Envoy,
    Haproxy,
    /// HAProxy with `splice`, only for byte streams.
    HaproxySplice,
    Nginx,
}

/// Finds the proxies that `names` ask for; what cannot be had is said and left out.
///
/// # Errors
/// A name is unknown.
pub(crate) fn find(names: &[String], ours: &Path) -> Result<Vec<Proxy>> {
    let mut found = Vec::new();
    for name in names {
        let proxies = match name.as_str() {
            "aviary" => Ok(aviary(ours)),
            "envoy" => tools::envoy().map(|program| vec![simple("envoy", Family::Envoy, program)]),
            "haproxy" => haproxy(),
            "nginx" => nginx(),
            other => bail!("`{other}` is not one of {}", NAMES.join(", ")),
        };
        match proxies {
            Ok(proxies) => found.extend(proxies),
            Err(error) => say(&format!("skipping {name}: {error:#}")),
        }
    }
    for proxy in &mut found {
        proxy.version = proxy.ask_version();
    }
    Ok(found)
}

fn simple(name: &'static str, family: Family, program: PathBuf) -> Proxy {
    Proxy {
        name,
        family,
        program,
        modules: String::new(),
        environment: Vec::new(),
        version: String::new(),
    }
}

fn aviary(program: &Path) -> Vec<Proxy> {
    let proxy = |name, family| simple(name, family, program.to_owned());
    vec![
        proxy("aviary", Family::Aviary),
        proxy("aviary, no telemetry", Family::AviaryTelemetry(false)),
        proxy("aviary, all telemetry", Family::AviaryTelemetry(true)),
    ]
}

/// Only ours, a program that takes `--config` and nothing else is needed for.
pub(crate) fn ours(program: &Path) -> Proxy {
    simple("aviary", Family::Aviary, program.to_owned())
}

fn haproxy() -> Result<Vec<Proxy>> {
    let debian = tools::debian("usr/sbin/haproxy", &tools::HAPROXY)?;
    let make = |name, family| Proxy {
        environment: debian.environment(),
        ..simple(name, family, debian.program.clone())
    };
    Ok(vec![
        make("haproxy", Family::Haproxy),
        make("haproxy-splice", Family::HaproxySplice),
    ])
}

fn nginx() -> Result<Vec<Proxy>> {
    let debian = tools::debian("usr/sbin/nginx", &tools::NGINX)?;
    let modules = debian.root.join("usr/lib/nginx/modules");
    Ok(vec![Proxy {
        modules: modules.display().to_string(),
        environment: debian.environment(),
        ..simple("nginx", Family::Nginx, debian.program.clone())
    }])
}

impl Proxy {
    /// The templates of its processes in a scenario; empty when it takes no part.
    pub(crate) fn templates(&self, scenario: &Scenario) -> Vec<String> {
        let (family, suffix) = match self.family {
            Family::AviaryTelemetry(_) => ("aviary", "yaml"),
            Family::Aviary | Family::Envoy => ("envoy", "yaml"),
            Family::Haproxy | Family::HaproxySplice => ("haproxy", "cfg"),
            Family::Nginx => ("nginx", "conf"),
        };
        let parts = match (self.family, scenario.template) {
            (Family::HaproxySplice, "tcp") => vec!["tcp-splice"],
            (Family::AviaryTelemetry(true), "telemetry") => vec!["telemetry-on"],
            (Family::AviaryTelemetry(false), "telemetry") => vec!["telemetry-off"],
            (Family::HaproxySplice | Family::AviaryTelemetry(_), _) | (_, "telemetry") => vec![],
            (_, "mtls") => vec!["mtls-out", "mtls-in"],
            (_, template) => vec![template],
        };
        let names = parts.iter().map(|part| format!("{family}-{part}.{suffix}"));
        let names: Vec<String> = names.collect();
        if names.iter().all(|name| templates().join(name).is_file()) {
            names
        } else {
            Vec::new()
        }
    }

    fn ask_version(&self) -> String {
        let flag = match self.family {
            Family::Haproxy | Family::HaproxySplice | Family::Nginx => "-v",
            _ => "--version",
        };
        let mut command = Command::new(&self.program);
        let output = command.arg(flag).envs(self.environment.clone()).output();
        let text = output.map(|output| [output.stdout, output.stderr].concat());
        version(&String::from_utf8_lossy(&text.unwrap_or_default()))
    }

    /// Starts its processes for a scenario, inside `wrap` if that is not empty, and waits until they answer.
    ///
    /// # Errors
    /// One ended, or no answer came in `patience`; the text ends with what they said.
    pub(crate) fn start(
        &self,
        stage: &Stage,
        scenario: &Scenario,
        wrap: &[String],
        patience: Duration,
    ) -> Result<Vec<Process>> {
        let mut processes = Vec::new();
        for (index, template) in self.templates(scenario).iter().enumerate() {
            let mut variables = stage.variables();
            variables.insert("modules", self.modules.clone());
            let config = stage.fill(template, &variables)?;
            let mut command = stage.on(PROXY_CORE);
            command
                .args(wrap)
                .arg(&self.program)
                .envs(self.environment.clone());
            self.arguments(&mut command, &config, stage);
            let log = format!("{}-{}-{index}.log", self.name, scenario.name);
            processes.push(Process::start(&mut command, stage.folder.join(log))?);
        }
        let start = Instant::now();
        while !stage.answers(stage.address(Port::Listen), first_question(scenario.work)) {
            for process in &mut processes {
                if let Some(end) = process.ended() {
                    bail!("{end}");
                }
            }
            if start.elapsed() > patience {
                let words: Vec<_> = processes.iter().map(Process::last_words).collect();
                bail!(
                    "no good answer in {} s: {}",
                    patience.as_secs(),
                    words.join(" ")
                );
            }
            pass(Duration::from_millis(50));
        }
        Ok(processes)
    }

    fn arguments(&self, command: &mut Command, config: &Path, stage: &Stage) {
        match self.family {
            Family::Aviary | Family::AviaryTelemetry(_) => {
                // The benchmarks' own small program takes the same arguments after `proxy`.
                if self
                    .program
                    .file_name()
                    .is_some_and(|name| name == "aviary")
                {
                    command.arg("proxy");
                }
                command.arg("--config").arg(config).args(["--workers", "1"])
            }
            Family::Envoy => command
                .args([
                    "--concurrency",
                    "1",
                    "--disable-hot-restart",
                    "--log-level",
                    "error",
                    "-c",
                ])
                .arg(config),
            Family::Haproxy | Family::HaproxySplice => command.arg("-db").arg("-f").arg(config),
            Family::Nginx => command.arg("-p").arg(&stage.folder).arg("-c").arg(config),
        };
    }
}

/// What shows that a proxy serves.
fn first_question(work: Work) -> Work {
    match work {
        Work::Memory | Work::Services => Work::Closed(crate::bench::scenario::PLAIN),
        work => work,
    }
}

/// The first `1.2.3` of a text.
fn version(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    let mut versions = words.filter(|word| word.split('.').filter(|n| !n.is_empty()).count() == 3);
    versions.next().unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn version_is_found_in_what_programs_say() {
        assert_eq!(version("nginx version: nginx/1.22.1"), "1.22.1");
        assert_eq!(
            version("envoy  version: 5c8/1.40.0/Clean/RELEASE"),
            "1.40.0"
        );
        assert_eq!(
            version("HAProxy version 2.6.12-1+deb12u4 2025/10/03"),
            "2.6.12"
        );
        assert_eq!(version("nothing"), "?");
    }
}

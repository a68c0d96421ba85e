//! What the chains of a configuration want to be told, ready for use.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use aviary_mesh::access_log::AccessLog;
use aviary_mesh::listener::{Direction, HttpChain, TraceSink};
use aviary_mesh::{ChainAction, FilterChain, Listener, MeshConfig};
use aviary_telemetry::access_log::{Host, Logs};
use aviary_telemetry::trace;

use crate::otlp::Sink;

/// What is told of the exchanges of one chain.
#[derive(Debug, Clone)]
pub(crate) struct Telling {
    /// Which way they flow.
    pub(crate) direction: Direction,
    /// What is done with request ids and traces.
    pub(crate) tracing: trace::Settings,
    /// `None` when nothing is logged.
    pub(super) logs: Option<Arc<Logs>>,
    /// Where spans go; `None` when none are made.
    pub(super) sink: Option<Arc<Sink>>,
}

/// The logs and sinks of a configuration; chains that want the same share one.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    logs: Vec<(Vec<AccessLog>, Arc<Logs>)>,
    sinks: HashMap<String, Vec<Arc<Sink>>>,
}

impl Wanted {
    /// Compiles what `mesh` wants. A log that cannot be honoured was refused when it came, by
    /// [`problem`]; here it is left out.
    pub(crate) fn new(mesh: &MeshConfig) -> Self {
        let mut wanted = Self::default();
        for chain in mesh.listeners.values().flat_map(|it| chains(it)) {
            let configured = logs_of(chain);
            if !configured.is_empty() && wanted.logs(configured).is_none() {
                match with_host(|host| Logs::new(configured, host)) {
                    Ok(logs) => wanted.logs.push((configured.to_vec(), Arc::new(logs))),
                    Err((_, error)) => {
                        tracing::error!(chain = %chain.name, %error, "no access log");
                    }
                }
            }
            if let Some(sink) = sink_of(chain)
                && wanted.sink(sink).is_none()
            {
                let sinks = wanted.sinks.entry(sink.cluster.clone()).or_default();
                sinks.push(Arc::new(Sink::new(sink)));
            }
        }
        wanted
    }

    fn logs(&self, configured: &[AccessLog]) -> Option<&Arc<Logs>> {
        let mut all = self.logs.iter();
        all.find(|(known, _)| known == configured)
            .map(|(_, logs)| logs)
    }

    fn sink(&self, sink: &TraceSink) -> Option<&Arc<Sink>> {
        let mut of_cluster = self.sinks.get(&sink.cluster)?.iter();
        of_cluster.find(|known| known.is(sink))
    }

    /// What is told of the exchanges of a chain.
    pub(crate) fn telling(&self, chain: &FilterChain) -> Telling {
        let sink = sink_of(chain).and_then(|sink| self.sink(sink)).cloned();
        let (direction, tracing) = match &chain.action {
            ChainAction::Http(http) => (http.direction, settings(http)),
            ChainAction::Tcp(tcp) => (tcp.direction, UNTRACED),
        };
        Telling {
            direction,
            tracing,
            logs: self.logs(logs_of(chain)).cloned(),
            sink,
        }
    }
}

const UNTRACED: trace::Settings = trace::Settings {
    generate_request_id: false,
    tracing: None,
};

/// Without a collector a trace only goes on.
fn settings(chain: &HttpChain) -> trace::Settings {
    let tracing = chain.tracing.as_ref().map(|tracing| trace::Tracing {
        random: trace::Tracing::share(tracing.random_percent),
        client: trace::Tracing::share(tracing.client_percent),
        overall: trace::Tracing::share(tracing.overall_percent),
        begin: match tracing.sink {
            Some(_) => trace::Formats::W3C,
            None => trace::Formats::NONE,
        },
        spans: tracing.sink.is_some(),
    });
    trace::Settings {
        generate_request_id: chain.request_ids.generate,
        tracing,
    }
}

/// Why a listener's logs cannot be honoured, with the place in it.
pub(crate) fn problem(listener: &Listener) -> Option<String> {
    chains(listener).find_map(|chain| {
        let refused = with_host(|host| Logs::new(logs_of(chain), host));
        let (number, error) = refused.err()?;
        Some(format!(
            "filter chain `{}`: access_log[{number}]: {error}",
            chain.name
        ))
    })
}

fn chains(listener: &Listener) -> impl Iterator<Item = &FilterChain> {
    listener.chains.iter().chain(&listener.default_chain)
}

fn logs_of(chain: &FilterChain) -> &[AccessLog] {
    match &chain.action {
        ChainAction::Http(http) => &http.access_log,
        ChainAction::Tcp(tcp) => &tcp.access_log,
    }
}

fn sink_of(chain: &FilterChain) -> Option<&TraceSink> {
    match &chain.action {
        ChainAction::Http(http) => http.tracing.as_ref()?.sink.as_ref(),
        ChainAction::Tcp(_) => None,
    }
}

/// Lends this machine to what formats ask for.
fn with_host<T>(compile: impl FnOnce(&Host<'_>) -> T) -> T {
    static NAME: OnceLock<String> = OnceLock::new();
    let name = NAME.get_or_init(|| {
        let read = std::fs::read_to_string("/proc/sys/kernel/hostname");
        read.unwrap_or_default().trim().to_owned()
    });
    compile(&Host {
        name,
        variable: &|name| std::env::var(name).ok(),
    })
}

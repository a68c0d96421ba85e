//! What is measured.

use std::fmt::Write;

/// One way to load a proxy.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// Its name in results.
    pub(crate) name: &'static str,
    /// What `--scenarios` calls it, alone or with others.
    group: &'static str,
    /// The configuration: `bench/templates/<family>-<template>.*`.
    pub(crate) template: &'static str,
    /// What is done.
    pub(crate) work: Work,
    about: &'static str,
}

/// What is done with a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Each connection asks again as soon as it is answered.
    Closed(Requests),
    /// Requests leave at a fixed rate.
    Open(Requests),
    /// Bytes are read as fast as they come.
    Bulk,
    /// Connections are held.
    Memory,
    /// A large configuration is loaded.
    Services,
}

/// What is asked, and over how many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Requests {
    /// The load tool's name for the kind of request.
    pub(crate) shape: &'static str,
    pub(crate) connections: usize,
    pub(crate) streams: usize,
}

impl Requests {
    const fn http1(shape: &'static str, connections: usize) -> Self {
        Self {
            shape,
            connections,
            streams: 1,
        }
    }

    const fn http2(connections: usize, streams: usize) -> Self {
        Self {
            shape: "grpc",
            connections,
            streams,
        }
    }
}

/// What is asked to see whether a proxy serves, and to keep a connection.
pub(crate) const PLAIN: Requests = Requests::http1("plain", 64);

/// The configuration of the soak test; not one of the list.
pub(crate) const SOAK: Scenario = Scenario {
    name: "soak",
    group: "soak",
    template: "soak",
    work: Work::Closed(PLAIN),
    about: "",
};

/// All scenarios, in the order of the report.
pub(crate) const SCENARIOS: [Scenario; 13] = [
    Scenario {
        name: "h1",
        group: "h1",
        template: "h1",
        work: Work::Closed(PLAIN),
        about: "HTTP/1.1 keep-alive, 3 headers, 1 KiB answers, 64 connections, one route",
    },
    Scenario {
        name: "mesh",
        group: "mesh",
        template: "mesh",
        work: Work::Closed(Requests::http1("rich", 64)),
        about: "11 headers of 750 bytes; host, header and prefix routes; 90/10 over two clusters of two endpoints; \
                policy, retries, request id, statistics",
    },
    Scenario {
        name: "h2",
        group: "h2",
        template: "h2",
        work: Work::Closed(Requests::http2(8, 32)),
        about: "HTTP/2 on both sides, small gRPC-like calls, 8 connections of 32 streams",
    },
    Scenario {
        name: "h2-64x1",
        group: "h2-64x1",
        template: "h2",
        work: Work::Closed(Requests::http2(64, 1)),
        about: "as h2, 64 connections of one stream",
    },
    Scenario {
        name: "tcp",
        group: "tcp",
        template: "tcp",
        work: Work::Bulk,
        about: "bytes from the upstream to 8 connections",
    },
    Scenario {
        name: "mtls",
        group: "mtls",
        template: "mtls",
        work: Work::Closed(PLAIN),
        about: "two proxies in a row with mutual TLS 1.3 between them; the CPU of both",
    },
    Scenario {
        name: "churn",
        group: "churn",
        template: "h1",
        work: Work::Closed(Requests::http1("once", 64)),
        about: "as h1, a new connection for each request",
    },
    Scenario {
        name: "memory",
        group: "memory",
        template: "h1",
        work: Work::Memory,
        about: "idle, per held connection, and after load with 3,000 held connections",
    },
    Scenario {
        name: "services",
        group: "memory",
        template: "services",
        work: Work::Services,
        about: "growth with 1,000 configured clusters of three endpoints",
    },
    Scenario {
        name: "latency-h1",
        group: "latency",
        template: "h1",
        work: Work::Open(Requests::http1("plain", 50)),
        about: "latency added at 4,000 requests per second, open loop, as h1",
    },
    Scenario {
        name: "latency-mesh",
        group: "latency",
        template: "mesh",
        work: Work::Open(Requests::http1("rich", 50)),
        about: "as mesh",
    },
    Scenario {
        name: "latency-mtls",
        group: "latency",
        template: "mtls",
        work: Work::Open(Requests::http1("plain", 50)),
        about: "as mtls",
    },
    Scenario {
        name: "telemetry",
        group: "telemetry",
        template: "telemetry",
        work: Work::Closed(Requests::http1("rich", 64)),
        about: "ours only, as mesh: metrics, access log and traces (1 %) against none of them",
    },
];

/// The scenarios that a list of names means.
///
/// # Errors
/// The unknown name.
pub(crate) fn named(names: &[String]) -> Result<Vec<Scenario>, &str> {
    let meant = |s: &Scenario, name: &str| s.name == name || s.group == name;
    for name in names {
        if !SCENARIOS.iter().any(|s| meant(s, name)) {
            return Err(name);
        }
    }
    let chosen = SCENARIOS
        .iter()
        .filter(|s| names.is_empty() || names.iter().any(|name| meant(s, name)));
    Ok(chosen.copied().collect())
}

/// The scenarios for `--help`.
pub(crate) fn help() -> String {
    let mut text = "Scenarios:\n".to_owned();
    for scenario in SCENARIOS {
        let _ = writeln!(text, "  {:13} {}", scenario.name, scenario.about);
    }
    text += "\nExamples:\n  \
        cargo xtask bench proxy --quick --scenarios h1,mesh\n  \
        cargo xtask bench proxy --proxies aviary,envoy --icount --scenarios h1\n  \
        cargo xtask bench proxy --write-docs\n";
    text
}

#[cfg(test)]
mod tests {
    use super::{SCENARIOS, named};

    #[test]
    fn names_choose_groups_and_none_chooses_all() {
        let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(named(&names(&["latency"])).unwrap().len(), 3);
        assert_eq!(named(&[]).unwrap().len(), SCENARIOS.len());
        assert_eq!(named(&names(&["h1", "h3"])).unwrap_err(), "h3");
    }
}

//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Put a new version in front of a share of real traffic, watch it, take it to 100 % or back to 0.
///
/// Aviary is a service mesh and release manager. On this machine it brings its own Kubernetes-compatible API server
/// and runs pods as processes, so plain `kubectl` and plain Istio YAML work with nothing else installed.
#[derive(Debug, Parser)]
#[command(
    name = "aviary",
    version,
    max_term_width = 100,
    after_help = "\
Start here:
  aviary demo                                     start everything with Bookinfo on the mesh
  export KUBECONFIG=$(aviary status -o kubeconfig)
  kubectl get pods
  aviary down                                     stop a detached installation"
)]
pub(crate) struct Cli {
    /// Where this installation keeps its state; two installations with different folders run side by side.
    #[arg(long, global = true, env = "AVIARY_HOME", value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start an empty mesh: API server, control plane, node, ingress gateway.
    #[command(after_help = "\
The command stays in the foreground and Ctrl-C stops everything; state is kept and found again at the next start.
With --detach it returns as soon as the mesh is ready; stop it with `aviary down`.")]
    Up(UpArgs),
    /// Start the mesh (if it is not running) with the Bookinfo sample application on it.
    #[command(after_help = "\
Then open the printed page and shift traffic with kubectl:
  kubectl apply -f reviews-90-10.yaml")]
    Demo(UpArgs),
    /// Stop the installation that runs under the state folder; its objects are kept.
    Down,
    /// Tell what runs, and where to reach it.
    Status {
        /// How to print it.
        #[arg(short, long, value_enum, default_value_t = StatusFormat::Text)]
        output: StatusFormat,
    },
    /// Run a command inside a pod, or with `--node` in the node's network (pod and Service addresses are reachable).
    #[command(after_help = "\
Examples:
  aviary exec reviews-v1-5bd5f585b4-x8btg -- ps
  aviary exec -n prod -c reviews POD -- env
  aviary exec --node -- curl -s http://10.96.0.1")]
    Exec(ExecArgs),
    /// Open a shell in the node's network, from which pod and Service addresses are reachable.
    Shell,
    /// Print logs: of `control`, `node` or a pod.
    #[command(after_help = "\
Examples:
  aviary logs control
  aviary logs -n prod POD -c istio-proxy")]
    Logs(LogsArgs),
    /// Say which program an image reference stands for.
    #[command(subcommand)]
    Image(ImageCommand),

    /// Run the proxy on its own from a file in Envoy's bootstrap format; no mesh is needed.
    #[command(after_help = "\
The file is YAML or JSON as Envoy reads it: `admin`, `node`, `static_resources`, and `dynamic_resources` by
ADS. What the proxy does not support is refused with its place in the file; nothing is ignored.

A proxy that answers from port 8080 what two servers say:

  admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}
  static_resources:
    listeners:
    - name: in
      address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
      filter_chains:
      - filters:
        - name: envoy.filters.network.http_connection_manager
          typed_config:
            \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            stat_prefix: in
            route_config:
              virtual_hosts:
              - {name: all, domains: [\"*\"], routes: [{match: {prefix: /}, route: {cluster: web}}]}
            http_filters:
            - name: envoy.filters.http.router
              typed_config: {\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
    clusters:
    - name: web
      type: STATIC
      connect_timeout: 1s
      load_assignment:
        cluster_name: web
        endpoints:
        - lb_endpoints:
          - {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9001}}}}
          - {endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9002}}}}

SIGTERM and SIGINT (Ctrl-C) drain: nothing new is accepted, and the process ends with its last request.")]
    Proxy(ProxyArgs),

    /// Show what a proxy is configured with.
    #[command(
        visible_alias = "pc",
        after_help = "\
Examples:
  aviary proxy-config routes productpage-v1-6d8bc58dd7-ts8kw
  aviary proxy-config clusters POD.prod --direction outbound --port 9080
  aviary proxy-config endpoints POD --fqdn reviews.default.svc.cluster.local
  aviary proxy-config listeners --address 127.0.0.1:9901 -o json"
    )]
    ProxyConfig(ProxyConfigArgs),
    /// Say where a request goes and why, by the rules and the configuration of a running proxy.
    #[command(after_help = "\
Examples:
  aviary explain GET http://reviews:9080/reviews/1 -H 'end-user: jason' --from productpage-v1-6d8bc58dd7-ts8kw
  aviary explain GET http://bookinfo.example/productpage --from istio-ingressgateway-POD.istio-system
  aviary explain GET http://web/ --config proxy.yaml")]
    Explain(ExplainArgs),

    #[command(hide = true)]
    Page { path: String },
    #[command(hide = true)]
    Control(ControlArgs),
    #[command(hide = true)]
    Node(NodeArgs),
    #[command(hide = true)]
    Sandbox,
    #[command(hide = true)]
    PodInit {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

/// Options of `up` and `demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// Return when everything is ready and leave it running.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Loopback port of the ingress gateway's HTTP listener; a taken one is replaced by a free one.
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    pub(crate) gateway_port: u16,
    /// Loopback port of the ingress gateway's HTTPS listener; a taken one is replaced by a free one.
    #[arg(long, default_value_t = 8443, value_name = "PORT")]
    pub(crate) gateway_tls_port: u16,
    /// Loopback port of the API server; a taken one is replaced by a free one.
    #[arg(long, default_value_t = 6443, value_name = "PORT")]
    pub(crate) api_port: u16,
}

/// Options of `exec`.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Pod name; left out with `--node`.
    #[arg(required_unless_present = "node")]
    pub(crate) pod: Option<String>,
    /// Namespace of the pod.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Container whose files and environment are used; the first by default.
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// Run in the node's network instead of a pod.
    #[arg(long, conflicts_with_all = ["pod", "container"])]
    pub(crate) node: bool,
    /// The command, after `--`.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

/// Options of `logs`.
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// `control`, `node`, or a pod's name.
    pub(crate) subject: String,
    /// Namespace of the pod.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Container; the first by default.
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// Print new lines as they come.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only so many of the last lines.
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u64>,
}

/// Commands of `image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Let an image reference stand for a command of this machine.
    #[command(
        after_help = "Example:\n  aviary image add example.com/shop/cart:2.0 -- /usr/bin/python3 -m http.server 8000"
    )]
    Add {
        /// The reference as pods write it; without a tag it stands for every tag.
        reference: String,
        /// The program and its arguments, after `--`.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// List the references that this installation knows.
    List,
}

/// How `status` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
    /// Only the path of the kubeconfig.
    Kubeconfig,
}

/// Which proxy is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProxyOf {
    /// The pod that it stands beside: `POD` or `POD.NAMESPACE`.
    pub(crate) pod: Option<String>,
    /// Namespace of the pod.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Address of a proxy's administration, for one that runs outside of the mesh.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "pod")]
    pub(crate) address: Option<String>,
}

/// Options of `proxy-config`.
#[derive(Debug, Args)]
pub(crate) struct ProxyConfigArgs {
    /// What to show.
    #[arg(value_enum)]
    pub(crate) part: ProxyPart,
    #[command(flatten)]
    pub(crate) proxy: ProxyOf,
    #[command(flatten)]
    pub(crate) filter: ProxyFilter,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = DataFormat::Table)]
    pub(crate) output: DataFormat,
}

/// A part of a proxy's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProxyPart {
    /// Where connections come in.
    #[value(aliases = ["listener", "l"])]
    Listeners,
    /// Where requests go.
    #[value(aliases = ["route", "r"])]
    Routes,
    /// Groups of endpoints.
    #[value(aliases = ["cluster", "c"])]
    Clusters,
    /// Addresses, with their health.
    #[value(aliases = ["endpoint", "ep"])]
    Endpoints,
    /// Certificates and keys, without what is secret.
    #[value(aliases = ["secret", "s"])]
    Secrets,
    /// Counters.
    Stats,
}

/// Which rows are shown.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ProxyFilter {
    /// Only of this port.
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// Only of this service.
    #[arg(long, value_name = "FQDN")]
    pub(crate) fqdn: Option<String>,
    /// Only `inbound` or `outbound`.
    #[arg(long, value_name = "DIRECTION", value_parser = ["inbound", "outbound"])]
    pub(crate) direction: Option<String>,
    /// Only what has this in its name.
    #[arg(long, value_name = "TEXT")]
    pub(crate) name: Option<String>,
}

impl ProxyFilter {
    pub(crate) fn fits_name(&self, name: &str) -> bool {
        self.name.as_deref().is_none_or(|part| name.contains(part))
    }

    pub(crate) fn fits_port(&self, port: u16) -> bool {
        self.port.is_none_or(|wanted| wanted == port)
    }

    pub(crate) fn fits_fqdn(&self, host: &str) -> bool {
        self.fqdn.as_deref().is_none_or(|wanted| wanted == host)
    }

    pub(crate) fn fits_direction(&self, direction: &str) -> bool {
        self.direction
            .as_deref()
            .is_none_or(|wanted| wanted == direction)
    }
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataFormat {
    /// For people.
    Table,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Method of the request.
    pub(crate) method: String,
    /// URL of the request, with the host as the client would call it.
    pub(crate) url: String,
    /// A header, as `name: value`; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub(crate) headers: Vec<String>,
    #[command(flatten)]
    pub(crate) from: ExplainFrom,
    /// A file in Envoy's bootstrap format instead of a running proxy.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["pod", "address"])]
    pub(crate) config: Option<PathBuf>,
    /// The listener that takes the request, when it is not clear.
    #[arg(long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = DataFormat::Table)]
    pub(crate) output: DataFormat,
}

/// Whose view is explained.
#[derive(Debug, Clone, Args)]
pub(crate) struct ExplainFrom {
    /// The pod that sends the request (`POD` or `POD.NAMESPACE`); of a gateway, the one that takes it.
    #[arg(long = "from", value_name = "POD")]
    pub(crate) pod: Option<String>,
    /// Namespace of the pod.
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Address of a proxy's administration, for one that runs outside of the mesh.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "pod")]
    pub(crate) address: Option<String>,
}

impl ExplainFrom {
    /// The proxy that is asked.
    pub(crate) fn proxy(&self) -> ProxyOf {
        ProxyOf {
            pod: self.pod.clone(),
            namespace: self.namespace.clone(),
            address: self.address.clone(),
        }
    }
}

/// Options of `proxy`.
#[derive(Debug, Args)]
pub(crate) struct ProxyArgs {
    /// The file; without it the proxy takes everything from the environment that the node agent sets.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Threads that carry traffic; `auto` (or 0) is one per core.
    #[arg(long, default_value = "1", value_name = "N", value_parser = parse_workers, requires = "config")]
    pub(crate) workers: Workers,
    /// Read the file, say what is wrong with it, and end.
    #[arg(long, requires = "config")]
    pub(crate) check: bool,
    /// Take the listening sockets of the proxy that runs with this path, and hand them to the next
    /// one: a unix socket. Nothing is refused or lost meanwhile; the older proxy finishes what is
    /// open and ends.
    #[arg(long, value_name = "PATH")]
    pub(crate) hand_over: Option<PathBuf>,
    /// Memory that it should not exceed, e.g. `256MiB`: at 85 % connections are not kept, at 92 %
    /// requests are refused, at 96 % connections wait. A limit of its control group counts alike.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory_limit: Option<u64>,
    /// At the end, open requests and streams are finished at most this long, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "25")]
    pub(crate) drain_limit: u64,
    /// How much is said on stderr: `error`, `warn`, `info`, `debug`, `trace`, or a filter such as
    /// `info,aviary_proxy=debug`.
    #[arg(long, env = "AVIARY_LOG", default_value = "info", value_name = "LEVEL")]
    pub(crate) log_level: String,
    /// What the node agent starts it as.
    #[arg(hide = true, value_parser = ["sidecar", "router"], conflicts_with = "config")]
    pub(crate) kind: Option<String>,
}

/// How many threads carry traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workers {
    /// One per core that this process may use.
    PerCore,
    /// So many.
    Count(usize),
}

/// Bytes, or so many `KiB`, `MiB` or `GiB`.
fn parse_size(text: &str) -> Result<u64, String> {
    let (number, shift) = ["KiB", "MiB", "GiB"]
        .iter()
        .zip([10, 20, 30])
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))
        .unwrap_or((text, 0));
    match number.trim_end().parse::<u64>() {
        Ok(count) if count > 0 && count <= u64::MAX >> shift => Ok(count << shift),
        _ => Err("want bytes, or a number with KiB, MiB or GiB".to_owned()),
    }
}

fn parse_workers(text: &str) -> Result<Workers, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Workers::PerCore),
        Ok(0) => Ok(Workers::PerCore),
        Ok(count @ 1..=256) => Ok(Workers::Count(count)),
        _ => Err("want a number from 1 to 256, or `auto`".to_owned()),
    }
}

/// Arguments of the control process.
#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// Inherited listening socket of the API server.
    #[arg(long)]
    pub(crate) api_fd: i32,
}

/// Arguments of the node process.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// `CONTAINER_PORT=FD`: inherited listening sockets of the host, published for gateways.
    #[arg(long = "publish", value_parser = parse_publish)]
    pub(crate) publish: Vec<(u16, i32)>,
}

fn parse_publish(text: &str) -> Result<(u16, i32), String> {
    let (port, fd) = text.split_once('=').ok_or("want PORT=FD")?;
    Ok((
        port.parse().map_err(|e| format!("port: {e}"))?,
        fd.parse().map_err(|e| format!("descriptor: {e}"))?,
    ))
}

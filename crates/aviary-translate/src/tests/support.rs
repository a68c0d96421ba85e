use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr, sync::Arc};

use aviary_api::selector::Labels;
use aviary_mesh::{
    ChainAction, MeshConfig, compiled,
    filters::{self, Stop},
    resolve::{self, Connection, Head, Outcome},
};
use rand::{SeedableRng, rngs::SmallRng};
use serde_json::Value;

use crate::{Kind, ObjectKey, ProxyKey, ProxyKind, Snapshot, translate};

/// Reads the documents of a YAML text; objects without a namespace are in `default`.
pub(super) fn documents(text: &str) -> Vec<Value> {
    text.split("\n---")
        .map(|part| part.trim_start_matches("---"))
        .filter(|part| {
            part.lines()
                .any(|line| !line.trim().is_empty() && !line.starts_with('#'))
        })
        .map(|part| {
            let mut object: Value = serde_saphyr::from_str(part).expect("test input is YAML");
            let meta = object["metadata"]
                .as_object_mut()
                .expect("test objects have metadata");
            meta.entry("namespace").or_insert_with(|| "default".into());
            object
        })
        .collect()
}

pub(super) fn kind_of(object: &Value) -> Option<Kind> {
    Some(match object["kind"].as_str()? {
        "Service" => Kind::Service,
        "EndpointSlice" => Kind::EndpointSlice,
        "Pod" => Kind::Pod,
        "VirtualService" => Kind::VirtualService,
        "DestinationRule" => Kind::DestinationRule,
        "Gateway" => Kind::Gateway,
        "Release" => Kind::Release,
        _ => return None,
    })
}

/// A mesh under test.
#[derive(Clone, Default)]
pub(super) struct Mesh {
    pub(super) snapshot: Snapshot,
}

impl Mesh {
    pub(super) fn new(text: &str) -> Self {
        let mut mesh = Self::default();
        mesh.apply(text);
        mesh
    }

    /// As `kubectl apply`: what the API server would refuse fails the test.
    pub(super) fn apply(&mut self, text: &str) {
        for object in documents(text) {
            let Some(kind) = kind_of(&object) else {
                continue;
            };
            let findings = aviary_api::validate(object["kind"].as_str().unwrap(), &object);
            assert_eq!(findings, [], "input is refused");
            self.snapshot.insert(kind, &object).unwrap();
        }
        self.snapshot.settle();
    }

    pub(super) fn delete(&mut self, kind: Kind, namespace: &str, name: &str) {
        assert!(self.snapshot.remove(kind, &ObjectKey::new(namespace, name)));
        self.snapshot.settle();
    }

    pub(super) fn sidecar(&self, namespace: &str, labels: &[(&str, &str)]) -> Proxy {
        self.proxy(ProxyKind::Sidecar, namespace, labels)
    }

    pub(super) fn ingress(&self) -> Proxy {
        let labels = [("app", "istio-ingressgateway"), ("istio", "ingressgateway")];
        self.proxy(ProxyKind::Router, "istio-system", &labels)
    }

    fn proxy(&self, kind: ProxyKind, namespace: &str, labels: &[(&str, &str)]) -> Proxy {
        let labels: Labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let key = ProxyKey {
            kind,
            namespace: namespace.to_owned(),
            labels,
        };
        let (config, diagnostics) = translate(&self.snapshot, &key);
        assert_eq!(diagnostics, [], "unexpected remarks");
        Proxy {
            config: Arc::new(config),
        }
    }
}

/// A proxy with its configuration.
pub(super) struct Proxy {
    pub(super) config: Arc<MeshConfig>,
}

/// A request written as `GET reviews:9080 /path name=value …`.
pub(super) struct Request {
    method: String,
    authority: String,
    path: String,
    pub(super) headers: BTreeMap<String, String>,
}

impl Request {
    pub(super) fn new(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let mut next = || words.next().expect("METHOD HOST PATH").to_owned();
        let (method, authority, path) = (next(), next(), next());
        let headers = words.map(|word| {
            let (name, value) = word.split_once('=').expect("name=value");
            (name.to_ascii_lowercase(), value.replace('+', " "))
        });
        Self {
            method,
            authority,
            path,
            headers: headers.collect(),
        }
    }
}

impl Head for Request {
    fn method(&self) -> &str {
        &self.method
    }
    fn authority(&self) -> &str {
        &self.authority
    }
    fn scheme(&self) -> &'static str {
        "http"
    }
    fn path_and_query(&self) -> &str {
        &self.path
    }
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers
            .get(name)
            .map(|value| Cow::Borrowed(value.as_str()))
    }
}

impl Proxy {
    /// What becomes of a request that arrived at a bound listener on its way to `destination`.
    pub(super) fn call(&self, listener: &str, destination: &str, request: &str) -> String {
        let shares = self.shares(listener, destination, request, 1);
        shares.into_keys().next().expect("one answer")
    }

    /// The answers of `count` requests with how often each came.
    pub(super) fn shares(
        &self,
        listener: &str,
        destination: &str,
        request: &str,
        count: u32,
    ) -> BTreeMap<String, u32> {
        let compiled = compiled::Config::new(Arc::clone(&self.config), None);
        let bound = &self.config.listeners[listener];
        let destination: SocketAddr = destination.parse().expect("address");
        let spoken = (!request.is_empty()).then(|| "http/1.1".to_owned());
        let http: Vec<_> = spoken.into_iter().collect();
        let connection = Connection {
            destination: Some(destination),
            transport_protocol: "raw_buffer",
            application_protocols: &http,
            ..Connection::default()
        };
        let mut rng = SmallRng::seed_from_u64(7);
        let mut answers = BTreeMap::new();
        for _ in 0..count {
            let answer = answer(&compiled, bound, &connection, request, &mut rng);
            *answers.entry(answer).or_default() += 1;
        }
        answers
    }

    /// Addresses of a cluster's endpoints.
    pub(super) fn endpoints(&self, cluster: &str) -> Vec<String> {
        let set = self.config.endpoints.get(cluster);
        let set = set.unwrap_or_else(|| panic!("no endpoints for {cluster}"));
        set.endpoints
            .iter()
            .map(|one| one.address.to_string())
            .collect()
    }
}

fn answer(
    compiled: &compiled::Config,
    bound: &aviary_mesh::Listener,
    connection: &Connection<'_>,
    request: &str,
    rng: &mut SmallRng,
) -> String {
    let Some(choice) = resolve::chain(compiled, bound, connection) else {
        return "closed".to_owned();
    };
    let http = match &choice.chain.action {
        ChainAction::Tcp(tcp) => return format!("tcp {}", tcp.clusters[0].cluster),
        ChainAction::Http(http) => http,
    };
    let table = compiled
        .table(http)
        .expect("the table is in the configuration");
    let head = Request::new(request);
    let decision = resolve::request(table, &head, rng);
    let passage = filters::pass(&http.filters, &decision, &head, rng);
    let delay = passage
        .delay
        .map(|delay| format!(" after {delay:?}"))
        .unwrap_or_default();
    if let Some(Stop::Abort { status, .. }) = passage.stop {
        return format!("abort {status}{delay}");
    }
    let outcome = match &decision.outcome {
        Outcome::Forward(target) => {
            let name = &target.branch.name;
            let known = compiled.mesh().clusters.contains_key(name);
            let mut text = if known {
                name.clone()
            } else {
                format!("503 NC {name}")
            };
            if let Some(path) = &target.path {
                put(&mut text, format_args!(" path={path}"));
            }
            if let Some(host) = &target.host {
                put(&mut text, format_args!(" host={host}"));
            }
            if let Some(timeout) = target.timeout {
                put(&mut text, format_args!(" timeout={timeout:?}"));
            }
            for mirror in &target.mirrors {
                put(&mut text, format_args!(" mirror={}", mirror.cluster));
            }
            text
        }
        Outcome::Redirect { status, location } => format!("{status} {location}"),
        Outcome::Direct { status, body } => format!("{status} {body}"),
        Outcome::NotFound => "404 NR".to_owned(),
    };
    outcome + &delay
}

fn put(text: &mut String, more: std::fmt::Arguments<'_>) {
    std::fmt::Write::write_fmt(text, more).expect("text takes everything");
}

/// A Service in front of pods: `name version address` per pod, port 9080 named `http`.
pub(super) fn service(namespace: &str, name: &str, vip: &str, pods: &[(&str, &str)]) -> String {
    service_on(namespace, name, vip, "http", 9080, 9080, pods)
}

/// As [`service`] with its own port.
pub(super) fn service_on(
    namespace: &str,
    name: &str,
    vip: &str,
    port_name: &str,
    port: u16,
    target: u16,
    pods: &[(&str, &str)],
) -> String {
    let mut text = format!(
        "kind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec: {{clusterIP: {vip}, selector: {{app: {name}}}, ports: [{{name: '{port_name}', port: {port}, targetPort: {target}}}]}}\n"
    );
    let mut endpoints = String::new();
    for (version, address) in pods {
        put(
            &mut text,
            format_args!(
                "---\nkind: Pod\nmetadata: {{name: {name}-{version}, namespace: {namespace}, labels: {{app: {name}, version: {version}}}}}\n\
             spec: {{containers: []}}\n"
            ),
        );
        put(
            &mut endpoints,
            format_args!(
                "\n- addresses: ['{address}']\n  conditions: {{ready: true, serving: true, terminating: false}}\n  \
             targetRef: {{kind: Pod, name: {name}-{version}, namespace: {namespace}}}"
            ),
        );
    }
    put(
        &mut text,
        format_args!(
            "---\nkind: EndpointSlice\nmetadata: {{name: {name}-abcde, namespace: {namespace}, labels: {{kubernetes.io/service-name: {name}}}}}\n\
         addressType: IPv4\nports: [{{name: '{port_name}', port: {target}, protocol: TCP}}]\nendpoints:{}\n---\n",
            if pods.is_empty() { " []" } else { &endpoints }
        ),
    );
    text
}

/// Bookinfo's Services in a namespace, with every version's pod.
pub(super) fn bookinfo(namespace: &str) -> String {
    [
        service(
            namespace,
            "productpage",
            "10.96.0.11",
            &[("v1", "10.244.0.11")],
        ),
        service(namespace, "details", "10.96.0.12", &[("v1", "10.244.0.12")]),
        service(
            namespace,
            "reviews",
            "10.96.0.13",
            &[
                ("v1", "10.244.0.13"),
                ("v2", "10.244.0.14"),
                ("v3", "10.244.0.15"),
            ],
        ),
        service(namespace, "ratings", "10.96.0.16", &[("v1", "10.244.0.16")]),
        ingress(),
    ]
    .concat()
}

/// The ingress gateway's Service.
pub(super) fn ingress() -> String {
    let objects = aviary_api::platform::objects("0");
    let service = objects
        .iter()
        .find(|object| object["kind"] == "Service")
        .unwrap();
    format!("{service}\n---\n")
}

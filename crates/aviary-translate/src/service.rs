//! What the mesh needs of a Service and of its endpoint slices.

use std::net::IpAddr;

use aviary_api::{names, selector::Labels};
use aviary_mesh::{cluster::ServiceLabels, endpoint::Health};
use k8s_openapi::{
    api::{core::v1 as core, discovery::v1 as discovery},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::ObjectKey;

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its key.
    pub key: ObjectKey,
    /// Full name, e.g. `reviews.prod.svc.cluster.local`.
    pub host: String,
    /// Cluster addresses; empty for a headless Service.
    pub addresses: Vec<IpAddr>,
    /// Labels of its pods; empty when its endpoints are made by hand.
    pub selector: Labels,
    /// TCP ports in order of declaration.
    pub ports: Vec<Port>,
}

/// A TCP port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Name; may be empty when it is the only one.
    pub name: String,
    /// Number.
    pub number: u16,
    /// The pods' port.
    pub target: Target,
    /// What is spoken.
    pub protocol: Protocol,
}

/// A pod's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// By number.
    Number(u16),
    /// By the name of a container port.
    Name(String),
}

/// What is spoken on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 (HTTP/2 is understood too).
    Http,
    /// HTTP/2, also gRPC.
    Http2,
    /// Not HTTP, or not readable.
    Tcp,
    /// Not declared: found out by the first bytes.
    Auto,
}

impl Service {
    /// Reads a Service; `None` when it has no endpoints of its own (`ExternalName`).
    pub fn new(object: &core::Service) -> Option<Self> {
        let key = ObjectKey::new(
            object.metadata.namespace.clone().unwrap_or_default(),
            object.metadata.name.clone().unwrap_or_default(),
        );
        let spec = object.spec.as_ref()?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return None;
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        for text in spec
            .cluster_ip
            .iter()
            .chain(spec.cluster_ips.iter().flatten())
        {
            if let Ok(address) = text.parse()
                && !addresses.contains(&address)
            {
                addresses.push(address);
            }
        }
        Some(Self {
            host: names::service_host(&key.name, &key.namespace),
            key,
            addresses,
            selector: spec.selector.clone().unwrap_or_default(),
            ports: spec.ports.iter().flatten().filter_map(Port::new).collect(),
        })
    }

    /// Its names in metrics.
    pub fn labels(&self) -> ServiceLabels {
        ServiceLabels {
            host: self.host.clone(),
            name: self.key.name.clone(),
            namespace: self.key.namespace.clone(),
        }
    }
}

impl Port {
    fn new(port: &core::ServicePort) -> Option<Self> {
        if port
            .protocol
            .as_deref()
            .is_some_and(|protocol| protocol != "TCP")
        {
            return None;
        }
        let number = u16::try_from(port.port).ok()?;
        let name = port.name.clone().unwrap_or_default();
        let target = match &port.target_port {
            Some(IntOrString::String(name)) => Target::Name(name.clone()),
            Some(IntOrString::Int(target)) if *target > 0 => {
                Target::Number(u16::try_from(*target).ok()?)
            }
            _ => Target::Number(number),
        };
        Some(Self {
            protocol: Protocol::of(port.app_protocol.as_deref(), &name, number),
            name,
            number,
            target,
        })
    }
}

impl Protocol {
    /// What a port speaks by its declaration.
    ///
    /// Source: Istio `kube.ConvertProtocol`: `appProtocol`, then the name up to the first `-`,
    /// then well-known ports of protocols in which the server speaks first.
    pub fn of(app_protocol: Option<&str>, name: &str, number: u16) -> Self {
        let declared = app_protocol.map(|text| text.strip_prefix("kubernetes.io/").unwrap_or(text));
        if let Some(protocol) = declared.and_then(Self::named) {
            return protocol;
        }
        let lower = name.to_ascii_lowercase();
        if lower.starts_with("grpc-web") {
            return Self::Http;
        }
        let first = lower.split('-').next().unwrap_or_default();
        match Self::named(first) {
            Some(protocol) => protocol,
            None if matches!(number, 25 | 53 | 3306 | 27017) => Self::Tcp,
            None => Self::Auto,
        }
    }

    fn named(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "http" | "ws" | "grpc-web" => Self::Http,
            "http2" | "h2c" | "grpc" => Self::Http2,
            "https" | "wss" | "tls" | "tcp" | "mongo" | "mysql" | "redis" => Self::Tcp,
            _ => return None,
        })
    }

    /// Whether requests on it are always read.
    pub fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2)
    }
}

/// One endpoint slice of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Its Service.
    pub service: ObjectKey,
    /// Names and numbers of the pods' ports.
    pub ports: Vec<(String, u16)>,
    /// Addresses that may be given requests or still have some.
    pub endpoints: Vec<SliceEndpoint>,
}

/// One address of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Address.
    pub address: IpAddr,
    /// Whether it may be given requests.
    pub health: Health,
    /// The pod behind it.
    pub pod: Option<ObjectKey>,
}

impl Slice {
    /// Reads a slice; `None` when it belongs to no Service or holds no addresses.
    pub fn new(object: &discovery::EndpointSlice) -> Option<Self> {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let service = object
            .metadata
            .labels
            .as_ref()?
            .get("kubernetes.io/service-name")?;
        if object.address_type == "FQDN" {
            return None;
        }
        let ports = object.ports.iter().flatten().filter_map(|port| {
            let number = u16::try_from(port.port?).ok()?;
            Some((port.name.clone().unwrap_or_default(), number))
        });
        let endpoints = object.endpoints.iter().flatten();
        Some(Self {
            service: ObjectKey::new(namespace.clone(), service.clone()),
            ports: ports.collect(),
            endpoints: endpoints
                .filter_map(|one| SliceEndpoint::new(one, &namespace))
                .collect(),
        })
    }
}

impl SliceEndpoint {
    fn new(endpoint: &discovery::Endpoint, namespace: &str) -> Option<Self> {
        let conditions = endpoint.conditions.as_ref();
        let ready = conditions.and_then(|all| all.ready).unwrap_or(true);
        let serving = conditions.and_then(|all| all.serving).unwrap_or(ready);
        let terminating = conditions.and_then(|all| all.terminating).unwrap_or(false);
        let health = match (terminating, ready, serving) {
            (false, true, _) => Health::Healthy,
            (true, _, true) => Health::Draining,
            _ => return None,
        };
        let target = endpoint
            .target_ref
            .as_ref()
            .filter(|target| target.kind.as_deref() == Some("Pod"));
        Some(Self {
            address: endpoint.addresses.first()?.parse().ok()?,
            health,
            pod: target.map(|target| {
                let namespace = target
                    .namespace
                    .clone()
                    .unwrap_or_else(|| namespace.to_owned());
                ObjectKey::new(namespace, target.name.clone().unwrap_or_default())
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocol_comes_from_declaration_name_and_port() {
        for (app, name, number, want) in [
            (None, "http", 9080, Protocol::Http),
            (None, "http-web", 80, Protocol::Http),
            (None, "grpc-web-x", 80, Protocol::Http),
            (None, "GRPC", 80, Protocol::Http2),
            (None, "https", 443, Protocol::Tcp),
            (None, "web", 80, Protocol::Auto),
            (None, "", 3306, Protocol::Tcp),
            (Some("kubernetes.io/h2c"), "tcp", 80, Protocol::Http2),
            (Some("mine"), "http", 80, Protocol::Http),
        ] {
            assert_eq!(
                Protocol::of(app, name, number),
                want,
                "{app:?} {name} {number}"
            );
        }
    }
}

//! A container's environment, with what it takes from the API server.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Secret};
use kube::Api;

use super::Worker;
use crate::network::NODE_ADDRESS;
use crate::pod::environment::{Place, expand, field, service_links};
use crate::pod::proxy::{self, is_proxy};

/// Where programs are looked for if the pod does not say. Source: the container runtimes' default.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl Worker {
    /// All variables in the order of their definition; the error names what is missing.
    pub(super) async fn environment(
        &self,
        container: &Container,
    ) -> Result<Vec<(String, String)>, String> {
        let meta = &self.pod.metadata;
        let namespace = meta.namespace.clone().unwrap_or_default();
        let mut all = vec![
            ("PATH".to_owned(), PATH.to_owned()),
            ("HOSTNAME".to_owned(), meta.name.clone().unwrap_or_default()),
        ];
        if container.tty == Some(true) {
            all.push(("TERM".to_owned(), "xterm".to_owned()));
        }
        let links = self
            .pod
            .spec
            .as_ref()
            .and_then(|spec| spec.enable_service_links);
        let services = self.context.services.state();
        all.extend(service_links(
            services.iter().map(AsRef::as_ref),
            &namespace,
            links.unwrap_or(true),
        ));
        self.add_whole_maps(container, &mut all).await?;
        for variable in container.env.as_deref().unwrap_or_default() {
            let value = match (&variable.value, &variable.value_from) {
                (Some(value), _) => Some(expand(value, &all)),
                (None, Some(source)) => self.value_from(source).await?,
                (None, None) => Some(String::new()),
            };
            if let Some(value) = value {
                all.push((variable.name.clone(), value));
            }
        }
        if let Some(role) = proxy::role(&self.pod).filter(|_| is_proxy(container)) {
            all.extend(proxy::environment(
                &self.pod,
                role,
                self.reachable_at(),
                &self.context.home,
                &self.folder.join("proxy"),
                &self.context.xds_key(),
            ));
        }
        Ok(all)
    }

    async fn add_whole_maps(
        &self,
        container: &Container,
        all: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        for source in container.env_from.as_deref().unwrap_or_default() {
            let prefix = source.prefix.as_deref().unwrap_or_default();
            let values = if let Some(from) = &source.config_map_ref {
                self.config_map(&from.name, from.optional == Some(true))
                    .await?
            } else if let Some(from) = &source.secret_ref {
                self.secret(&from.name, from.optional == Some(true)).await?
            } else {
                continue;
            };
            for (name, value) in values {
                let value = String::from_utf8_lossy(&value).into_owned();
                all.push((format!("{prefix}{name}"), value));
            }
        }
        Ok(())
    }

    async fn value_from(&self, source: &EnvVarSource) -> Result<Option<String>, String> {
        if let Some(from) = &source.field_ref {
            return self
                .field(&from.field_path)
                .map(Some)
                .ok_or_else(|| format!("unsupported fieldPath: {}", from.field_path));
        }
        let (values, key, optional, what) = if let Some(from) = &source.config_map_key_ref {
            let optional = from.optional == Some(true);
            (
                self.config_map(&from.name, optional).await?,
                &from.key,
                optional,
                format!("ConfigMap {}", from.name),
            )
        } else if let Some(from) = &source.secret_key_ref {
            let optional = from.optional == Some(true);
            (
                self.secret(&from.name, optional).await?,
                &from.key,
                optional,
                format!("Secret {}", from.name),
            )
        } else {
            return Err(
                "only fieldRef, configMapKeyRef and secretKeyRef are served in valueFrom"
                    .to_owned(),
            );
        };
        match values.get(key) {
            Some(value) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
            None if optional => Ok(None),
            None => Err(format!("couldn't find key {key} in {what}")),
        }
    }

    /// The value of a field of this pod.
    pub(super) fn field(&self, path: &str) -> Option<String> {
        let place = Place {
            address: self.reachable_at(),
            host_address: NODE_ADDRESS,
            node_name: &self.context.node_name,
        };
        field(&self.pod, path, place)
    }

    /// Content of a ConfigMap of the pod's namespace; empty if it is optional and absent.
    pub(super) async fn config_map(
        &self,
        name: &str,
        optional: bool,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let api: Api<ConfigMap> = Api::namespaced(self.context.client.clone(), self.namespace());
        match api.get_opt(name).await {
            Ok(Some(map)) => {
                let text = map
                    .data
                    .into_iter()
                    .flatten()
                    .map(|(k, v)| (k, v.into_bytes()));
                let bytes = map.binary_data.into_iter().flatten().map(|(k, v)| (k, v.0));
                Ok(text.chain(bytes).collect())
            }
            Ok(None) if optional => Ok(BTreeMap::new()),
            Ok(None) => Err(format!("configmap \"{name}\" not found")),
            Err(error) => Err(format!("cannot read configmap \"{name}\": {error}")),
        }
    }

    /// As [`Worker::config_map`] for a Secret.
    pub(super) async fn secret(
        &self,
        name: &str,
        optional: bool,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let api: Api<Secret> = Api::namespaced(self.context.client.clone(), self.namespace());
        match api.get_opt(name).await {
            Ok(Some(secret)) => Ok(secret
                .data
                .into_iter()
                .flatten()
                .map(|(k, v)| (k, v.0))
                .collect()),
            Ok(None) if optional => Ok(BTreeMap::new()),
            Ok(None) => Err(format!("secret \"{name}\" not found")),
            Err(error) => Err(format!("cannot read secret \"{name}\": {error}")),
        }
    }

    pub(super) fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or("default")
    }
}

//! A pod's volumes as folders below its own.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, ServiceAccount, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};
use kube::Api;
use kube::api::PostParams;

use super::Worker;
use crate::pod;

/// Source: the API's default for files of such volumes.
const MODE: i32 = 0o644;

/// Files of a volume: path, content, mode.
type Files = Vec<(String, Vec<u8>, i32)>;

impl Worker {
    /// Fills all volumes once; the error says which could not be filled.
    pub(super) async fn ensure_volumes(&mut self) -> Result<(), String> {
        if self.volumes.is_some() {
            return Ok(());
        }
        let wanted = self.pod.spec.as_ref().and_then(|spec| spec.volumes.clone());
        let mut volumes = BTreeMap::new();
        for volume in wanted.unwrap_or_default() {
            let path = self.fill(&volume).await.map_err(|message| {
                format!(
                    "MountVolume.SetUp failed for volume \"{}\" : {message}",
                    volume.name
                )
            })?;
            volumes.insert(volume.name, path);
        }
        self.volumes = Some(volumes);
        Ok(())
    }

    async fn fill(&self, volume: &Volume) -> Result<PathBuf, String> {
        let folder = self.folder.join("volumes").join(&volume.name);
        if let Some(source) = &volume.host_path {
            return Ok(PathBuf::from(&source.path));
        }
        let files = if volume.empty_dir.is_some() {
            Vec::new()
        } else if let Some(source) = &volume.config_map {
            let values = self
                .config_map(&source.name, source.optional == Some(true))
                .await?;
            choose(values, source.items.as_deref(), source.default_mode)?
        } else if let Some(source) = &volume.secret {
            let name = source.secret_name.clone().unwrap_or_default();
            let values = self.secret(&name, source.optional == Some(true)).await?;
            choose(values, source.items.as_deref(), source.default_mode)?
        } else if let Some(source) = &volume.downward_api {
            let items = source.items.as_deref().unwrap_or_default();
            self.downward(items, source.default_mode)?
        } else if let Some(source) = &volume.projected {
            let mut files = Vec::new();
            for part in source.sources.as_deref().unwrap_or_default() {
                files.extend(self.project(part, source.default_mode).await?);
            }
            files
        } else {
            return Err(
                "this kind of volume is not served; use emptyDir, hostPath, configMap, secret, \
                 downwardAPI or projected"
                    .to_owned(),
            );
        };
        write(&folder, &files).map_err(|error| error.to_string())?;
        Ok(folder)
    }

    async fn project(&self, part: &VolumeProjection, mode: Option<i32>) -> Result<Files, String> {
        if let Some(source) = &part.config_map {
            // Clusters of one vendor have such a map; asking others for it must not hold up every pod.
            let vendor = source.name == "openshift-service-ca.crt";
            let optional = source.optional == Some(true) || vendor;
            let values = self.config_map(&source.name, optional).await?;
            if values.is_empty() {
                return Ok(Vec::new());
            }
            return choose(values, source.items.as_deref(), mode);
        }
        if let Some(source) = &part.secret {
            let values = self
                .secret(&source.name, source.optional == Some(true))
                .await?;
            return choose(values, source.items.as_deref(), mode);
        }
        if let Some(source) = &part.downward_api {
            return self.downward(source.items.as_deref().unwrap_or_default(), mode);
        }
        if let Some(source) = &part.service_account_token {
            return Ok(self.token(source).await.into_iter().collect());
        }
        Err("this kind of projected source is not served".to_owned())
    }

    fn downward(
        &self,
        items: &[DownwardAPIVolumeFile],
        mode: Option<i32>,
    ) -> Result<Files, String> {
        let mut files = Vec::new();
        for item in items {
            let path = item
                .field_ref
                .as_ref()
                .map(|field| field.field_path.as_str());
            let value = path.and_then(|path| self.field(path)).ok_or_else(|| {
                format!("file \"{}\" needs a fieldRef to a known field", item.path)
            })?;
            let mode = item.mode.or(mode).unwrap_or(MODE);
            files.push((item.path.clone(), value.into_bytes(), mode));
        }
        Ok(files)
    }

    /// A token for the pod's service account; none where the API server issues none.
    async fn token(
        &self,
        source: &ServiceAccountTokenProjection,
    ) -> Option<(String, Vec<u8>, i32)> {
        let account = self.pod.spec.as_ref()?.service_account_name.clone()?;
        let api: Api<ServiceAccount> =
            Api::namespaced(self.context.client.clone(), self.namespace());
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: source.audience.clone().map(|audience| vec![audience]),
                expiration_seconds: source.expiration_seconds,
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let answer = api
            .create_token_request(&account, &PostParams::default(), &request)
            .await;
        match answer {
            Ok(answer) => {
                let token = answer.status?.token?;
                Some((source.path.clone(), token.into_bytes(), 0o600))
            }
            Err(error) => {
                tracing::debug!(pod = pod::uid(&self.pod), %error, "no service account token");
                None
            }
        }
    }
}

/// All keys as files, or the chosen ones.
fn choose(
    mut values: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    mode: Option<i32>,
) -> Result<Files, String> {
    let mode = mode.unwrap_or(MODE);
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(values
            .into_iter()
            .map(|(name, value)| (name, value, mode))
            .collect());
    };
    let mut files = Vec::new();
    for item in items {
        let Some(value) = values.remove(&item.key) else {
            return Err(format!("references non-existent key: {}", item.key));
        };
        files.push((item.path.clone(), value, item.mode.unwrap_or(mode)));
    }
    Ok(files)
}

fn write(folder: &Path, files: &Files) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o777))?;
    for (path, content, mode) in files {
        let path = Path::new(path);
        if path
            .components()
            .any(|part| !matches!(part, Component::Normal(_)))
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("path `{}` must stay inside the volume", path.display()),
            ));
        }
        let target = folder.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&target, content)?;
        let mode = u32::try_from(*mode).unwrap_or_default() & 0o777;
        fs::set_permissions(&target, Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choose_items_gives_their_paths_and_refuses_missing_keys() {
        let values = || {
            BTreeMap::from([
                ("a".to_owned(), b"1".to_vec()),
                ("b".to_owned(), b"2".to_vec()),
            ])
        };
        let item = |key: &str| KeyToPath {
            key: key.to_owned(),
            path: format!("sub/{key}"),
            mode: None,
        };
        let all = choose(values(), None, None).unwrap();
        assert_eq!(
            all.iter()
                .map(|(path, ..)| path.as_str())
                .collect::<Vec<_>>(),
            ["a", "b"]
        );
        let one = choose(values(), Some(&[item("b")]), Some(0o400)).unwrap();
        assert_eq!(one, [("sub/b".to_owned(), b"2".to_vec(), 0o400)]);
        assert_eq!(
            choose(values(), Some(&[item("c")]), None),
            Err("references non-existent key: c".to_owned())
        );
    }
}

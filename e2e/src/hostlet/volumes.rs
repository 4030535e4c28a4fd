//! The files a pod sees.
//!
//! Owns ConfigMap, Secret, projected and emptyDir volumes, as folders of the host. Start at
//! [`materialize`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, KeyToPath, Pod, ProjectedVolumeSource, Secret, ServiceAccount, Volume,
    VolumeProjection,
};
use kube::{Api, Client, ResourceExt as _};

/// Writes every volume of a pod below `folder`; returns the folder of each, by volume name.
///
/// # Errors
/// When an object that is not optional is missing, or a file cannot be written.
pub(super) async fn materialize(
    client: &Client,
    pod: &Pod,
    folder: &Path,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut paths = BTreeMap::new();
    let writer = Writer { client, namespace: pod.namespace().unwrap_or_default() };
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        let path = folder.join(&volume.name);
        std::fs::create_dir_all(&path)?;
        let wrote = writer.volume(pod, volume, &path).await;
        wrote.with_context(|| format!("volume {}", volume.name))?;
        paths.insert(volume.name.clone(), path);
    }
    Ok(paths)
}

struct Writer<'a> {
    client: &'a Client,
    namespace: String,
}

impl Writer<'_> {
    async fn volume(&self, pod: &Pod, volume: &Volume, path: &Path) -> Result<()> {
        if let Some(source) = &volume.config_map {
            let optional = source.optional == Some(true);
            return self.config_map(&source.name, source.items.as_deref(), optional, path).await;
        }
        if let Some(source) = &volume.secret {
            let name = source.secret_name.clone().unwrap_or_default();
            let optional = source.optional == Some(true);
            return self.secret(&name, source.items.as_deref(), optional, path).await;
        }
        if let Some(source) = &volume.projected {
            return self.projected(pod, source, path).await;
        }
        Ok(())
    }

    async fn projected(
        &self,
        pod: &Pod,
        source: &ProjectedVolumeSource,
        path: &Path,
    ) -> Result<()> {
        for part in source.sources.iter().flatten() {
            self.part(pod, part, path).await?;
        }
        Ok(())
    }

    async fn part(&self, pod: &Pod, part: &VolumeProjection, path: &Path) -> Result<()> {
        if let Some(token) = &part.service_account_token {
            let text = self.token(pod, token.expiration_seconds).await?;
            write(path, &token.path, text.as_bytes())?;
        }
        if let Some(source) = &part.config_map {
            let optional = source.optional == Some(true);
            self.config_map(&source.name, source.items.as_deref(), optional, path).await?;
        }
        if let Some(source) = &part.secret {
            let optional = source.optional == Some(true);
            self.secret(&source.name, source.items.as_deref(), optional, path).await?;
        }
        let items = part.downward_api.iter().flat_map(|source| source.items.iter().flatten());
        for item in items {
            let field = item.field_ref.as_ref().map(|field| field.field_path.as_str());
            let value = super::container::field_value(pod, field.unwrap_or_default());
            write(path, &item.path, value.as_bytes())?;
        }
        Ok(())
    }

    async fn token(&self, pod: &Pod, seconds: Option<i64>) -> Result<String> {
        let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.clone());
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: seconds, ..Default::default() },
            ..Default::default()
        };
        let name = account.as_deref().unwrap_or("default");
        let answer = api.create_token_request(name, &Default::default(), &request).await?;
        Ok(answer.status.context("no token")?.token)
    }

    async fn config_map(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
        path: &Path,
    ) -> Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let object = api.get_opt(name).await?;
        if object.is_none() && !optional {
            anyhow::bail!("configmap {name:?} not found");
        }
        let object = object.unwrap_or_default();
        for (key, text) in object.data.iter().flatten() {
            write_key(path, key, text.as_bytes(), items)?;
        }
        for (key, bytes) in object.binary_data.iter().flatten() {
            write_key(path, key, &bytes.0, items)?;
        }
        Ok(())
    }

    async fn secret(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: bool,
        path: &Path,
    ) -> Result<()> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let object = api.get_opt(name).await?;
        if object.is_none() && !optional {
            anyhow::bail!("secret {name:?} not found");
        }
        for (key, bytes) in object.unwrap_or_default().data.iter().flatten() {
            write_key(path, key, &bytes.0, items)?;
        }
        Ok(())
    }
}

/// Writes a key under its own name, or under the names `items` gives it.
fn write_key(folder: &Path, key: &str, bytes: &[u8], items: Option<&[KeyToPath]>) -> Result<()> {
    let Some(items) = items else { return write(folder, key, bytes) };
    for item in items.iter().filter(|item| item.key == key) {
        write(folder, &item.path, bytes)?;
    }
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
    std::fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
}

//! Which kinds the member cluster serves, and under which paths.
//!
//! Owns the table from kind to path and when it is read anew. Must not know objects. Start at
//! [`Discovery::resolve`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kube::Client;
use runtime::ApiError;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Aggregated discovery: one request per root instead of one per group (Kubernetes 1.30 and later).
const AGGREGATED: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

// A kind that is missing is looked for again at most this often, whatever number of bundles want it.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// How one kind is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// `v1`, `apps/v1`, …
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Plural, the path segment.
    pub plural: String,
    /// Objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// Path of the collection, or of one object when `name` is given.
    #[must_use]
    pub fn path(&self, namespace: &str, name: &str) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        let mut path = format!("{root}/{}", self.api_version);
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(&self.plural);
        if !name.is_empty() {
            path.push('/');
            path.push_str(name);
        }
        path
    }
}

/// Everything the cluster serves at one moment.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    resources: BTreeMap<(String, String), Resource>,
    /// `v1`, `apps/v1`, … and `apps/v1/Deployment`, …: what charts ask `.Capabilities.APIVersions` for.
    pub api_versions: BTreeSet<String>,
    /// `v1.36.0`.
    pub kube_version: String,
}

impl Kinds {
    /// How a kind is reached, if it is served.
    #[must_use]
    pub fn get(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.resources.get(&(api_version.to_owned(), kind.to_owned()))
    }

    fn insert(&mut self, resource: Resource) {
        self.api_versions.insert(resource.api_version.clone());
        self.api_versions.insert(format!("{}/{}", resource.api_version, resource.kind));
        self.resources.insert((resource.api_version.clone(), resource.kind.clone()), resource);
    }
}

/// A cached table of kinds.
pub struct Discovery {
    client: Client,
    kinds: RwLock<Arc<Kinds>>,
    // Held while reading, so that many bundles that miss a kind read once.
    last_read: Mutex<Option<Instant>>,
}

impl Discovery {
    /// Makes an empty table; the first use fills it.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, kinds: RwLock::default(), last_read: Mutex::new(None) }
    }

    /// The table as last read, reading it if that never happened.
    pub async fn kinds(&self) -> Result<Arc<Kinds>, ApiError> {
        let mut last_read = self.last_read.lock().await;
        if last_read.is_none() {
            self.read(&mut last_read).await?;
        }
        Ok(self.current())
    }

    /// How a kind is reached; reads the table anew when the kind is not in it.
    pub async fn resolve(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Resource>, ApiError> {
        if let Some(resource) = self.current().get(api_version, kind) {
            return Ok(Some(resource.clone()));
        }
        self.refresh(SHORTEST_INTERVAL).await?;
        Ok(self.current().get(api_version, kind).cloned())
    }

    /// Reads the table anew unless it is younger than `age`.
    pub async fn refresh(&self, age: Duration) -> Result<(), ApiError> {
        let mut last_read = self.last_read.lock().await;
        if last_read.is_none_or(|at| at.elapsed() >= age) {
            self.read(&mut last_read).await?;
        }
        Ok(())
    }

    fn current(&self) -> Arc<Kinds> {
        Arc::clone(&self.kinds.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read(&self, last_read: &mut Option<Instant>) -> Result<(), ApiError> {
        let mut kinds = Kinds::default();
        let version: Value = self.get("/version").await?;
        kinds.kube_version = version["gitVersion"].as_str().unwrap_or_default().to_owned();
        self.read_root("/api", &mut kinds).await?;
        self.read_root("/apis", &mut kinds).await?;
        *self.kinds.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(kinds);
        *last_read = Some(Instant::now());
        Ok(())
    }

    async fn read_root(&self, root: &str, kinds: &mut Kinds) -> Result<(), ApiError> {
        let answer = self.get(root).await?;
        if answer["kind"] == "APIGroupDiscoveryList" {
            read_aggregated(&answer, kinds);
            return Ok(());
        }
        for version in group_versions(&answer) {
            // A group whose server is down must not hide the others.
            match self.get(&format!("{root}/{version}")).await {
                Ok(list) => read_legacy(&list, &version, kinds),
                Err(error) => {
                    tracing::debug!(version, error = runtime::chain(&error), "API group not served")
                }
            }
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value, ApiError> {
        let request = http::Request::get(path)
            .header(http::header::ACCEPT, AGGREGATED)
            .body(Vec::new())
            .map_err(|error| {
                ApiError::new(format!("read {path}"), kube::Error::HttpError(error))
            })?;
        let answer = self.client.request::<Value>(request).await;
        answer.map_err(|error| ApiError::new(format!("read {path}"), error))
    }
}

fn group_versions(answer: &Value) -> Vec<String> {
    let core = answer["versions"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let groups = answer["groups"].as_array().into_iter().flatten();
    let named = groups.flat_map(|group| group["versions"].as_array().into_iter().flatten());
    let named = named.filter_map(|version| version["groupVersion"].as_str());
    core.chain(named).map(str::to_owned).collect()
}

fn read_aggregated(answer: &Value, kinds: &mut Kinds) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for group in answer["items"].as_array().into_iter().flatten() {
        let name = text(&group["metadata"]["name"]);
        for version in group["versions"].as_array().into_iter().flatten() {
            let version_name = text(&version["version"]);
            let api_version =
                if name.is_empty() { version_name } else { format!("{name}/{version_name}") };
            for resource in version["resources"].as_array().into_iter().flatten() {
                kinds.insert(Resource {
                    api_version: api_version.clone(),
                    kind: text(&resource["responseKind"]["kind"]),
                    plural: text(&resource["resource"]),
                    namespaced: resource["scope"] == "Namespaced",
                });
            }
        }
    }
}

fn read_legacy(list: &Value, api_version: &str, kinds: &mut Kinds) {
    for resource in list["resources"].as_array().into_iter().flatten() {
        let plural = resource["name"].as_str().unwrap_or_default();
        if plural.contains('/') {
            continue;
        }
        kinds.insert(Resource {
            api_version: api_version.to_owned(),
            kind: resource["kind"].as_str().unwrap_or_default().to_owned(),
            plural: plural.to_owned(),
            namespaced: resource["namespaced"] == true,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_group_scope_and_name() {
        let mut resource = Resource {
            api_version: "apps/v1".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
            namespaced: true,
        };
        assert_eq!(resource.path("n", "a"), "/apis/apps/v1/namespaces/n/deployments/a");
        assert_eq!(resource.path("", ""), "/apis/apps/v1/deployments");
        resource.api_version = "v1".to_owned();
        resource.namespaced = false;
        assert_eq!(resource.path("ignored", "a"), "/api/v1/deployments/a");
    }
}

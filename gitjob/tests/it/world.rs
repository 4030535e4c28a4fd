//! A running gitjob on an embedded API server, with a recorder of every request it makes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bundle_format::api::{Bundle, GitRepo};
use http::Request;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams,
};
use kube::client::Body;
use kube::{Client, ResourceExt};
use runtime::http_server::BindAddress;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::git_server::GitServer;

const NAMESPACE: &str = "work";

pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) git: GitServer,
    /// Where webhooks are received.
    pub(crate) webhooks: String,
    /// Where metrics are served.
    metrics: String,
    writes: Arc<Mutex<Vec<String>>>,
    _gitjob: DropGuard,
    _dir: tempfile::TempDir,
}

/// A client that notes `METHOD path` of every request that is no read.
fn recorded(inner: Client, writes: &Arc<Mutex<Vec<String>>>) -> Client {
    let writes = Arc::clone(writes);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, writes) = (inner.clone(), Arc::clone(&writes));
        if request.method() != http::Method::GET {
            let line = format!("{} {}", request.method(), request.uri().path());
            writes.lock().unwrap().push(line);
        }
        async move { inner.send(request).await }
    });
    Client::new(service, "default")
}

/// What differs from the usual world.
#[derive(Default)]
pub(crate) struct Setup {
    /// `gitClientTimeout` of ConfigMap `fleet-controller`.
    pub(crate) git_timeout: Option<&'static str>,
    /// The definition of GitRepos checks no types, as an older one may.
    pub(crate) takes_anything: bool,
    /// How long a webhook's commit may take to become visible.
    pub(crate) webhook_window: Option<Duration>,
}

/// A hub with our definitions and one namespace.
async fn hub(setup: &Setup) -> Client {
    runtime::client::install_crypto_provider();
    let hub = hub::Hub::memory();
    hub.ready().await;
    let client = Client::new(hub, "default");
    for mut crd in bundle_format::api::crds::definitions() {
        if setup.takes_anything && crd["spec"]["names"]["kind"] == "GitRepo" {
            let anything = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
            let properties = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
            *crd.pointer_mut(properties).unwrap() = anything;
        }
        let crd: CustomResourceDefinition = serde_json::from_value(crd).unwrap();
        Api::all(client.clone()).create(&PostParams::default(), &crd).await.unwrap();
    }
    let metadata = ObjectMeta { name: Some(NAMESPACE.into()), ..Default::default() };
    let namespace = Namespace { metadata, ..Default::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    if let Some(limit) = setup.git_timeout {
        let config = json!({"gitClientTimeout": limit}).to_string();
        let map = json!({"metadata": {"name": "fleet-controller"}, "data": {"config": config}});
        let map: ConfigMap = serde_json::from_value(map).unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    client
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub(crate) async fn start_with(setup: Setup) -> Self {
        let client = hub(&setup).await;
        let writes: Arc<Mutex<Vec<String>>> = Arc::default();
        let stop = CancellationToken::new();
        let dir = tempfile::tempdir().unwrap();
        let (listen, address) = BindAddress::loopback().unwrap();
        let (metrics_address, metrics) = BindAddress::loopback().unwrap();
        let defaults = gitjob::GitjobConfig::default();
        let config = gitjob::GitjobConfig {
            listen,
            metrics_address,
            system_namespace: NAMESPACE.to_owned(),
            work_dir: dir.path().join("git"),
            webhook_window: setup.webhook_window.unwrap_or(defaults.webhook_window),
            ..defaults
        };
        let gitjob = gitjob::run(config, recorded(client.clone(), &writes), stop.clone());
        tokio::spawn(async { gitjob.await.expect("gitjob runs") });
        Self {
            client,
            namespace: NAMESPACE.to_owned(),
            git: GitServer::start().await,
            webhooks: format!("http://{address}/"),
            metrics: format!("http://{metrics}/metrics"),
            writes,
            _gitjob: stop.drop_guard(),
            _dir: dir,
        }
    }

    pub(crate) fn bundles(&self) -> Api<Bundle> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn repos(&self) -> Api<GitRepo> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates a GitRepo that polls every second.
    pub(crate) async fn git_repo(&self, name: &str, spec: Value) {
        let mut full = json!({"repo": self.git.repo(), "branch": "main", "pollingInterval": "1s"});
        for (key, value) in spec.as_object().unwrap() {
            full[key] = value.clone();
        }
        let repo = json!({"apiVersion": "fleet.cattle.io/v1alpha1", "kind": "GitRepo",
            "metadata": {"name": name}, "spec": full});
        let repo: GitRepo = serde_json::from_value(repo).unwrap();
        self.repos().create(&PostParams::default(), &repo).await.unwrap();
    }

    pub(crate) async fn patch(&self, name: &str, patch: Value) {
        let params = PatchParams::default();
        self.repos().patch(name, &params, &Patch::Merge(&patch)).await.unwrap();
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.repos().delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn bundle_names(&self) -> Vec<String> {
        let list = self.bundles().list(&ListParams::default()).await.unwrap();
        list.items.iter().map(ResourceExt::name_any).collect()
    }

    /// Waits until the GitRepo satisfies `wanted`.
    pub(crate) async fn until(&self, name: &str, wanted: impl Fn(&GitRepo) -> bool) -> GitRepo {
        for _ in 0..400 {
            let repo = self.repos().get_opt(name).await.unwrap();
            if let Some(repo) = repo.filter(|repo| wanted(repo)) {
                return repo;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let repo = self.repos().get_opt(name).await.unwrap();
        panic!("never came true; last seen: {:#?}", repo.map(|repo| repo.status));
    }

    /// Waits until the GitRepo reports this commit as published.
    pub(crate) async fn published(&self, name: &str, commit: &str) -> GitRepo {
        self.until(name, |repo| {
            repo.status
                .as_ref()
                .is_some_and(|s| s.commit == commit && s.git_job_status == "Current")
        })
        .await
    }

    /// Waits for an object that may not convert.
    pub(crate) async fn neighbour_until(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        wanted: impl Fn(&DynamicObject) -> bool,
    ) -> DynamicObject {
        for _ in 0..400 {
            let object = api.get(name).await.unwrap();
            if wanted(&object) {
                return object;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never came true; last seen: {:#?}", api.get(name).await.unwrap().data["status"]);
    }

    /// Waits for the commit of a GitRepo in a namespace where not all of them convert.
    pub(crate) async fn neighbour_published(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        commit: &str,
    ) {
        let wanted = |object: &DynamicObject| {
            object.data["status"]["commit"] == commit
                && object.data["status"]["gitJobStatus"] == "Current"
        };
        self.neighbour_until(api, name, wanted).await;
    }

    /// Writes a Secret into the namespace of the GitRepos.
    pub(crate) async fn secret(&self, name: &str, keys: Value) {
        let secret = json!({"metadata": {"name": name}, "stringData": keys});
        let path = runtime::objects::core(&self.namespace, "secrets");
        runtime::objects::ensure(&self.client, &path, &secret).await.unwrap();
    }

    /// Waits until the metrics say it.
    pub(crate) async fn until_told(&self, wanted: impl Fn(&str) -> bool) {
        let mut told = String::new();
        for _ in 0..200 {
            told = reqwest::get(&self.metrics).await.unwrap().text().await.unwrap();
            if wanted(&told) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("never told; last: {told}");
    }

    /// Events about GitRepos with this reason.
    pub(crate) async fn events(&self, reason: &str) -> Vec<Event> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let list = events.list(&ListParams::default()).await.unwrap();
        list.into_iter().filter(|event| event.reason.as_deref() == Some(reason)).collect()
    }

    /// Requests of gitjob that were no reads, Events left out, since the last call.
    pub(crate) fn writes(&self) -> Vec<String> {
        let writes = std::mem::take(&mut *self.writes.lock().unwrap());
        let prefix = format!("/apis/fleet.cattle.io/v1alpha1/namespaces/{}/", self.namespace);
        let ours = writes.into_iter().filter(|line| !line.contains("events.k8s.io"));
        ours.map(|line| line.replace(&prefix, "")).collect()
    }
}

pub(crate) fn condition(repo: &GitRepo, kind: &str) -> (String, String) {
    let conditions = repo.status.iter().flat_map(|status| &status.conditions);
    let found = conditions.into_iter().find(|condition| condition.type_ == kind);
    found.map(|c| (c.status.clone(), c.message.clone())).unwrap_or_default()
}

//! One server: its store, kinds, world and workers, and the way of a request through them.
//!
//! Owns the dispatch from route to verb and the registry's refresh. Start at [`Server::answer`].

use std::sync::{Arc, Mutex, Once, PoisonError, RwLock};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, header};
use serde_json::Value;

use crate::authn::{Remote, Tokens};
use crate::authority::Authority;
use crate::authz::{Attributes, Rbac};
use crate::body::{self, HubResponse};
use crate::error::ApiError;
use crate::gc;
use crate::media::View;
use crate::meta::World;
use crate::registry::{CRDS, Kind, Registry};
use crate::route::{Query, ResourcePath, Route};
use crate::selector::Selector;
use crate::simulate::Simulation;
use crate::store::{Key, Scope, Store};
use crate::{User, builtin, discovery, verbs};

/// The parts of a running server that verbs work with.
pub(crate) struct Server {
    pub(crate) store: Store,
    pub(crate) world: World,
    registry: RwLock<Arc<Registry>>,
    pub(crate) jobs: gc::Jobs,
    started: Once,
    bootstrap: tokio::sync::OnceCell<()>,
    /// Serialises reads of all CRDs, so that an older set never replaces a newer one.
    refreshing: Mutex<()>,
    pub(crate) authority: Authority,
    pub(crate) tokens: Tokens,
    pub(crate) rbac: RwLock<Rbac>,
    pub(crate) simulation: Option<Simulation>,
}

/// One request on a resource, everything read and checked that needs no store.
pub(crate) struct Call {
    pub(crate) kind: Arc<Kind>,
    pub(crate) path: ResourcePath,
    pub(crate) query: Query,
    pub(crate) user: User,
    pub(crate) view: View,
    pub(crate) content_type: String,
    /// Field manager: the query's, or the first word of the user agent.
    pub(crate) manager: String,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn key(&self, name: &str) -> Key {
        Key::new(&self.kind.resource, self.path.namespace.as_deref(), name)
    }

    /// The call as authorization sees it.
    fn attributes(&self, method: &Method) -> Attributes {
        let named = self.path.name.is_some();
        let verb = match (method.as_str(), named) {
            ("GET" | "HEAD", _) if self.query.flag("watch") && self.path.subresource.is_none() => {
                "watch"
            }
            ("GET" | "HEAD", true) => "get",
            ("GET" | "HEAD", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "delete",
            ("DELETE", false) => "deletecollection",
            _ => "",
        };
        let selected = self
            .query
            .text("fieldSelector")
            .and_then(|fields| Selector::parse(None, Some(fields)).ok()?.name().map(str::to_owned));
        let plural = &self.kind.plural;
        Attributes {
            verb: verb.to_owned(),
            // A namespace is named, not entered.
            namespace: match (self.kind.namespaced, plural.as_str()) {
                (false, "namespaces") => self.name().to_owned(),
                _ => self.path.namespace.clone().unwrap_or_default(),
            },
            group: self.kind.group.clone(),
            resource: match &self.path.subresource {
                Some(sub) => format!("{plural}/{sub}"),
                None => plural.clone(),
            },
            name: self.path.name.clone().or(selected).unwrap_or_default(),
            path: String::new(),
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope {
            resource: self.kind.resource.clone(),
            namespace: self.path.namespace.as_deref().map(Into::into),
        }
    }

    /// The call without its body, for a stream that outlives the request.
    pub(crate) fn clone_head(&self) -> Call {
        Call {
            kind: self.kind.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
            user: self.user.clone(),
            view: self.view,
            content_type: String::new(),
            manager: self.manager.clone(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn about(&self) -> crate::error::About {
        self.kind.about(self.name())
    }
}

impl Server {
    pub(crate) fn new(
        store: Store,
        world: World,
        authority: Authority,
        simulation: Option<Simulation>,
    ) -> Server {
        let server = Server {
            tokens: Tokens::new(&authority.token_key),
            authority,
            rbac: RwLock::default(),
            simulation,
            store,
            world,
            registry: RwLock::default(),
            jobs: gc::Jobs::new(),
            started: Once::new(),
            bootstrap: tokio::sync::OnceCell::new(),
            refreshing: Mutex::new(()),
        };
        server.refresh_registry();
        server.load_rbac();
        server
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the kinds of all CRDs again.
    pub(crate) fn refresh_registry(&self) {
        let _one_at_a_time = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        let scope = Scope { resource: CRDS.into(), namespace: None };
        let crds: Vec<Value> = match self.store.list(&scope, "", usize::MAX, 0) {
            Ok(page) => page.entries.iter().map(|(_, entry)| entry.value()).collect(),
            Err(_) => return,
        };
        let fresh = Arc::new(Registry::from_crds(crds.iter()));
        *self.registry.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    /// A kind, also one whose CRD was written a moment ago.
    pub(crate) fn find_kind(&self, path: &ResourcePath) -> Option<Arc<Kind>> {
        let find = || self.registry().find(&path.group, &path.version, &path.plural);
        find().or_else(|| {
            self.refresh_registry();
            find()
        })
    }

    /// Starts the workers on the caller's runtime and writes the objects every cluster has.
    pub(crate) async fn start(self: &Arc<Self>) {
        self.started.call_once(|| gc::start(self));
        self.bootstrap.get_or_init(|| verbs::bootstrap::write_system_objects(self)).await;
    }

    /// Answers one request.
    pub(crate) async fn answer(self: &Arc<Self>, parts: &Parts, body: Bytes) -> HubResponse {
        self.start().await;
        match self.dispatch(parts, body).await {
            Ok(response) => response,
            Err(error) => body::error(&error),
        }
    }

    async fn dispatch(
        self: &Arc<Self>,
        parts: &Parts,
        body: Bytes,
    ) -> Result<HubResponse, ApiError> {
        let header =
            |name| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let accept = header(header::ACCEPT);
        let registry = self.registry();
        let user = self.authenticate(
            header(header::AUTHORIZATION),
            parts.extensions.get::<User>(),
            parts.extensions.get::<Remote>(),
        )?;
        let user = self.impersonate(user, &parts.headers)?;
        let route = Route::parse(parts.uri.path());
        if !matches!(route, Route::Resource(_)) {
            let path = parts.uri.path().to_owned();
            let verb = parts.method.as_str().to_lowercase();
            self.authorize(&user, &Attributes { verb, path, ..Attributes::default() })?;
        }
        let found = match route {
            Route::Resource(path) => {
                let query = Query::parse(parts.uri.query().unwrap_or_default());
                let agent = header(header::USER_AGENT);
                let manager = query.text("fieldManager").unwrap_or_else(|| {
                    agent.split('/').next().filter(|a| !a.is_empty()).unwrap_or("unknown")
                });
                let Some(kind) = self.find_kind(&path) else {
                    return self.unknown_kind(&user, &path, &parts.method);
                };
                let call = Call {
                    manager: manager.to_owned(),
                    kind,
                    path,
                    user,
                    view: View::parse(accept)?,
                    content_type: header(header::CONTENT_TYPE).to_owned(),
                    query,
                    body,
                };
                return self.dispatch_resource(&parts.method, call).await;
            }
            Route::CoreVersions => Some(discovery::core_versions(&registry, accept)),
            Route::Groups => Some(discovery::groups(&registry, accept)),
            Route::Group(group) => discovery::group(&registry, &group),
            Route::Resources { group, version } => {
                let found = discovery::resources(&registry, &group, &version);
                if found.is_none() && group.is_empty() {
                    return Err(ApiError::no_resource());
                }
                found
            }
            Route::OpenApiV3Index => Some(discovery::openapi_index(&registry)),
            Route::OpenApiV3(path) => {
                let found = discovery::openapi_document(&registry, &path);
                Some(found.unwrap_or_else(|| body::text(404, "")))
            }
            Route::OpenApiV2 => Some(discovery::openapi_v2(&registry)),
            Route::Version => Some(body::json(200, builtin::version())),
            Route::Health => Some(body::text(200, "ok")),
            Route::Root => Some(discovery::root(&registry)),
            Route::OpenIdConfiguration => Some(body::json(200, &Tokens::openid_configuration())),
            Route::Jwks => Some(body::json(200, &self.tokens.jwks())),
            Route::Unknown => None,
        };
        Ok(found.unwrap_or_else(page_not_found))
    }

    async fn dispatch_resource(
        self: &Arc<Self>,
        method: &Method,
        call: Call,
    ) -> Result<HubResponse, ApiError> {
        let is_misplaced = match (call.kind.namespaced, &call.path.namespace) {
            (true, None) => call.path.name.is_some(),
            (scoped, namespace) => !scoped && namespace.is_some(),
        };
        if is_misplaced {
            return Ok(page_not_found());
        }
        self.authorize(&call.user, &call.attributes(method))?;
        let deprecation = call.kind.deprecation.clone();
        let answer = self.run_verb(method, call).await?;
        Ok(body::warn(answer, deprecation.as_slice()))
    }

    async fn run_verb(
        self: &Arc<Self>,
        method: &Method,
        call: Call,
    ) -> Result<HubResponse, ApiError> {
        verbs::options::check(method, &call)?;
        if let Some(subresource) = call.path.subresource.clone() {
            return verbs::subresource(self, method, call, &subresource).await;
        }
        let named = call.path.name.is_some();
        let is_whole_cluster = call.kind.namespaced && call.path.namespace.is_none();
        match (method.as_str(), named) {
            ("POST" | "DELETE", false) if is_whole_cluster && !verbs::review::is_review(&call) => {
                Err(method_not_allowed())
            }
            ("DELETE", false) if !call.kind.has_verb("deletecollection") => {
                Err(method_not_allowed())
            }
            ("GET" | "HEAD", _) if call.query.flag("watch") => verbs::watch::watch(self, &call),
            ("GET" | "HEAD", true) => verbs::get::get(self, &call),
            ("GET" | "HEAD", false) => verbs::list::list(self, &call),
            ("POST", false) if verbs::review::is_review(&call) => {
                verbs::review::create(self, &call)
            }
            ("POST", false) => verbs::create::create(self, call).await,
            ("PUT", true) => verbs::update::update(self, &call).await,
            ("PATCH", true) => verbs::patch::patch(self, &call).await,
            ("DELETE", true) => verbs::delete::delete(self, &call).await,
            ("DELETE", false) => verbs::delete::delete_collection(self, &call).await,
            _ => Err(method_not_allowed()),
        }
    }
}

impl Server {
    /// A resource that no kind is served for: whoever may not even ask hears that first.
    fn unknown_kind(
        &self,
        user: &User,
        path: &ResourcePath,
        method: &Method,
    ) -> Result<HubResponse, ApiError> {
        let verb = match (method.as_str(), path.name.is_some()) {
            ("GET", false) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", _) => "delete",
            _ => "get",
        };
        let wanted = Attributes {
            verb: verb.to_owned(),
            namespace: path.namespace.clone().unwrap_or_default(),
            group: path.group.clone(),
            resource: path.plural.clone(),
            name: path.name.clone().unwrap_or_default(),
            path: String::new(),
        };
        self.authorize(user, &wanted)?;
        let is_served = |kind: &Kind| kind.group == path.group && kind.version == path.version;
        if self.registry().all().any(|kind| !kind.is_custom() && is_served(&kind)) {
            return Err(ApiError::no_resource());
        }
        Ok(page_not_found())
    }

    /// An apply or update that makes an object needs the right to create it too.
    pub(crate) fn authorize_create(&self, call: &Call) -> Result<(), ApiError> {
        let wanted = Attributes { verb: "create".to_owned(), ..call.attributes(&Method::POST) };
        self.authorize(&call.user, &wanted)
    }
}

pub(crate) fn method_not_allowed() -> ApiError {
    let message = "the server does not allow this method on the requested resource";
    ApiError::generic(405, "MethodNotAllowed", message)
}

fn page_not_found() -> HubResponse {
    body::text(404, "404 page not found\n")
}

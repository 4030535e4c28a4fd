//! Accounts, tokens and roles.

use base64::Engine as _;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hub::{Hub, User};
use serde_json::{Value, json};

use crate::support::{config_map, delete, eventually, get, post};

const SECRETS: &str = "/api/v1/namespaces/default/secrets";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";

/// An account `a` with a token Secret; returns the token.
async fn account_with_token(hub: &Hub) -> String {
    let account = json!({"metadata": {"name": "a"}});
    post(hub, "/api/v1/namespaces/default/serviceaccounts", account).await;
    let secret = json!({"metadata": {"name": "t", "annotations": {
        "kubernetes.io/service-account.name": "a"}}, "type": "kubernetes.io/service-account-token"});
    post(hub, SECRETS, secret).await;
    let path = format!("{SECRETS}/t");
    eventually(|| async { get(hub, &path).await.body["data"]["token"].is_string() }).await;
    let secret = get(hub, &path).await.body;
    assert!(secret["data"]["ca.crt"].is_string() && secret["data"]["namespace"] == "ZGVmYXVsdA==");
    let token = secret["data"]["token"].as_str().expect("filled");
    let token = base64::engine::general_purpose::STANDARD.decode(token).expect("base64");
    String::from_utf8(token).expect("text")
}

async fn as_token(hub: &Hub, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {token}"));
    let response = hub.answer(request.body(Full::new(Bytes::from(text))).expect("request")).await;
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.expect("body").to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn allow_config_maps(hub: &Hub) {
    let role = json!({"metadata": {"name": "r"}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create"]}]});
    post(hub, &format!("{ROLES}/roles"), role).await;
    let binding = json!({"metadata": {"name": "b"}, "roleRef": {"kind": "Role", "name": "r",
        "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "default"}]});
    post(hub, &format!("{ROLES}/rolebindings"), binding).await;
}

#[tokio::test]
async fn a_token_gives_what_its_roles_give_and_dies_with_its_secret() {
    let hub = Hub::memory();
    let token = account_with_token(&hub).await;
    let (code, answer) = as_token(&hub, &token, "POST", MAPS, config_map("x")).await;
    // The words of kube-apiserver 1.36.
    assert_eq!(
        (code, answer["message"].as_str()),
        (
            403,
            Some(
                "configmaps is forbidden: User \"system:serviceaccount:default:a\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"default\""
            )
        )
    );
    allow_config_maps(&hub).await;
    assert_eq!(as_token(&hub, &token, "POST", MAPS, config_map("x")).await.0, 201);
    let (code, _) = as_token(&hub, &token, "DELETE", &format!("{MAPS}/x"), Value::Null).await;
    assert_eq!(code, 403);
    delete(&hub, &format!("{SECRETS}/t")).await;
    assert_eq!(as_token(&hub, &token, "GET", &format!("{MAPS}/x"), Value::Null).await.0, 401);
}

#[tokio::test]
async fn a_forged_token_is_refused() {
    let hub = Hub::memory();
    let token = account_with_token(&hub).await;
    let other = account_with_token(&Hub::memory()).await;
    let signature = other.rsplit_once('.').expect("signed").1;
    let forged = format!("{}.{signature}", token.rsplit_once('.').expect("signed").0);
    for bad in [forged.as_str(), other.as_str(), "x", "a.b.c", ""] {
        assert_eq!(as_token(&hub, bad, "GET", MAPS, Value::Null).await.0, 401, "{bad}");
    }
}

#[tokio::test]
async fn nobody_gives_more_than_they_have() {
    let hub = Hub::memory();
    let token = account_with_token(&hub).await;
    let role = |verbs: Value| {
        json!({"metadata": {"name": "maker"}, "rules": [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]})
    };
    post(&hub, &format!("{ROLES}/roles"), role(json!(["get"]))).await;
    let binding = json!({"metadata": {"name": "maker"}, "roleRef": {"kind": "Role", "name": "maker",
        "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "default"}]});
    post(&hub, &format!("{ROLES}/rolebindings"), binding).await;
    let wanted = |name: &str, verbs: Value| {
        json!({"metadata": {"name": name}, "rules": [
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]})
    };
    let path = format!("{ROLES}/roles");
    assert_eq!(as_token(&hub, &token, "POST", &path, wanted("same", json!(["get"]))).await.0, 201);
    let (code, _) =
        as_token(&hub, &token, "POST", &path, wanted("more", json!(["get", "delete"]))).await;
    assert_eq!(code, 403);
}

#[tokio::test]
async fn a_token_request_answers_with_a_token_that_ends() {
    let now = std::sync::Arc::new(std::sync::atomic::AtomicI64::new(1_800_000_000));
    let ticking = now.clone();
    let clock: hub::Clock = std::sync::Arc::new(move || {
        let seconds = ticking.load(std::sync::atomic::Ordering::SeqCst);
        "1970-01-01T00:00:00Z".parse::<jiff::Timestamp>().expect("time")
            + jiff::SignedDuration::from_secs(seconds)
    });
    let options = hub::Options { clock: Some(clock), ..hub::Options::default() };
    let hub = Hub::open(&options).expect("opened");
    account_with_token(&hub).await;
    let path = "/api/v1/namespaces/default/serviceaccounts/a/token";
    let made = post(&hub, path, json!({"spec": {"expirationSeconds": 600}})).await;
    assert_eq!(made.code, 201, "{}", made.body);
    let token = made.body["status"]["token"].as_str().expect("token").to_owned();
    assert_eq!(as_token(&hub, &token, "GET", MAPS, Value::Null).await.0, 403);
    now.fetch_add(601, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(as_token(&hub, &token, "GET", MAPS, Value::Null).await.0, 401);
}

#[tokio::test]
async fn a_client_certificate_names_the_user_over_tls_and_nobody_else_gets_in() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let hub = Hub::memory();
    let address = "127.0.0.1:0".parse().expect("address");
    let listening = hub.listen(address, &[]).await.expect("listening");
    let who = |user: Option<User>| {
        let mut info = kube::config::AuthInfo::default();
        if let Some(user) = user {
            let identity = hub.client_identity(&user).expect("identity");
            let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
            info.client_certificate_data = Some(encode(&identity.certificate));
            info.client_key_data = Some(encode(&identity.key).into());
        }
        let url = format!("https://{}", listening.address()).parse().expect("url");
        let mut config = kube::Config::new(url);
        config.auth_info = info;
        let pem =
            rustls::pki_types::pem::PemObject::from_pem_slice(hub.ca_certificate().as_bytes());
        let der: rustls::pki_types::CertificateDer<'static> = pem.expect("PEM");
        config.root_cert = Some(vec![der.to_vec()]);
        kube::Client::try_from(config).expect("client")
    };
    let list = |client: kube::Client| async move {
        let kind = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::gvk(
            "",
            "v1",
            "Namespace",
        ));
        let api: kube::Api<kube::api::DynamicObject> = kube::Api::all_with(client, &kind);
        api.list(&kube::api::ListParams::default()).await.map(|l| l.items.len())
    };
    assert_eq!(list(who(Some(User::administrator()))).await.expect("allowed"), 4);
    let nobody = User { name: "jane".into(), groups: Vec::new(), uid: String::new() };
    for (user, text) in [
        (Some(nobody), "User \"jane\" cannot list"),
        (None, "User \"system:anonymous\" cannot list"),
    ] {
        let error = list(who(user)).await.expect_err("refused").to_string();
        assert!(error.contains(text), "{error}");
    }
    listening.stop();
}

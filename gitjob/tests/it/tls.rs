//! Git servers with a certificate nobody knows.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::world::{World, condition};

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\n";

/// A TLS front for a plain server; ends when dropped.
pub(crate) struct Front {
    /// `https://host:port`.
    pub(crate) url: String,
    /// The certificate, which signs itself.
    pub(crate) pem: String,
    task: JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    pub(crate) async fn start(plain: &str) -> Self {
        let name = "127.0.0.1".to_owned();
        let made = rcgen::generate_simple_self_signed(vec![name]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let behind = plain.trim_start_matches("http://").to_owned();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, behind) = (acceptor.clone(), behind.clone());
                tokio::spawn(async move {
                    // Who does not trust the certificate ends the handshake.
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut plain = TcpStream::connect(&behind).await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut plain).await);
                });
            }
        });
        Self { url, pem: made.cert.pem(), task }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_counts_when_the_gitrepo_brings_it_or_asks_for_no_check() {
    let world = World::start().await;
    let commit = world.git.commit(&[("a/m.yaml", Some(MAP))]);
    let front = Front::start(&world.git.url).await;
    let repo = format!("{}/repo.git", front.url);
    world.git_repo("strict", json!({"repo": repo})).await;
    let held = world.until("strict", |held| condition(held, "GitPolling").0 == "False").await;
    let (_, message) = condition(&held, "GitPolling");
    assert!(message.to_lowercase().contains("certificate"), "{message}");
    // Of another server's certificate it is no use.
    let other = Front::start(&world.git.url).await;
    let bundle = |front: &Front| json!({"repo": repo, "caBundle": STANDARD.encode(&front.pem)});
    world.git_repo("wrong", bundle(&other)).await;
    world.until("wrong", |held| condition(held, "GitPolling").0 == "False").await;
    world.git_repo("trusting", bundle(&front)).await;
    world.published("trusting", &commit).await;
    world.git_repo("careless", json!({"repo": repo, "insecureSkipTLSVerify": true})).await;
    world.published("careless", &commit).await;
    assert_eq!(world.bundle_names().await, ["careless", "trusting"]);
}

//! Whose certificates are believed.

use std::time::Duration;

use gitjob::net::{Access, Ask, Fetcher, NetError, Reply};
use http::HeaderMap;
use hub::{Hub, Options};

/// Asks a server whose certificate its own CA signed.
async fn ask(fetcher: &Fetcher, address: &str) -> Result<Reply, NetError> {
    let url = format!("https://{address}/version").parse().unwrap();
    let access = &Access::default();
    let (headers, timeout) = (HeaderMap::new(), Duration::from_secs(10));
    fetcher.send(Ask { url, access, headers, body: None, bytes_max: 10_000, timeout }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ca_of_a_proxy_is_trusted_for_every_server() {
    runtime::client::install_crypto_provider();
    let hub = Hub::open(&Options::default()).unwrap();
    let listening = hub.listen("127.0.0.1:0".parse().unwrap(), &[]).await.unwrap();
    hub.ready().await;
    let address = listening.address().to_string();

    let plain = ask(&Fetcher::new("test"), &address).await;
    assert!(matches!(plain, Err(NetError::Unreachable { .. })), "{plain:?}");
    let trusting = Fetcher::new("test").trusting(hub.ca_certificate());
    // It answers, be it that it wants to know who asks.
    let told = ask(&trusting, &address).await;
    assert!(matches!(told, Ok(_) | Err(NetError::Status { .. })), "{told:?}");

    let broken = ask(&Fetcher::new("test").trusting("no certificate"), &address).await;
    let text = broken.unwrap_err().to_string();
    assert!(text.contains("PROXY_CA_BUNDLE holds no certificate in PEM form"), "{text}");
}

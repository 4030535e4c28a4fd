//! Runs one hub: `cargo run -p hub --example serve -- PORT KUBECONFIG [DATA_FOLDER]`.
//!
//! Writes an administrator's kubeconfig and serves until it is interrupted. For trying kubectl on
//! it and for comparing it with a kube-apiserver; `fleet up` is the real thing.

use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or(format!("missing argument: {what}"));
    let address: SocketAddr = format!("127.0.0.1:{}", next("PORT")?).parse()?;
    let kubeconfig = PathBuf::from(next("KUBECONFIG")?);
    let data = next("DATA_FOLDER").ok().map(PathBuf::from);
    let hub = hub::Hub::open(&hub::Options { data, ..hub::Options::default() })?;
    let listening = hub.listen(address, &[]).await?;
    hub.ready().await;
    let admin = hub.client_identity(&hub::User::administrator())?;
    let encode = |text: &str| STANDARD.encode(text);
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: hub\n\
         clusters: [{{name: hub, cluster: {{server: 'https://{}', certificate-authority-data: {}}}}}]\n\
         users: [{{name: admin, user: {{client-certificate-data: {}, client-key-data: {}}}}}]\n\
         contexts: [{{name: hub, context: {{cluster: hub, user: admin}}}}]\n",
        listening.address(),
        encode(hub.ca_certificate()),
        encode(&admin.certificate),
        encode(&admin.key),
    );
    hub::write_private(&kubeconfig, &text)?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}

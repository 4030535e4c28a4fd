//! The `fleet` binary.

use std::process::ExitCode;

use cli::Ui;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    runtime::client::install_crypto_provider();
    let mut ui = Ui::of_process();
    // Two workers: the processes wait for the network nearly all of the time.
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match tokio {
        Ok(tokio) => tokio.block_on(cli::run(std::env::args_os(), &mut ui)),
        Err(error) => {
            ui.fail(&anyhow::Error::new(error).context("starting the runtime"));
            ExitCode::FAILURE
        }
    }
}

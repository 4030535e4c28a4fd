//! The `fleet` binary.

use std::process::ExitCode;

use cli::Ui;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), &mut Ui::of_process())
}

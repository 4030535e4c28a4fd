//! `fleet down`: ends a `fleet up` from another terminal.
//!
//! Start at [`run`].

use std::path::PathBuf;

use clap::Args;

use super::data;
use crate::Ui;

/// End the fleet that `fleet up` started
///
/// Waits until its process has ended. What it stored stays: the next `fleet up` goes on from there.
#[derive(Clone, Debug, Args)]
pub struct DownArgs {
    /// Folder that the fleet was started with [default: $XDG_DATA_HOME/fleet-up]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

/// Ends it; nothing to end is no error.
pub fn run(args: &DownArgs, ui: &mut Ui) -> anyhow::Result<()> {
    match data::ask_to_end(args.data.as_deref())? {
        true => ui.out("ended\n"),
        false => {
            ui.note("no fleet runs there");
            Ok(())
        }
    }
}

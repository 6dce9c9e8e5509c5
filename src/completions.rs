use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{
    Cli,
    failure::{Outcome, good},
    terminal,
};

/// Print what a shell needs to complete commands and options
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  quipu completions bash > ~/.local/share/bash-completion/completions/quipu
  quipu completions zsh > ~/.zfunc/_quipu                  with ~/.zfunc in fpath
  quipu completions fish > ~/.config/fish/completions/quipu.fish")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn execute(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "quipu", &mut script);
    let mut out = terminal::out();
    out.write_all(&script)?;
    out.flush()?;
    good()
}

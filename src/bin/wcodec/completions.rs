//! `wcodec completions`.

use crate::failure::Failure;
use crate::output;
use clap_complete::Shell;

/// Print a script that completes commands and flags in a shell
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  wcodec completions bash > ~/.local/share/bash-completion/completions/wcodec
  wcodec completions zsh > ~/.zfunc/_wcodec
  wcodec completions fish > ~/.config/fish/completions/wcodec.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, mut program: clap::Command) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "wcodec", &mut script);
        output::print(&String::from_utf8_lossy(&script))
    }
}

//! The `wcodec` program.
#![deny(unsafe_code)]

#[cfg(feature = "eval")]
mod baseline;
mod bench;
mod completions;
mod decode;
#[cfg(any(feature = "run", feature = "eval"))]
mod device;
mod encode;
#[cfg(feature = "eval")]
mod eval;
mod failure;
mod input;
mod inspect;
mod memory;
mod output;
#[cfg(feature = "eval")]
mod page;
mod progress;
mod publish;
#[cfg(feature = "hub")]
mod pull;
mod quantised;
#[cfg(feature = "run")]
mod run;
mod synth;
mod table;
mod verify;

use clap::{Args, CommandFactory, Parser, Subcommand};
use failure::Failure;
use std::process::ExitCode;
use wcodec::{Backend, DecodeOptions, EncodeOptions};

const ABOUT: &str =
    "Make checkpoints of large language models smaller, with every bit kept or within limits on what is lost";

const LONG_ABOUT: &str = "\
Make checkpoints of large language models smaller, with every bit kept, or within limits on what is lost.

wcodec turns safetensors files, and folders of them, into .wcodec files that are about a third \
smaller for BF16 weights. Every byte of the original comes back on decoding, and a program can load \
tensors straight from the .wcodec file. Where a goal is given, weights are quantised: files are far smaller, and decode to other weights.";

const EXAMPLES: &str = "\
Examples:
  wcodec encode model.safetensors              write model.wcodec
  wcodec verify model.wcodec                   decode it all, check every digest
  wcodec inspect model.wcodec                  what was saved, tensor by tensor
  wcodec decode model.wcodec -o copy.safetensors
  wcodec encode Llama-3.2-1B -o small          a model folder: shards, config, tokenizer

No model at hand?
  wcodec synth --model smollm2-135m -o model.safetensors
  wcodec bench model.safetensors

Exit status: 0 fine; 1 it differs, is corrupt, or could not be read or written; 2 wrong usage; \
130 interrupted.";

#[derive(Parser)]
#[command(name = "wcodec", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// Flags of every command.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Global options")]
struct Global {
    /// Print one JSON object with the result (or the error) on stdout; progress stays on stderr
    #[arg(long, global = true)]
    json: bool,
    /// No progress and no remarks on stderr: errors alone. Results are printed all the same
    #[arg(long, short, global = true)]
    quiet: bool,
    /// Threads to use [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = parse_threads)]
    threads: Option<usize>,
    /// Instructions to use: scalar, avx2, avx512 or neon [default: the fastest of this CPU]
    #[arg(long, global = true, value_name = "NAME", value_parser = parse_backend)]
    #[arg(
        long_help = "Instructions to use: scalar, avx2, avx512 or neon. Every backend gives the same \
                       bytes. The default is the fastest that this CPU can run, or what the environment variable \
                       WCODEC_BACKEND says"
    )]
    backend: Option<Backend>,
}

impl Global {
    fn decode_options(&self) -> DecodeOptions {
        let options = DecodeOptions::default();
        self.backend.map_or(options, |backend| options.backend(backend))
    }

    fn encode_options(&self) -> EncodeOptions {
        let options = EncodeOptions::lossless();
        self.backend.map_or(options, |backend| options.backend(backend))
    }
}

#[derive(Subcommand)]
enum Command {
    Encode(encode::Encode),
    Decode(decode::Decode),
    Verify(verify::Verify),
    Inspect(inspect::Inspect),
    #[cfg(feature = "hub")]
    Pull(pull::Pull),
    Publish(publish::Publish),
    #[cfg(feature = "run")]
    Run(run::Run),
    Synth(synth::Synth),
    Bench(bench::Bench),
    #[cfg(feature = "eval")]
    Eval(Box<eval::Eval>),
    #[cfg(feature = "eval")]
    Baseline(baseline::Baseline),
    Completions(completions::Completions),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(cli.global.json),
    }
}

/// Help and version go to stdout with status 0; mistakes to stderr with status 2.
fn usage(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().any(|arg| arg == "--json");
    if error.use_stderr() && wants_json {
        let text = error.render().to_string();
        // On one line, all of it: what is missing is not on the first.
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        return Failure::usage(line.strip_prefix("error: ").unwrap_or(&line)).report(true);
    }
    // Nothing is left to do if stdout or stderr is gone.
    let _ = error.print();
    if error.use_stderr() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    // `bench` makes its own thread pools, one after the other.
    if let Some(threads) = cli.global.threads
        && !matches!(cli.command, Command::Bench(_))
    {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        pool.map_err(|e| Failure::usage(format!("cannot start {threads} threads: {e}")))?;
    }
    match &cli.command {
        Command::Encode(command) => command.run(&cli.global),
        Command::Decode(command) => command.run(&cli.global),
        Command::Verify(command) => command.run(&cli.global),
        Command::Inspect(command) => command.run(&cli.global),
        #[cfg(feature = "hub")]
        Command::Pull(command) => command.run(&cli.global),
        Command::Publish(command) => command.run(&cli.global),
        #[cfg(feature = "run")]
        Command::Run(command) => command.run(&cli.global),
        Command::Synth(command) => command.run(&cli.global),
        Command::Bench(command) => command.run(&cli.global),
        #[cfg(feature = "eval")]
        Command::Eval(command) => command.run(&cli.global),
        #[cfg(feature = "eval")]
        Command::Baseline(command) => command.run(&cli.global),
        Command::Completions(command) => command.run(Cli::command()),
    }
}

fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("a number from 1 to 1024 is needed".into()),
    }
}

fn parse_backend(text: &str) -> Result<Backend, String> {
    text.parse().map_err(|e: wcodec::Error| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }
}

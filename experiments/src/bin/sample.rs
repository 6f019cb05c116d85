//! Samples a target density from its energy alone, and measures the result.

use experiments::commands::sample;
use experiments::run::cli::parse;

fn main() -> std::process::ExitCode {
    sample::main(&parse())
}

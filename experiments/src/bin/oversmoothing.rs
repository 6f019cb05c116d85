//! Dirichlet energy and accuracy against depth.

use experiments::commands::oversmoothing;
use experiments::run::cli::parse;

fn main() -> std::process::ExitCode {
    oversmoothing::main(&parse())
}

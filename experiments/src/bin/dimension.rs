//! Effective shares of importance weights against the dimension.

use experiments::commands::dimension;
use experiments::run::cli::parse;

fn main() -> std::process::ExitCode {
    dimension::main(&parse())
}

//! Draws the learning curves of several runs over each other, or what they came to against what they cost.

use experiments::commands::compare;
use experiments::run::cli::parse;

fn main() -> std::process::ExitCode {
    compare::main(&parse())
}

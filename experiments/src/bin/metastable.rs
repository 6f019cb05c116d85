//! All programs as sub-commands of one.

use experiments::commands::metastable;
use experiments::run::cli::parse_by;

fn main() -> std::process::ExitCode {
    metastable::main(&parse_by(metastable::command()))
}

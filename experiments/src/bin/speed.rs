//! Times whole training steps: one JSON line for each workload.

use experiments::commands::speed;
use experiments::run::cli::parse;

fn main() -> std::process::ExitCode {
    speed::main(&parse())
}

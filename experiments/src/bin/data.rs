//! What graph data there are, what they hold, whether they are sound; importing and fetching them.

use experiments::commands::data;
use experiments::run::cli::parse;

fn main() -> std::process::ExitCode {
    data::main(&parse())
}

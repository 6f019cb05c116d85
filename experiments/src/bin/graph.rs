//! Trains GRADE, or one of its rivals, to classify the nodes of a graph.

use experiments::commands::graph;
use experiments::run::cli::parse;

fn main() -> std::process::ExitCode {
    graph::main(&parse())
}

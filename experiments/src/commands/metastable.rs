//! One program with all others as its sub-commands: what is installed.

use std::process::ExitCode;

use super::{compare, data, dimension, graph, oversmoothing, sample, speed};
use crate::run::program;
use clap::{CommandFactory, Parser, Subcommand};

/// The program's name.
const NAME: &str = "metastable";

/// Diffusion samplers of unnormalised densities from the energy alone, and graph neural networks that integrate
/// aggregation-diffusion equations.
#[derive(Parser)]
#[command(name = NAME, version, arg_required_else_help = false, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

// In boxes, because one has many times the flags of another.
#[derive(Subcommand)]
enum Command {
    /// Samples a density from its energy alone, and measures the samples.
    Sample(Box<sample::Args>),
    /// Trains a network to classify the nodes of a graph, or predicts by one.
    Graph(Box<graph::Args>),
    /// Measures what importance weights can do in 2 to 128 dimensions.
    Dimension(Box<dimension::Args>),
    /// Measures over-smoothing and metastability of graph networks.
    Oversmoothing(Box<oversmoothing::Args>),
    /// Lists, describes, checks, imports and fetches graph data sets.
    Data(Box<data::Args>),
    /// Draws learning curves of several runs, or their figures against cost.
    Compare(Box<compare::Args>),
    /// Times whole training steps.
    Speed(Box<speed::Args>),
}

const EXAMPLES: &str = "\
Examples:
  metastable sample --quick              40 modes without a single sample of them, in seconds
  metastable sample --target my.toml     a density of your own (docs/your-density.md)
  metastable graph                       GRADE on the karate club and a block model
  metastable sample --help               all flags of a command
Exit codes: 0 done, 1 failed, 2 wrong use, 3 diverged, 130 interrupted.";

/// The command line: that of each plain program, with examples as they are typed here.
pub fn command() -> clap::Command {
    let plain = [
        ("sample", sample::Args::command()),
        ("graph", graph::Args::command()),
        ("dimension", dimension::Args::command()),
        ("oversmoothing", oversmoothing::Args::command()),
        ("data", data::Args::command()),
        ("compare", compare::Args::command()),
        ("speed", speed::Args::command()),
    ];
    let whole = Args::command();
    // A program says more of itself than a line of this list holds.
    let line = |sub: &clap::Command| {
        format!("  {:<15}{}\n", sub.get_name(), sub.get_about().cloned().unwrap_or_default())
    };
    let commands: String = whole.get_subcommands().map(line).collect();
    let help = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\nCommands:\n{commands}\nOptions:\n{{options}}{{after-help}}"
    );
    plain.into_iter().fold(whole.help_template(help), |whole, (name, plain)| {
        let typed = format!("{NAME} {name}");
        let examples = plain.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = examples.replace(&format!("\n  {name}"), &format!("\n  {typed}"));
        let about = plain.get_about().cloned().unwrap_or_default();
        whole.mut_subcommand(name, |sub| sub.display_name(typed).about(about).after_help(examples))
    })
}

/// Runs the sub-command; the exit code is that of the process.
pub fn main(args: &Args) -> ExitCode {
    program::is_a_part_of(NAME);
    match &args.command {
        Command::Sample(args) => sample::main(args),
        Command::Graph(args) => graph::main(args),
        Command::Dimension(args) => dimension::main(args),
        Command::Oversmoothing(args) => oversmoothing::main(args),
        Command::Data(args) => data::main(args),
        Command::Compare(args) => compare::main(args),
        Command::Speed(args) => speed::main(args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_command_has_the_flags_of_its_program() {
        let whole = command();
        let flags = |command: &clap::Command| {
            let ids = command.get_arguments().map(|a| a.get_id().to_string());
            ids.collect::<Vec<_>>()
        };
        let sub = |name: &str| flags(whole.find_subcommand(name).expect(name));
        assert_eq!(sub("sample"), flags(&sample::Args::command()));
        assert_eq!(sub("graph"), flags(&graph::Args::command()));
        assert_eq!(sub("speed"), flags(&speed::Args::command()));
        assert_eq!(whole.get_subcommands().count(), 7);
    }

    #[test]
    fn examples_are_commands_of_the_whole() {
        for sub in command().get_subcommands() {
            let name = sub.get_name();
            let help = sub.get_after_help().expect(name).to_string();
            let examples: Vec<&str> = help.lines().filter(|l| l.starts_with("  ")).collect();
            let typed = format!("  {NAME} {name}");
            assert!(examples.len() > 2 && examples[..3].iter().all(|l| l.starts_with(&typed)), "{help}");
            assert!(!help.contains(&format!("\n  {name} ")), "{help}");
        }
        command().debug_assert();
    }
}

//! Flags that every experiment understands.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::run::console;
use crate::run::cores::Placement;
use crate::run::error::CliError;

/// Where to write, what to set, how to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// Run folder to write (default: results/EXPERIMENT/TIME-sSEED).
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Seed of every random number (default: 0).
    // TOML, and so config.toml, has no greater integers.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=i64::MAX.unsigned_abs()))]
    pub seed: Option<u64>,
    /// Threads (default: one for each core, or what a quota allows). Results do not depend on it.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MOST_THREADS))]
    pub threads: Option<u16>,
    /// Settings in TOML; what they leave out keeps its default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, as `train.batch=256`; may be repeated, and wins over the file.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Replace what an earlier run left in --out.
    #[arg(long)]
    pub force: bool,
    /// No progress, no table.
    #[arg(long)]
    pub quiet: bool,
    /// Stop as by Ctrl-C after so many steps, epochs or layers: for tests.
    #[arg(long, value_name = "N", hide = true)]
    pub stop_after: Option<u64>,
}

/// Most threads: more are a slip, and the system may refuse them.
pub const MOST_THREADS: i64 = 1024;

/// When to save, for experiments that can be resumed.
#[derive(Clone, Debug, clap::Args)]
pub struct Saving {
    /// Seconds between checkpoints, at least.
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0, value_parser = seconds)]
    pub save_every: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|v| (0.0..1e9).contains(v));
    value.ok_or_else(|| "wants a number of seconds, 0 or more".into())
}

/// Parses the command line; a mistake in it ends the process with one line and exit code 2.
pub fn parse<A: clap::Parser>() -> A {
    parse_by(named::<A>(std::env::args_os().next()))
}

/// The same, for a command line that is described by `command`.
pub fn parse_by<A: clap::FromArgMatches>(command: clap::Command) -> A {
    command.try_get_matches().and_then(|m| A::from_arg_matches(&m)).unwrap_or_else(|e| {
        if !e.use_stderr() {
            e.exit(); // --help, --version
        }
        let text = e.render().to_string();
        let lines =
            text.lines().map(str::trim).take_while(|l| !l.starts_with("Usage:")).filter(|l| !l.is_empty());
        let line = lines.collect::<Vec<_>>().join(" ").replace(" For more information, try '--help'.", "");
        console::note(format_args!("{line}; see --help"));
        std::process::exit(2)
    })
}

/// A binary's command by its own name for --version, in place of this package's.
fn named<A: clap::Parser>(path: Option<OsString>) -> clap::Command {
    match path.as_deref().map(Path::new).and_then(Path::file_stem).and_then(OsStr::to_str) {
        Some(name) => A::command().display_name(name.to_string()),
        None => A::command(),
    }
}

/// Runs `body(threads)` on a pool of worker threads, the only one of the process.
///
/// The body runs on a worker, not beside the workers: a parallel kernel then starts on the thread that calls it,
/// where a call from outside the pool costs two wake-ups (some ten microseconds) each time.
pub fn on_threads(
    threads: Option<u16>,
    body: impl FnOnce(usize) -> Result<(), CliError> + Send,
) -> Result<(), CliError> {
    engine::simd::requested().map_err(CliError::Usage)?;
    let placement = Placement::here(threads.map(usize::from));
    // More workers than CPUs have to share them.
    engine::parallel::sit_out(placement.workers <= placement.cpus.len());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(placement.workers)
        .stack_size(STACK)
        .start_handler(move |k| placement.take(k));
    pool.build_global().map_err(|e| CliError::Failed(format!("cannot start the threads: {e}")))?;
    rayon::scope(|_| body(rayon::current_num_threads()))
}

/// Bytes of a worker's stack: what a main thread usually has.
const STACK: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    #[command(version)]
    struct Args {
        #[command(flatten)]
        common: Common,
    }

    #[test]
    fn the_version_is_that_of_the_binary() {
        let version = |path: &str| named::<Args>(Some(path.into())).render_version();
        assert_eq!(version("/usr/bin/gmm"), format!("gmm {}\n", env!("CARGO_PKG_VERSION")));
        assert!(version("").starts_with("metastable "));
    }

    #[test]
    fn a_seed_is_an_integer_that_a_configuration_can_hold() {
        let seed = |text: &str| {
            use clap::Parser;
            Args::try_parse_from(["gmm", "--seed", text]).map(|a| a.common.seed).map_err(|e| e.to_string())
        };
        assert_eq!(seed("9223372036854775807").unwrap(), Some(u64::MAX / 2));
        assert!(seed("9223372036854775808").unwrap_err().contains("0..=9223372036854775807"));
    }
}

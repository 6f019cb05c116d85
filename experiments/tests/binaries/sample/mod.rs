//! The binary `sample`, as a user meets it.

mod mixtures;
mod model_moves;
mod particles;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary;

fn sample(args: &[&str]) -> Command {
    binary::command(env!("CARGO_BIN_EXE_sample"), args)
}

fn run(args: &[&str]) {
    binary::succeed(&mut sample(args));
}

/// Runs to the end and gives the folder back.
fn succeed(args: &[&str], out: &Path) -> PathBuf {
    run(&[args, &["--out", out.to_str().unwrap()]].concat());
    out.to_path_buf()
}

fn refused(args: &[&str], needle: &str) {
    binary::refused(&mut sample(args), needle);
}

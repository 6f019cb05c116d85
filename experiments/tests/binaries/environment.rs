//! What the environment asks for, and counts beyond any range.

use crate::binary::{command, refused};

#[test]
fn a_simd_level_that_does_not_exist_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let out = out.to_str().unwrap();
    for (binary, args) in [
        (env!("CARGO_BIN_EXE_sample"), &["--quick", "--out", out][..]),
        (env!("CARGO_BIN_EXE_graph"), &["--data", "karate", "--out", out]),
        (env!("CARGO_BIN_EXE_oversmoothing"), &["--out", out]),
        (env!("CARGO_BIN_EXE_speed"), &[]),
    ] {
        for level in ["sse4", "AVX2", "3"] {
            let said = format!("error: METASTABLE_SIMD = \"{level}\" is no SIMD level; set it to baseline");
            refused(command(binary, args).env("METASTABLE_SIMD", level), &said);
        }
    }
    assert!(!dir.path().join("run").exists());
}

#[test]
fn counts_beyond_their_range_are_refused() {
    let sample = |args: &[&str], needle: &str| {
        refused(command(env!("CARGO_BIN_EXE_sample"), args).env_remove("METASTABLE_SIMD"), needle);
    };
    let most = u64::MAX.to_string();
    sample(&["--quick", "--steps", &most], "not in 1..=1000000000000");
    sample(&["--quick", "--set", &format!("train.warm_up={most}")], "train.warm_up");
    sample(&["--quick", "--set", "replay.recycle=9223372036854775807"], "replay.recycle");
    sample(&["--method", "hmc", "--set", "sampler.thin=9223372036854775807"], "sampler.thin");
    sample(&["--method", "pt", "--set", "sampler.warm_up=9223372036854775807"], "sampler.warm_up");
}

/// A build with MPI starts it, which has no launcher here.
#[cfg(not(feature = "mpi"))]
#[test]
fn one_of_several_processes_of_a_launcher_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let out = out.to_str().unwrap();
    for (binary, args, remedy) in [
        (env!("CARGO_BIN_EXE_sample"), &["--quick", "--out", out][..], "build it with --features mpi"),
        (env!("CARGO_BIN_EXE_graph"), &["--data", "karate", "--out", out], "this program runs as one"),
        (env!("CARGO_BIN_EXE_dimension"), &["--out", out], "this program runs as one"),
        (env!("CARGO_BIN_EXE_oversmoothing"), &["--out", out], "this program runs as one"),
    ] {
        for launcher in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"] {
            let started = format!("error: started as one of 3 processes ({launcher}): ");
            let mut command = command(binary, args);
            command.env(launcher, "3");
            refused(&mut command, &started);
            refused(&mut command, remedy);
        }
    }
    assert!(!dir.path().join("run").exists());
}

#[test]
fn a_part_by_the_launcher_wants_one() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut alone =
        command(env!("CARGO_BIN_EXE_dimension"), &["--out", out.to_str().unwrap(), "--task", "launcher"]);
    refused(&mut alone, "this is none of them; write I/N");
    assert!(!out.exists());
}

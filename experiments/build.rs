//! Gives the commit to release builds: env.json of a run names it. Other builds go without, or every commit would
//! compile them anew.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let head = root.join(".git/logs/HEAD");
    if std::env::var("PROFILE").as_deref() != Ok("release") || !head.is_file() {
        return;
    }
    // Whether the sources are those of the commit changes with each of them.
    for path in [".git/logs/HEAD", "engine", "models", "experiments", "Cargo.toml", "Cargo.lock"] {
        println!("cargo:rerun-if-changed={}", root.join(path).display());
    }
    let describe = ["-c", "core.fsmonitor=false", "describe", "--always", "--dirty"];
    let output = Command::new("git").arg("-C").arg(&root).args(describe).output();
    if let Some(output) = output.ok().filter(|o| o.status.success()) {
        println!("cargo:rustc-env=METASTABLE_COMMIT={}", String::from_utf8_lossy(&output.stdout).trim());
    }
}

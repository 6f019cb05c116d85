//! Targets whose energy something else computes: a library, a program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{TINY, read, refused, sample, stopped};
use crate::binary::{assert_same_run, stderr, succeed};

/// E = K |x - 1|^2 / 2.
const LIBRARY: &str = "
#include \"metastable_energy.h\"
int metastable_energy_version(void) { return 1; }
#ifdef MORE
int more = 1;
#endif
int metastable_energy(void* self, int n, int d, const double* x, double* energy, double* gradient) {
    for (int i = 0; i < n; i++) {
        energy[i] = 0;
        for (int a = 0; a < d; a++) energy[i] += 0.5 * K * (x[i * d + a] - 1) * (x[i * d + a] - 1);
        for (int a = 0; gradient && a < d; a++) gradient[i * d + a] = K * (x[i * d + a] - 1);
    }
    return 0;
}
";

/// The same with K = 4 as a program, which leaves its number in a file.
const PROGRAM: &str = r#"
import os, struct, sys
open("pid", "w").write(str(os.getpid()))
out = sys.stdout.buffer
out.write(b"metastable energy 1\n")
out.flush()
while len(head := sys.stdin.buffer.read(12)) == 12:
    n, d, g = struct.unpack("<3I", head)
    x = struct.unpack(f"<{n * d}d", sys.stdin.buffer.read(8 * n * d))
    e = [sum(2 * (v - 1) * (v - 1) for v in x[i * d:(i + 1) * d]) for i in range(n)]
    out.write(struct.pack(f"<4sI{n}d", b"good", n, *e))
    if g:
        out.write(struct.pack(f"<{n * d}d", *[4 * (v - 1) for v in x]))
    out.flush()
"#;

/// Compiles the library; false without a compiler.
fn compile(folder: &Path, macros: &[&str]) -> bool {
    std::fs::write(folder.join("mine.c"), LIBRARY).unwrap();
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/include");
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-shared", "-fPIC", "-I", include]).args(macros);
    let Ok(out) = cc.args(["-o", "libmine.so", "mine.c"]).current_dir(folder).output() else {
        println!("left out: there is no C compiler here");
        return false;
    };
    assert!(out.status.success(), "{}", stderr(&out));
    true
}

/// Writes a description.
fn described(folder: &Path, text: &str) -> PathBuf {
    let file = folder.join("mine.toml");
    std::fs::write(&file, format!("{text}\ndim = 2\nscales = [1.0, 0.5]\n")).unwrap();
    file
}

fn of(target: &Path) -> Vec<&str> {
    let target = target.to_str().unwrap();
    [TINY, &["--target", target]].concat()
}

#[test]
fn a_library_may_be_compiled_anew_but_not_to_another_energy() {
    let dir = tempfile::tempdir().unwrap();
    if !compile(dir.path(), &["-DK=4.0"]) {
        return;
    }
    let target = described(dir.path(), "kind = \"library\"\npath = \"libmine.so\"");
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    succeed(sample(&of(&target)).arg("--out").arg(&whole));
    stopped(&mut sample(&of(&target)), 60, &broken);
    assert!(read(broken.join("begun.toml")).contains("[inputs.library]"));
    let resume = || sample(&["--quiet", "--resume", broken.to_str().unwrap()]);
    compile(dir.path(), &["-DK=5.0"]);
    let library = dir.path().join("libmine.so");
    let note = format!(
        "note: {}: is not the library that the run began with; the run goes on if it computes the same\n",
        library.display()
    );
    let other = resume().output().unwrap();
    let said = stderr(&other);
    assert!(!other.status.success() && said.starts_with(&note), "{said}");
    assert!(said.contains("the energy is another"), "{said}");
    compile(dir.path(), &["-DK=4.0", "-DMORE"]);
    assert_eq!(stderr(&succeed(&mut resume())), note);
    assert_same_run(&whole, &broken, &["samples.npy", "model.safetensors"]);
    succeed(&mut sample(&["--quiet", "--eval-only", broken.to_str().unwrap()]));
    assert_same_run(&whole, &broken, &["samples.npy"]);
    std::fs::remove_file(&library).unwrap();
    let line = format!(
        "{}:2:8: path = {}: no such file; compile the library first",
        target.display(),
        library.display()
    );
    refused(&mut resume(), &line);
}

#[test]
fn a_program_answers_the_same_for_any_number_of_them_and_ends_with_the_run() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("left out: there is no python3 here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let folders = [(1, "1"), (3, "4")].map(|(workers, threads)| {
        let folder = dir.path().join(threads);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("energy.py"), PROGRAM).unwrap();
        let text = format!(
            "kind = \"program\"\ncommand = [\"python3\", \"energy.py\"]\npiece = 16\nworkers = {workers}"
        );
        let target = described(&folder, &text);
        succeed(sample(&of(&target)).args(["--threads", threads, "--out"]).arg(folder.join("run")));
        folder
    });
    let [one, several] = folders.each_ref().map(|folder| folder.join("run"));
    assert_eq!(
        std::fs::read(one.join("samples.npy")).unwrap(),
        std::fs::read(several.join("samples.npy")).unwrap()
    );
    let pid = || read(folders[0].join("pid"));
    let there = |pid: &str| Path::new("/proc").join(pid).exists();
    assert!(!there(&pid()));
    // Also when nobody could end it.
    let (target, out) = (folders[0].join("mine.toml"), dir.path().join("killed"));
    let args =
        of(&target).into_iter().map(|arg| if arg == "120" { "10000000" } else { arg }).collect::<Vec<_>>();
    let mut child = sample(&args).args(["--save-every", "0", "--out"]).arg(&out).spawn().unwrap();
    while !out.join("checkpoint.safetensors").exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = pid();
    assert!(there(&pid) || cfg!(not(target_os = "linux")));
    child.kill().unwrap();
    child.wait().unwrap();
    let late = Instant::now() + Duration::from_secs(60);
    while there(&pid) {
        assert!(Instant::now() < late, "the program outlives its run");
        std::thread::sleep(Duration::from_millis(10));
    }
}

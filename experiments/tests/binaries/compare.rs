//! The binary `compare` as a user meets it.

use std::path::Path;
use std::process::Command;

use crate::binary;

fn compare(args: &[&str], dir: &Path) -> Command {
    let mut command = binary::command(env!("CARGO_BIN_EXE_compare"), args);
    command.current_dir(dir);
    command
}

fn write(dir: &Path, run: &str, history: &str) {
    std::fs::create_dir_all(dir.join(run)).unwrap();
    std::fs::write(dir.join(run).join("history.csv"), history).unwrap();
}

/// The picture that the arguments give.
fn picture(args: &[&str], dir: &Path) -> Vec<u8> {
    binary::succeed(&mut compare(args, dir));
    std::fs::read(dir.join("curves.png")).unwrap()
}

#[test]
fn what_would_be_blank_or_ignored_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], needle: &str| {
        binary::refused(&mut compare(args, dir.path()), needle);
        assert!(!dir.path().join("curves.png").exists());
    };
    write(dir.path(), "a", "step,loss,ess\n1,0.5,nan\n2,-0.25,nan\n");
    write(dir.path(), "header", "step,loss\n");
    write(dir.path(), "damaged", "step,loss\n1,0.5\n2\n");
    for (seed, step) in [(0, 1), (1, 2)] {
        write(dir.path(), &format!("apart/seed{seed}"), &format!("step,loss\n{step},1\n"));
    }
    refused(&["a", "--log", "nope"], "--log nope: not one of --columns");
    refused(&["a", "--until", "nan"], "--until");
    refused(&["a", "--until", "-5"], "wants a step, 0 or more");
    refused(&["a", "--until", "0"], "a: no step up to --until 0");
    refused(&["a", "header"], "header: history.csv has no rows");
    refused(&["apart"], "apart: its seeds have no step in common");
    refused(&["a", "--columns", "ess"], "--columns ess: no value in it is finite");
    refused(&["a", "--columns", "none"], "no column `none`; the columns are step, loss, ess");
    refused(&["a", "--x", "none"], "no column `none`");
    refused(&["a", "--x", "ess"], "--x ess: no value in it is finite in a");
    refused(&["damaged"], "line 3 is damaged");
    refused(&["a", "--columns", &vec!["loss"; 4400].join(",")], "4400 panels do not fit");
}

#[test]
fn seeds_are_averaged_over_the_steps_that_all_have() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "seeds/seed0", "step,loss\n1,9\n2,1\n4,2\n6,3\n");
    write(dir.path(), "seeds/seed3", "step,loss\n2,2\n3,50\n4,4\n6,6\n8,1\n");
    let seeds = picture(&["seeds"], dir.path());
    // The same as a run, under the name that the legend shows.
    std::fs::remove_dir_all(dir.path().join("seeds")).unwrap();
    write(dir.path(), "seeds", "step,loss\n2,1.5\n4,3\n6,4.5\n");
    assert_eq!(picture(&["seeds"], dir.path()), seeds);
    assert_ne!(picture(&["seeds", "--until", "4"], dir.path()), seeds);
    // Another axis: --until still means steps.
    write(dir.path(), "seeds", "step,loss,cost\n2,1.5,10\n4,3,20\n6,4.5,30\n");
    let until = picture(&["seeds", "--x", "cost", "--until", "4"], dir.path());
    write(dir.path(), "seeds", "step,loss,cost\n2,1.5,10\n4,3,20\n");
    assert_eq!(picture(&["seeds", "--x", "cost"], dir.path()), until);
    assert_ne!(picture(&["seeds"], dir.path()), until);
}

#[test]
fn ends_of_runs_are_points_of_a_curve_for_each_method() {
    let dir = tempfile::tempdir().unwrap();
    let end = |run: &str, figures: &str| {
        std::fs::create_dir_all(dir.path().join(run)).unwrap();
        std::fs::write(dir.path().join(run).join("metrics.json"), figures).unwrap();
    };
    end("a", r#"{"method": "smc", "energy_evaluations": 100, "e_w2": 2.0, "e_w2_floor": 0.5}"#);
    end("b", r#"{"method": "smc", "energy_evaluations": 1000, "e_w2": 1.0, "e_w2_floor": 0.3}"#);
    end("c", r#"{"method": "pt", "energy_evaluations": 500, "e_w2": 1.5}"#);
    let ends = ["--ends", "--columns", "e_w2", "--x", "energy_evaluations"];
    let all = picture(&[&["a", "b", "c"], &ends[..]].concat(), dir.path());
    // In any order, and not without one of them.
    assert_eq!(picture(&[&["b", "c", "a"], &ends[..]].concat(), dir.path()), all);
    assert_ne!(picture(&[&["a", "b"], &ends[..]].concat(), dir.path()), all);
    std::fs::remove_file(dir.path().join("curves.png")).unwrap();
    let refused = |args: &[&str], needle: &str| binary::refused(&mut compare(args, dir.path()), needle);
    refused(&["a", "--ends"], "`loss` is no figure with a value there");
    end("other", r#"{"method": "smc", "target": "mw", "energy_evaluations": 100, "e_w2": 2.0}"#);
    refused(&["a", "other", "--ends", "--columns", "e_w2"], "give runs of one target");
    refused(&["c", "--ends", "--columns", "e_w2", "--x", "nothing"], "`nothing` is no figure");
    refused(&["a", "--ends", "--until", "3"], "--until");
    end("d", "{");
    refused(&["d", "--ends"], "d/metrics.json");
    refused(&["nowhere", "--ends"], "metrics.json");
}

#[cfg(unix)]
#[test]
fn a_picture_that_cannot_be_written_is_no_wrong_use() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a", "step,loss\n1,2\n2,1\n");
    // Files stay below one block of 512 bytes: to the program a disk that fills up.
    let limited = format!("trap '' XFSZ; ulimit -f 1; exec {} a", env!("CARGO_BIN_EXE_compare"));
    let output = binary::command("sh", &["-c", &limited]).current_dir(dir.path()).output().unwrap();
    let error = binary::stderr(&output);
    assert_eq!((output.status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains("curves.png: ") && error.contains("try again"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_version_is_its_own() {
    let output = binary::succeed(&mut compare(&["--version"], Path::new(".")));
    assert!(binary::stdout(&output).starts_with("compare "));
}

#[test]
fn a_file_that_is_no_picture_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    std::fs::create_dir(&run).unwrap();
    std::fs::write(run.join("history.csv"), "step,loss\n1,0.5\n2,0.25\n").unwrap();
    let compare = |out: &str| compare(&["run", "--out", out], dir.path());
    std::fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    binary::refused(
        &mut compare("notes.txt"),
        "notes.txt: is there and no PNG picture; choose another --out",
    );
    assert_eq!(std::fs::read_to_string(dir.path().join("notes.txt")).unwrap(), "mine");
    binary::succeed(&mut compare("curves.png"));
    binary::succeed(&mut compare("curves.png"));
    // The ending says which kind.
    binary::succeed(&mut compare("curves.svg"));
    binary::succeed(&mut compare("curves.svg"));
    assert!(std::fs::read_to_string(dir.path().join("curves.svg")).unwrap().starts_with("<svg "));
    std::fs::copy(dir.path().join("curves.png"), dir.path().join("other.svg")).unwrap();
    binary::refused(&mut compare("other.svg"), "other.svg: is there and no SVG picture");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("curves.png", dir.path().join("link.png")).unwrap();
        binary::refused(&mut compare("link.png"), "link.png: is there and no PNG picture");
    }
}

use super::*;

fn text(result: Result<impl Sized, CliError>) -> String {
    result.err().unwrap().to_string()
}

fn create(path: &Path, force: bool) -> Result<RunFolder, CliError> {
    RunFolder::create(&Place::Named(path.into()), force)
}

/// A run with settings and files, as it is after its end.
fn finished(path: &Path) {
    let folder = create(path, false).unwrap();
    folder.begin("run", &[("config.toml", "seed = 1\n[train]\nsteps = 5\n")], Inputs::new()).unwrap();
    folder.write("metrics.json", b"{}").unwrap();
    for seed in ["seed0", "seed3"] {
        let part = RunFolder::create(&Place::Within(folder.clone(), seed.into()), false).unwrap();
        part.begin("part", &[], Inputs::new()).unwrap();
        part.write("history.csv", b"step\n").unwrap();
    }
}

/// What a folder holds, besides what every folder of ours holds.
fn contents(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| ![MANIFEST, LOCK].contains(&name.as_str())).collect();
    names.sort();
    names
}

#[test]
fn a_folder_in_use_is_refused_and_force_removes_only_our_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    finished(&path);
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    std::fs::write(path.join("samples.npy"), "mine, by a name that a run could write").unwrap();
    std::fs::write(path.join("seed3/notes.txt"), "mine").unwrap();
    assert!(text(create(&path, false)).contains("--force"));
    assert_eq!(seed_folders(&path).iter().map(|s| s.0).collect::<Vec<_>>(), [0, 3]);
    let folder = create(&path, true).unwrap();
    assert_eq!(contents(&path), ["notes.txt", "samples.npy", "seed3"]);
    assert_eq!(contents(&path.join("seed3")), ["notes.txt"]);
    // What is not ours is not replaced either, and a folder of that name is no part of the run.
    assert!(text(folder.write("samples.npy", b"x")).contains("was not written by this program"));
    let part = RunFolder::create(&Place::Within(folder.clone(), "seed3".into()), false);
    assert!(text(part).contains("was not written by this program"));
    assert!(text(create(&path.join("notes.txt"), false)).contains("a file is in the way"));
    assert!(text(RunFolder::open(&path, "run")).contains("begun.toml is missing"));
}

#[test]
fn force_without_a_list_of_our_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.toml"), "mine").unwrap();
    assert!(text(create(dir.path(), true)).contains("has no manifest.toml"));
    // A list that reaches elsewhere is not followed.
    for name in ["../victim", "/etc/passwd", "..", ".", "a/b", ""] {
        let list = format!("files = [{name:?}]\nfolders = []\n");
        std::fs::write(dir.path().join(MANIFEST), list).unwrap();
        assert!(
            text(create(dir.path(), true)).contains("is not the name of a file in this folder"),
            "{name}"
        );
    }
    std::fs::write(dir.path().join(MANIFEST), "mine").unwrap();
    assert!(text(create(dir.path(), true)).contains("is not the list of files that this program keeps"));
    assert_eq!(contents(dir.path()), ["config.toml"]);
}

#[cfg(unix)]
#[test]
fn nothing_is_written_or_removed_through_links() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (path, victim) = (dir.path().join("run"), dir.path().join("victim"));
    finished(&path);
    finished(&victim);
    std::fs::remove_dir_all(path.join("seed3")).unwrap();
    symlink(&victim, path.join("seed3")).unwrap();
    std::fs::remove_file(path.join("metrics.json")).unwrap();
    symlink(victim.join("metrics.json"), path.join("metrics.json")).unwrap();
    let before = contents(&victim);
    let folder = RunFolder::open(&path, "run").unwrap();
    assert!(text(folder.write("metrics.json", b"x")).contains("is a link"));
    assert!(text(folder.open_part("seed3", "part")).contains("is a link"));
    assert!(text(folder.open_part("../victim", "part")).contains("is no folder of this run"));
    assert!(text(RunFolder::create(&Place::Within(folder, "seed3".into()), false)).contains("is a link"));
    create(&path, true).unwrap();
    assert_eq!(contents(&victim), before);
    assert_eq!(std::fs::read(victim.join("metrics.json")).unwrap(), b"{}");
    assert!(path.join("seed3").is_symlink() && path.join("metrics.json").is_symlink());
    // A link round to the folder itself ends.
    std::fs::remove_file(path.join("seed3")).unwrap();
    symlink(&path, path.join("seed3")).unwrap();
    create(&path, true).unwrap();
}

#[test]
fn a_written_file_is_whole_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let folder = create(&dir.path().join("r"), false).unwrap();
    folder.write("a", b"one").unwrap();
    folder.write("a", b"two").unwrap();
    assert_eq!(folder.read("a").unwrap(), b"two");
    assert_eq!(contents(folder.path()), ["a"]);
}

#[test]
fn what_a_killed_write_left_is_removed_when_the_run_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    finished(&path);
    std::fs::write(path.join(".metastable-abc123.partial"), "half").unwrap();
    std::fs::write(path.join(".metastable-notes"), "mine").unwrap();
    RunFolder::open(&path, "run").unwrap();
    assert!(!path.join(".metastable-abc123.partial").exists());
    assert!(path.join(".metastable-notes").exists());
    // A start that was killed at once leaves no folder that is in use.
    let begun = dir.path().join("begun");
    std::fs::create_dir(&begun).unwrap();
    std::fs::write(begun.join(LOCK), "").unwrap();
    std::fs::write(begun.join(".metastable-abc123.partial"), "half").unwrap();
    create(&begun, false).unwrap();
    assert!(contents(&begun).is_empty());
}

#[test]
fn a_run_is_resumed_only_as_it_was_begun() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    finished(&path);
    assert!(text(RunFolder::open(&path, "other run")).contains("holds a run, not a other run"));
    let config = path.join("config.toml");
    std::fs::write(&config, "# a note\nseed = 1\n[train]\nsteps = 5 # more\n").unwrap();
    RunFolder::open(&path, "run").unwrap();
    std::fs::write(&config, "seed = 1\n[train]\nsteps = 6\n").unwrap();
    let error = text(RunFolder::open(&path, "run"));
    assert!(
        error.contains("config.toml: train.steps = 6, but the run began with 5; put that back"),
        "{error}"
    );
    std::fs::remove_file(&config).unwrap();
    assert!(text(RunFolder::open(&path, "run")).contains("config.toml: no such file"));
}

#[test]
fn an_input_is_the_file_that_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let folder = create(&dir.path().join("run"), false).unwrap();
    let path = Path::new("own.npy");
    let input = |bytes: &[u8]| Input::new(path, bytes);
    let inputs = Inputs::from([("reference".to_string(), input(b"one"))]);
    folder.begin("run", &[], inputs).unwrap();
    folder.check_input("reference", path, &input(b"one")).unwrap();
    let error = text(folder.check_input("reference", path, &input(b"two")));
    assert!(error.starts_with("own.npy: is not the reference that the run began with (sha256 "), "{error}");
    let error = text(folder.check_input("data set", path, &input(b"one")));
    assert!(error.contains("the run began without a data set of its own"), "{error}");
    assert_eq!(folder.inputs().unwrap()["reference"].path(), std::path::absolute(path).ok());
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_moved_or_replaced_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let [path, moved] = ["run", "moved"].map(|name| dir.path().join(name));
    finished(&path);
    let folder = RunFolder::open(&path, "run").unwrap();
    std::fs::rename(&path, &moved).unwrap();
    let error = folder.write("metrics.json", b"{}").unwrap_err();
    assert!(error.code() == 1 && error.to_string().contains("was moved, removed or replaced"), "{error}");
    // Another run in its place is another folder, also to this process.
    finished(&path);
    let other = RunFolder::open(&path, "run").unwrap();
    other.write("metrics.json", b"[]").unwrap();
    assert!(text(folder.write("metrics.json", b"{}")).contains("was moved"));
    assert_eq!(other.read("metrics.json").unwrap(), b"[]");
}

#[cfg(unix)]
#[test]
fn a_file_of_the_users_own_is_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    finished(&path);
    let (lock, own) = (path.join(LOCK), dir.path().join("precious"));
    std::fs::remove_file(&lock).unwrap();
    std::fs::write(&lock, "mine").unwrap();
    assert!(text(RunFolder::open(&path, "run")).contains("is no lock of this program"));
    assert_eq!(std::fs::read(&lock).unwrap(), b"mine");
    std::fs::remove_file(&lock).unwrap();
    std::fs::write(&own, "").unwrap();
    std::fs::hard_link(&own, &lock).unwrap();
    assert!(text(RunFolder::open(&path, "run")).contains("is no lock of this program"));
    assert_eq!(std::fs::read(&own).unwrap(), b"");
}

#[test]
fn what_is_in_the_way_of_a_part_is_known_before_anything_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    finished(&path);
    std::fs::create_dir(path.join("seed7")).unwrap();
    let check = |names: &[&str]| {
        RunFolder::check_parts(&Place::Named(path.clone()), names.iter().map(|name| name.to_string()))
    };
    check(&["seed0", "seed5"]).unwrap();
    assert!(text(check(&["seed0", "seed7"])).contains("seed7: was not written by this program"));
}

//! What is said of the project's packages and files.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(args).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The packages of this system's builds, as cargo knows them.
fn packages() -> Vec<Value> {
    let about = cargo(&["-vV"]);
    // Packages of other systems alone may not be here.
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let metadata =
        cargo(&["metadata", "--offline", "--locked", "--format-version=1", "--filter-platform", host]);
    match serde_json::from_str::<Value>(&metadata).unwrap()["packages"].take() {
        Value::Array(packages) => packages,
        other => panic!("{other}"),
    }
}

/// A version as numbers: 1.91 is 1.91.0.
fn version(text: &str) -> [u64; 3] {
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

#[test]
fn no_dependency_wants_a_newer_rust_than_this_project() {
    let packages = packages();
    let wants = |package: &Value| package["rust_version"].as_str().map_or([0; 3], version);
    let ours = packages.iter().find(|p| p["name"] == "metastable").map(wants).unwrap();
    assert!(ours > [1, 85, 0], "rust-version of the workspace: {ours:?}");
    let newer: Vec<String> = packages
        .iter()
        .filter(|p| wants(p) > ours)
        .map(|p| format!("{} {} wants Rust {}", p["name"], p["version"], p["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "take older versions (cargo update --precise): {newer:?}");
    assert!(version("1.91.1") > version("1.91") && version("1.100") > version("1.91"));
}

#[test]
fn what_is_published_says_what_it_is() {
    let packages = packages();
    let members: Vec<&Value> = packages.iter().filter(|p| p["source"].is_null()).collect();
    let published: Vec<&Value> = members.iter().copied().filter(|p| p["publish"].is_null()).collect();
    let names: Vec<&str> = published.iter().filter_map(|p| p["name"].as_str()).collect();
    assert_eq!(names, ["metastable", "metastable-engine", "metastable-models"]);
    let citation = std::fs::read_to_string(root().join("CITATION.cff")).unwrap();
    for package in published {
        for key in ["description", "license", "repository", "readme", "documentation", "rust_version"] {
            assert!(package[key].is_string(), "{}: no {key}", package["name"]);
        }
        assert!(!package["categories"].as_array().unwrap().is_empty());
        let version = package["version"].as_str().unwrap();
        assert!(citation.contains(&format!("\nversion: {version}\n")), "CITATION.cff is not of {version}");
    }
}

#[test]
fn a_package_has_what_its_program_is_made_of_and_no_more() {
    let listed = cargo(&["package", "--list", "--offline", "--allow-dirty", "--package", "metastable"]);
    let programs: Vec<&str> = listed.lines().filter(|file| file.starts_with("src/bin/")).collect();
    assert_eq!(programs, ["src/bin/metastable.rs"], "plain programs have names that others may want");
    let has = |folder: &str| listed.lines().filter(|file| file.starts_with(folder)).count();
    let there = |folder: &str| {
        let entries = std::fs::read_dir(root().join("experiments").join(folder)).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().is_file()).count()
    };
    for folder in
        ["assets/pretrained/", "presets/sample/", "presets/graph/authors/", "examples/targets/", "peers/"]
    {
        assert_eq!(has(folder), there(folder), "{folder}");
    }
    assert_eq!(has("tests/"), 0);
    assert!(["LICENSE", "README.md", "build.rs"].iter().all(|file| listed.lines().any(|line| line == *file)));
}

#[test]
fn recipes_name_files_that_exist() {
    let text = std::fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = quoted.filter(|word| word.contains('/') && !word.contains([' ', '='])).collect();
    assert!(paths.len() > 30, "{paths:?}");
    for path in paths {
        // A file that is to be written: its folder is there.
        let path = root().join(path);
        let there = if path.ends_with("NAME.rs") { path.parent().unwrap() } else { &path };
        assert!(there.exists(), "{}", path.display());
    }
    // What is registered, and where.
    let registered = [
        ("models/src/target/registry.rs", "const FILES:"),
        ("models/src/sampler/method.rs", "methods! {"),
        ("models/src/gnn/networks/mod.rs", "networks! {"),
        ("models/src/sampler/iwsm/config.rs", "pub enum Kind {"),
        ("experiments/src/datasets/format.rs", "pub enum Format {"),
        ("proptests/tests/properties/ops.rs", "const UNARY:"),
    ];
    for (file, line) in registered {
        assert!(text.contains(file), "{file} is in no recipe");
        assert!(std::fs::read_to_string(root().join(file)).unwrap().contains(line), "{file}: no {line}");
    }
}

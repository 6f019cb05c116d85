//! Bad input, most of it to `data` and `graph`: the whole line that each gets, with exit code 2.

mod arrays;
mod names;
mod pickles;
mod text;

use std::path::Path;

use crate::binary;

const DATA: &str = env!("CARGO_BIN_EXE_data");
const GRAPH: &str = env!("CARGO_BIN_EXE_graph");
const SAMPLE: &str = env!("CARGO_BIN_EXE_sample");

/// Rows of a test. DIR stands for the folder of its files, N for the memory that the machine has. What differs is
/// collected, so that one run shows all of it.
struct Table {
    dir: tempfile::TempDir,
    wrong: Vec<String>,
    rows: usize,
}

impl Table {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), wrong: Vec::new(), rows: 0 }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_string()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    /// A command whose one line on stderr is `error: LINE`.
    fn row(&mut self, binary: &str, args: &[&str], line: &str) {
        let dir = self.dir.path().to_str().unwrap();
        let args: Vec<String> = args.iter().map(|a| a.replace("DIR", dir)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = binary::command(binary, &args);
        let output = command.current_dir(dir).output().unwrap();
        let said = binary::stderr(&output).replace(dir, "DIR");
        let said = match (said.find("are needed, "), said.find(" are available")) {
            (Some(a), Some(b)) => format!("{}are needed, N{}", &said[..a], &said[b..]),
            _ => said,
        };
        let (code, wanted) = (output.status.code(), format!("error: {line}\n"));
        if code != Some(2) || said != wanted {
            let args = args.join(" ");
            let args: String = args.chars().take(200).collect();
            self.wrong.push(format!("{args}\n  exit code {code:?}\n  {said}  wanted\n  {wanted}"));
        }
        self.rows += 1;
    }

    fn finish(self, least: usize) {
        assert!(self.wrong.is_empty(), "{} of {}:\n{}", self.wrong.len(), self.rows, self.wrong.concat());
        assert!(self.rows >= least, "{} rows", self.rows);
        assert!(!Path::new(&self.path("never.npz")).exists());
    }
}

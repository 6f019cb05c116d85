//! The share of one task in a sweep whose jobs do not depend on each other: task I of N, counted from 0, has the jobs
//! k of the plan with k mod N = I.
//!
//! Neighbours in a plan cost about as much (splits of one data set, seeds of one depth), so that every task gets its
//! part of the dear ones; blocks of neighbours would give all of those to one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ranks;

/// In the place of I/N: what the launcher says.
const LAUNCHER: &str = "launcher";
/// Most tasks of a sweep: more are a slip.
const MOST: u64 = 100_000;

/// Which jobs a task has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The task.
    index: u64,
    /// Of how many.
    count: u64,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == LAUNCHER {
            let (index, count) = ranks::place(ranks::environment)?.ok_or(
                "launcher: mpirun or srun tells each of its processes which one it is, and this is none of them; write I/N",
            )?;
            return format!("{index}/{count}").parse();
        }
        let numbers = text.split_once('/').map(|(index, count)| (index.parse::<u64>(), count.parse::<u64>()));
        let Some((Ok(index), Ok(count))) = numbers else {
            return Err(
                "wants I/N, as 0/8 for the first task of eight, or launcher for that of mpirun or srun"
                    .into(),
            );
        };
        if count == 0 || count > MOST {
            return Err(format!("there may be 1 to {MOST} tasks"));
        }
        if index >= count {
            return Err(format!("tasks are counted from 0, the last of {count} is {}/{count}", count - 1));
        }
        Ok(Self { index, count })
    }
}

impl std::fmt::Display for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl Share {
    /// The other tasks of the sweep too.
    pub fn all(self) -> impl Iterator<Item = Self> {
        (0..self.count).map(move |index| Self { index, ..self })
    }

    /// How many tasks the sweep has.
    pub fn count(self) -> u64 {
        self.count
    }

    /// Whether a job of the plan is one of this task.
    pub fn has(self, job: usize) -> bool {
        job as u64 % self.count == self.index
    }

    /// The same share of the jobs after the first `passed` ones, counted anew.
    pub fn after(self, passed: usize) -> Self {
        let passed = passed as u64 % self.count;
        Self { index: (self.index + self.count - passed) % self.count, ..self }
    }

    /// The name of the task's folder: names stand in the order of the tasks.
    pub fn folder(self) -> String {
        let Self { index, count } = self;
        let width = (count - 1).to_string().len().max(3);
        format!("task-{index:0width$}-of-{count:0width$}")
    }

    /// The task whose folder has that name.
    fn of_folder(name: &str) -> Option<Self> {
        let (index, count) = name.strip_prefix("task-")?.split_once("-of-")?;
        let share: Self = format!("{index}/{count}").parse().ok()?;
        (share.folder() == name).then_some(share)
    }

    /// The tasks that have folders in the folder of a run, in their order.
    pub fn found(whole: &Path) -> Vec<(Self, PathBuf)> {
        let entries = std::fs::read_dir(whole).into_iter().flatten().flatten();
        let named = |e: std::fs::DirEntry| Some((Self::of_folder(e.file_name().to_str()?)?, e.path()));
        let mut found: Vec<_> = entries.filter_map(named).collect();
        found.sort_by_key(|(share, _)| (share.count, share.index));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_belongs_to_one_task() {
        for count in [1, 2, 3, 7, 20] {
            let tasks: Vec<Share> = Share { index: 0, count }.all().collect();
            for job in 0..10 {
                assert_eq!(tasks.iter().filter(|share| share.has(job)).count(), 1);
                for passed in 0..10 {
                    let same = |share: &Share| share.after(passed).has(job) == share.has(passed + job);
                    assert!(tasks.iter().all(same), "{job} after {passed} of {count}");
                }
            }
        }
    }

    #[test]
    fn names_are_read_back_and_others_are_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let name = |text: &str| text.parse::<Share>().unwrap().folder();
        let tasks = ["10/12", "9/12", "1/2000", "0/1"];
        assert_eq!(
            tasks.map(name),
            ["task-010-of-012", "task-009-of-012", "task-0001-of-2000", "task-000-of-001"]
        );
        for folder in
            tasks.map(name).iter().map(String::as_str).chain(["task-1-of-2", "task-005-of-003", "task-"])
        {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let found: Vec<String> =
            Share::found(dir.path()).iter().map(|(share, _)| share.to_string()).collect();
        assert_eq!(found, ["0/1", "9/12", "10/12", "1/2000"]);
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for (text, words) in [
            ("3", "wants I/N"),
            ("-1/3", "wants I/N"),
            ("a/b", "wants I/N"),
            ("0/0", "1 to 100000 tasks"),
            ("8/8", "the last of 8 is 7/8"),
        ] {
            assert!(text.parse::<Share>().unwrap_err().contains(words), "{text}");
        }
    }
}

//! What a command gives to all of its tasks.

use std::path::Path;

use crate::run::interrupt::Interrupt;

/// Where data are found, and how a task is watched.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Folder of data sets, if one was named.
    pub data_dir: Option<&'a Path>,
    /// Show no progress.
    pub quiet: bool,
    /// Worker threads, for the record.
    pub threads: usize,
    /// Asked after each epoch; told how to resume.
    pub interrupt: &'a Interrupt,
}
